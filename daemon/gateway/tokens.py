"""Tokens: JWTs, checked against one secret or a set of public keys (RFC 7519, RFC 8725)."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import jwt
import structlog
from cryptography.hazmat.primitives import serialization

from daemon.gateway.authorization import ROLES, USER, Caller
from daemon.gateway.errors import KeysError, TokenError

SYMMETRIC: Final = ("HS256",)
ASYMMETRIC: Final = ("RS256", "ES256", "EdDSA")
REMEMBERED_MAX: Final = 10_000
TOKEN_BYTES_MAX: Final = 8_192
REREAD_S: Final = 60.0
"""How old what was read of a set of public keys may be."""
UNKNOWN_REREAD_S: Final = 1.0
"""The same for a token that names a key that is not in it: it may have come since."""

log = structlog.get_logger()


class Key(NamedTuple):
    """What a signature is checked with, and the algorithms it may be of."""

    secret: Any
    algorithms: tuple[str, ...]


class TokenKeys(Protocol):
    """Where the key for a token comes from."""

    generation: int
    """Grows when the keys have changed: what was found of tokens before counts no more."""

    def refresh(self) -> None:
        """Look whether the keys have changed, now and then."""

    def of(self, token: str) -> Key:
        """The key that the token names. Raises TokenError if there is none."""


class SecretKey:
    """One secret for all tokens."""

    generation = 0

    def __init__(self, secret: str) -> None:
        """``secret`` has at least 32 bytes."""
        self._key: Key = Key(secret, SYMMETRIC)

    def refresh(self) -> None:
        """A secret stays as it is."""

    def of(self, token: str) -> Key:
        """The secret, whatever the token says."""
        return self._key


class PublicKeys:
    """Public keys out of a JWKS file (RFC 7517), by their ``kid``; read again as they change."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file; raises KeysError if there is no usable key in it."""
        self.generation = 0
        self._path = path
        self._clock = clock
        self._keys = self._read()
        self._read_at_s = clock()

    def refresh(self) -> None:
        """Read the file again if that is long ago."""
        self._reread_after(REREAD_S)

    def of(self, token: str) -> Key:
        """The key of the token's ``kid``; the only key there is, for a token without one."""
        kid = _header(token).get("kid")
        found = self._find(kid)
        if found is None and self._reread_after(UNKNOWN_REREAD_S):
            found = self._find(kid)
        if found is None:
            raise TokenError("no key has the kid that the token names")
        return found

    def _find(self, kid: object) -> Key | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid) if isinstance(kid, str) else None

    def _reread_after(self, seconds: float) -> bool:
        """Read the file again if it was read so long ago; one that is no use changes nothing."""
        if self._clock() - self._read_at_s < seconds:
            return False
        self._read_at_s = self._clock()
        try:
            keys = self._read()
        except KeysError as error:
            log.warning("gateway.jwks_unreadable", why=str(error))
            return False
        if _ids_of(keys) != _ids_of(self._keys):
            self.generation += 1
            log.info("gateway.jwks_changed", keys=len(keys))
        self._keys = keys
        return True

    def _read(self) -> dict[Any, Key]:
        keys = dict(_read_keys(self._path))
        if not keys:
            raise KeysError(
                f"http.jwks_file {self._path} has no public key for {', '.join(ASYMMETRIC)}"
            )
        return keys


def _ids_of(keys: dict[Any, Key]) -> dict[Any, bytes]:
    """Each key's name and its public key's bytes."""
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return {kid: key.secret.public_bytes(*form) for kid, key in keys.items()}


class Tokens:
    """Checks tokens; those that counted are remembered until they end."""

    def __init__(self, keys: TokenKeys, audience: str) -> None:
        """``audience``: what ``aud`` of a token has to be."""
        self._keys = keys
        self._audience = audience
        self._remembered: OrderedDict[str, Caller] = OrderedDict()
        self._generation = keys.generation

    def caller(self, token: str) -> Caller:
        """Whom the token speaks for. Raises TokenError."""
        self._keys.refresh()
        if self._generation != self._keys.generation:
            self._remembered.clear()
            self._generation = self._keys.generation
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
