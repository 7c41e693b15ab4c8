"""Tokens of somebody else's signing: public keys by their kid, for signatures, and no secrets."""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

from daemon.gateway.errors import KeysError, TokenError
from daemon.gateway.tokens import REREAD_S, UNKNOWN_REREAD_S, PublicKeys, Tokens


class Signer(NamedTuple):
    """A private key, and what a JWKS says of its public one."""

    kid: str
    algorithm: str
    private: Any
    jwk: dict[str, Any]

    def sign(self, **header: Any) -> str:
        claims = {"sub": "ann", "aud": "meterd", "exp": int(time.time()) + 60}
        headers = {"kid": self.kid, **header}
        headers = {k: v for k, v in headers.items() if v is not None}
        return jwt.encode(claims, self.private, self.algorithm, headers)


def _signer(kid: str, algorithm: str, private: Any, kind: Any) -> Signer:
    jwk = kind.to_jwk(private.public_key(), as_dict=True)
    return Signer(kid, algorithm, private, {"kid": kid, **jwk})


RSA = _signer("r", "RS256", rsa.generate_private_key(65_537, 2_048), RSAAlgorithm)
EC = _signer("e", "ES256", ec.generate_private_key(ec.SECP256R1()), ECAlgorithm)
ED = _signer("d", "EdDSA", ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm)
STRANGER = _signer("r", "RS256", rsa.generate_private_key(65_537, 2_048), RSAAlgorithm)
SIGNERS = (RSA, EC, ED)
SECRET = "a secret of thirty-two bytes at the least"
SYMMETRIC = {"kid": "s", "use": "sig", **HMACAlgorithm.to_jwk(SECRET, as_dict=True)}


def _keys(folder: Path, *entries: Any) -> PublicKeys:
    path = folder / "keys.json"
    path.write_text(json.dumps({"keys": entries}))
    return PublicKeys(path)


def _checks(folder: Path, *entries: Any) -> Tokens:
    return Tokens(_keys(folder, *entries), "meterd")


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.algorithm)
def test_each_kind_of_key_counts(tmp_path: Path, signer: Signer) -> None:
    checks = _checks(tmp_path, *(each.jwk for each in SIGNERS))
    assert checks.caller(signer.sign()).sub == "ann"


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.algorithm)
def test_alone_it_needs_no_kid(tmp_path: Path, signer: Signer) -> None:
    """Neither in the set nor in the token."""
    nameless = {name: value for name, value in signer.jwk.items() if name != "kid"}
    for entry in (signer.jwk, nameless):
        assert _checks(tmp_path, entry).caller(signer.sign(kid=None)).sub == "ann"


def test_among_others_a_token_has_to_name_its_key(tmp_path: Path) -> None:
    checks = _checks(tmp_path, RSA.jwk, EC.jwk)
    for kid in (None, "x", "e", ""):
        with pytest.raises(TokenError):
            checks.caller(RSA.sign(kid=kid))


def test_another_key_of_the_same_name_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(TokenError):
        _checks(tmp_path, RSA.jwk).caller(STRANGER.sign())


@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_a_public_key_is_no_secret(tmp_path: Path, form: str) -> None:
    """Whoever signs with HS256 and the public key, which everybody has, is nobody."""
    public = RSA.private.public_key()
    shape = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, shape)
    key = pem if form == "pem" else json.dumps(RSA.jwk).encode()
    algorithm = jwt.get_algorithm_by_name("HS256")
    claims = {"sub": "ann", "aud": "meterd", "exp": int(time.time()) + 60}
    parts = b".".join(
        jwt.utils.base64url_encode(json.dumps(part).encode())
        for part in ({"alg": "HS256", "kid": "r"}, claims)
    )
    token = parts + b"." + jwt.utils.base64url_encode(algorithm.sign(parts, key))
    with pytest.raises(TokenError):
        _checks(tmp_path, RSA.jwk).caller(token.decode())


def test_no_signature_does_not_count(tmp_path: Path) -> None:
    claims = {"sub": "ann", "aud": "meterd", "exp": int(time.time()) + 60}
    for headers in ({"kid": "r"}, {}):
        with pytest.raises(TokenError):
            _checks(tmp_path, RSA.jwk).caller(jwt.encode(claims, "", "none", headers))


def test_a_symmetric_key_in_the_set_is_not_used(tmp_path: Path) -> None:
    """The file holds what may be public; and a set of nothing else is refused."""
    claims = {"sub": "ann", "aud": "meterd", "exp": int(time.time()) + 60}
    token = jwt.encode(claims, SECRET, "HS256", {"kid": "s"})
    with pytest.raises(TokenError):
        _checks(tmp_path, RSA.jwk, SYMMETRIC).caller(token)
    with pytest.raises(KeysError, match="no public key"):
        _keys(tmp_path, SYMMETRIC)


