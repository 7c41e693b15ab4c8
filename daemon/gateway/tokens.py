"""Tokens: JWTs, checked against one secret or a set of public keys (RFC 7519, RFC 8725)."""

import json
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import jwt

from daemon.gateway.authorization import ROLES, USER, Caller
from daemon.gateway.errors import KeysError, TokenError

SYMMETRIC: Final = ("HS256",)
ASYMMETRIC: Final = ("RS256", "ES256", "EdDSA")
REMEMBERED_MAX: Final = 10_000
TOKEN_BYTES_MAX: Final = 8_192


class Key(NamedTuple):
    """What a signature is checked with, and the algorithms it may be of."""

    secret: Any
    algorithms: tuple[str, ...]


class TokenKeys(Protocol):
    """Where the key for a token comes from."""

    def of(self, token: str) -> Key:
        """The key that the token names. Raises TokenError if there is none."""


class SecretKey:
    """One secret for all tokens."""

    def __init__(self, secret: str) -> None:
        """``secret`` has at least 32 bytes."""
        self._key: Key = Key(secret, SYMMETRIC)

    def of(self, token: str) -> Key:
        """The secret, whatever the token says."""
        return self._key


class PublicKeys:
    """Public keys out of a JWKS file (RFC 7517), by their ``kid``."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises KeysError if there is no usable key in it."""
        self._keys: dict[Any, Key] = dict(_read_keys(path))
        if not self._keys:
            raise KeysError(f"http.jwks_file {path} has no public key for {', '.join(ASYMMETRIC)}")

    def of(self, token: str) -> Key:
        """The key of the token's ``kid``; the only key there is, for a token without one."""
        kid = _header(token).get("kid")
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        found = self._keys.get(kid) if isinstance(kid, str) else None
        if found is None:
            raise TokenError("no key has the kid that the token names")
        return found


class Tokens:
    """Checks tokens; those that counted are remembered until they end."""

    def __init__(self, keys: TokenKeys, audience: str) -> None:
        """``audience``: what ``aud`` of a token has to be."""
        self._keys = keys
        self._audience = audience
        self._remembered: OrderedDict[str, Caller] = OrderedDict()

    def caller(self, token: str) -> Caller:
        """Whom the token speaks for. Raises TokenError."""
        caller = self._remembered.get(token)
        if caller is None:
            caller = self._check(token)
            self._remember(token, caller)
        if caller.expires_at_s <= time.time():
            self._remembered.pop(token, None)
            raise TokenError("the token has expired")
        return caller

    def _remember(self, token: str, caller: Caller) -> None:
        self._remembered[token] = caller
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def _check(self, token: str) -> Caller:
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenError("the token is too long")
        key = self._keys.of(token)
        try:
            claims = jwt.decode(
                token,
                key.secret,
                algorithms=list(key.algorithms),
                audience=self._audience,
                options={"require": ["exp", "aud", "sub"], "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            raise TokenError(f"the token does not count: {error}") from None
        return _caller(claims)


def mint(secret: str, audience: str, sub: str, roles: list[str], ttl_s: int) -> str:
    """A token signed with the secret, for development and tests."""
    now_s = int(time.time())
    claims = {"sub": sub, "role": roles, "aud": audience, "iat": now_s, "exp": now_s + ttl_s}
    return jwt.encode(claims, secret, algorithm=SYMMETRIC[0])


def _caller(claims: dict[str, Any]) -> Caller:
    sub, role = claims["sub"], claims.get("role", USER)
    roles = [role] if isinstance(role, str) else role
    if not isinstance(roles, list) or not roles or not all(one in ROLES for one in roles):
        raise TokenError(f"role: one of {', '.join(ROLES)}, or a list of them")
    if not isinstance(sub, str) or not sub:
        raise TokenError("sub: missing; it names the caller")
    try:
        return Caller(sub, frozenset(roles), float(claims["exp"]))
    except OverflowError:
        raise TokenError("exp: too large; seconds since 1970") from None


def _header(token: str) -> dict[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise TokenError(f"the token does not count: {error}") from None


def _read_keys(path: Path) -> Iterator[tuple[Any, Key]]:
    try:
        document = json.loads(path.read_text())
        found = [entry for entry in document["keys"] if isinstance(entry, dict)]
    except OSError as error:
        raise KeysError(f"http.jwks_file {path} can't be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        raise KeysError(f'http.jwks_file {path} is no JWKS: want {{"keys": [...]}}') from None
    for entry in found:
        key, kid = _public_key(entry), entry.get("kid")
        if key is not None and (kid is None or isinstance(kid, str)):
            yield kid, key


def _public_key(entry: dict[str, Any]) -> Key | None:
    """A key we may use; None for others: a set may hold keys for other purposes."""
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, LookupError, TypeError, AttributeError):
        return None
    algorithm = key.algorithm_name
    return Key(key.key, (algorithm,)) if algorithm in ASYMMETRIC and _may_verify(entry) else None


def _may_verify(entry: dict[str, Any]) -> bool:
    """Whether the key is for signatures, as far as the set says what it is for."""
    operations = entry.get("key_ops", ["verify"])
    is_for_it = isinstance(operations, list) and "verify" in operations
    return entry.get("use", "sig") == "sig" and is_for_it