NOT_FOR_SIGNATURES: dict[str, dict[str, Any]] = {
    "use": {"use": "enc"},
    "key_ops": {"key_ops": ["encrypt", "wrapKey"]},
    "alg": {"alg": "RSA-OAEP"},
    "alg of another kind": {"alg": "PS256"},
}


@pytest.mark.parametrize("change", NOT_FOR_SIGNATURES.values(), ids=NOT_FOR_SIGNATURES.keys())
def test_a_key_for_another_purpose_is_not_used(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(TokenError):
        _checks(tmp_path, {**RSA.jwk, **change}, EC.jwk).caller(RSA.sign())


def test_a_key_that_may_verify_is_used(tmp_path: Path) -> None:
    marked = {**RSA.jwk, "use": "sig", "key_ops": ["verify"], "alg": "RS256"}
    assert _checks(tmp_path, marked, EC.jwk).caller(RSA.sign()).sub == "ann"


STRANGE: list[Any] = [
    5,
    None,
    "key",
    [],
    {},
    {"kty": "RSA"},
    {"kty": "oct"},
    {"kty": []},
    {"kty": "EC", "crv": 5},
]


@pytest.mark.parametrize("entry", STRANGE, ids=repr)
def test_an_entry_that_is_no_key_is_passed_over(tmp_path: Path, entry: Any) -> None:
    assert _checks(tmp_path, entry, RSA.jwk).caller(RSA.sign()).sub == "ann"


@pytest.mark.parametrize("kid", [5, [], {}])
def test_a_kid_that_is_no_text_names_nothing(tmp_path: Path, kid: Any) -> None:
    keys = _checks(tmp_path, {**RSA.jwk, "kid": kid}, EC.jwk)
    assert keys.caller(EC.sign()).sub == "ann"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"keys": 5}', '{"keys": []}', "[" * 99_999])
def test_a_file_without_a_usable_key_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(KeysError, match=r"keys\.json"):
        PublicKeys(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=r"nowhere\.json can't be read"):
        PublicKeys(tmp_path / "nowhere.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    with pytest.raises(KeysError, match=r"binary\.json is no JWKS"):
        PublicKeys(tmp_path / "binary.json")


@pytest.mark.parametrize("of", ["header", "none"])
def test_a_deep_or_broken_header_is_refused(tmp_path: Path, of: str) -> None:
    header = jwt.utils.base64url_encode(b"[" * 5_000 if of == "header" else b"").decode()
    with pytest.raises(TokenError):
        _checks(tmp_path, RSA.jwk).caller(f"{header}.e30.aaaa")


class Changing:
    """A file of keys that changes, and a clock that is set by hand."""

    def __init__(self, folder: Path, *entries: Any) -> None:
        self.path = folder / "keys.json"
        self.now_s = 0.0
        self.write(*entries)
        self.tokens = Tokens(PublicKeys(self.path, lambda: self.now_s), "meterd")

    def write(self, *entries: Any) -> None:
        self.path.write_text(json.dumps({"keys": entries}))

    def counts(self, signer: Signer) -> bool:
        try:
            return self.tokens.caller(signer.sign()).sub == "ann"
        except TokenError:
            return False


def test_a_key_that_has_come_counts_as_soon_as_a_token_names_it(tmp_path: Path) -> None:
    """The file is read again for it, but not at every token that names nothing."""
    keys = Changing(tmp_path, RSA.jwk)
    keys.write(RSA.jwk, EC.jwk)
    assert not keys.counts(EC), "read a moment ago"
    keys.now_s += UNKNOWN_REREAD_S
    assert keys.counts(EC)
    keys.write(RSA.jwk, EC.jwk, ED.jwk)
    assert not keys.counts(ED)


def test_a_key_that_is_taken_away_counts_no_more(tmp_path: Path) -> None:
    """Nor do its tokens that were seen before; those of others do."""
    keys = Changing(tmp_path, RSA.jwk, EC.jwk)
    assert keys.counts(RSA)
    assert keys.counts(EC)
    keys.write(EC.jwk)
    keys.now_s += REREAD_S
    assert not keys.counts(RSA)
    assert keys.counts(EC)


@pytest.mark.parametrize("text", ["", "{", '{"keys": []}'])
def test_a_file_that_is_no_use_changes_nothing(tmp_path: Path, text: str) -> None:
    """It may be in the middle of being written."""
    keys = Changing(tmp_path, RSA.jwk)
    keys.path.write_text(text)
    keys.now_s += REREAD_S
    assert keys.counts(RSA)
    keys.path.unlink()
    keys.now_s += REREAD_S
    assert keys.counts(RSA)
