"""Tokens: whoever signs with the one secret counts, within what the token says; nobody else."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.gateway import tokens
from daemon.gateway.authorization import ROLES
from daemon.gateway.errors import TokenError
from daemon.gateway.tokens import SecretKey, Tokens, mint

SECRET = "a secret of thirty-two bytes at the least"
OTHER_SECRET = "another secret of thirty-two bytes at least"
CHECKS = Tokens(SecretKey(SECRET), "meterd")


def _claims(**changes: Any) -> dict[str, Any]:
    claims = {"sub": "ann", "aud": "meterd", "exp": int(time.time()) + 60, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def _signed(secret: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(_claims(**changes), secret, algorithm)


def _by_hand(header: dict[str, Any], claims: str) -> str:
    """Signed rightly, whatever it is that is signed."""
    parts = ".".join(map(_base64, (json.dumps(header), claims)))
    algorithm = jwt.get_algorithm_by_name("HS256")
    signature = algorithm.sign(parts.encode(), algorithm.prepare_key(SECRET))
    return f"{parts}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _base64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_a_token_speaks_for_its_sub_with_its_roles_until_it_ends() -> None:
    before_s = time.time()
    caller = CHECKS.caller(mint(SECRET, "meterd", "ann", ["ops", "backend"], 60))
    assert (caller.sub, set(caller.roles)) == ("ann", {"ops", "backend"})
    assert before_s + 59 <= caller.expires_at_s <= time.time() + 60


@pytest.mark.parametrize(
    ("role", "roles"),
    [(None, {"user"}), ("ops", {"ops"}), (["user", "advisor"], {"user", "advisor"})],
)
def test_role_is_one_or_a_list_or_user_by_default(role: Any, roles: set[str]) -> None:
    assert CHECKS.caller(_signed(role=role)).roles == roles


@pytest.mark.parametrize("aud", ["meterd", ["others", "meterd"]])
def test_aud_names_us_alone_or_among_others(aud: Any) -> None:
    assert CHECKS.caller(_signed(aud=aud)).sub == "ann"


REFUSED: dict[str, Callable[[], str]] = {
    "another secret": lambda: _signed(OTHER_SECRET),
    "no signature": lambda: jwt.encode(_claims(), "", "none"),
    "a signature cut off": lambda: _signed().rpartition(".")[0] + ".",
    "no exp": lambda: _signed(exp=None),
    "exp in the past": lambda: _signed(exp=int(time.time()) - 1),
    "exp a word": lambda: _by_hand({"alg": "HS256"}, json.dumps(_claims(exp="soon"))),
    "exp without end": lambda: _by_hand(
        {"alg": "HS256"}, '{"sub":"ann","aud":"meterd","exp":Infinity}'
    ),
    "exp no number": lambda: _by_hand({"alg": "HS256"}, '{"sub":"ann","aud":"meterd","exp":NaN}'),
    "exp of 400 digits": lambda: _by_hand(
        {"alg": "HS256"}, '{"sub":"ann","aud":"meterd","exp":1' + "0" * 400 + "}"
    ),
    "exp a list": lambda: _by_hand({"alg": "HS256"}, '{"sub":"ann","aud":"meterd","exp":[]}'),
    "not yet": lambda: _signed(nbf=int(time.time()) + 60),
    "no aud": lambda: _signed(aud=None),
    "another aud": lambda: _signed(aud="elsewhere"),
    "aud a number": lambda: _by_hand({"alg": "HS256"}, json.dumps(_claims(aud=5))),
    "no sub": lambda: _signed(sub=None),
    "an empty sub": lambda: _signed(sub=""),
    "sub a number": lambda: _by_hand({"alg": "HS256"}, json.dumps(_claims(sub=5))),
    "an unknown role": lambda: _signed(role="root"),
    "one unknown role of two": lambda: _signed(role=["user", "root"]),
    "no role in the list": lambda: _signed(role=[]),
    "role an object": lambda: _signed(role={"user": True}),
    "a role in a role": lambda: _signed(role=[["user"]]),
    "claims that are a list": lambda: _by_hand({"alg": "HS256"}, "[1]"),
    "too long": lambda: _signed(sub="a" * tokens.TOKEN_BYTES_MAX),
    "a header that is deep": lambda: f"{_base64('[' * 5_000)}.e30.aaaa",
    "a header of a huge number": lambda: f"{_base64('1' * 5_000)}.e30.aaaa",
    "a header with an object for kid": lambda: _by_hand(
        {"alg": "HS256", "kid": {}}, json.dumps(_claims())
    ),
    "not a token": lambda: "token",
    "nothing": lambda: "",
    "no ascii": lambda: "é.é.é",
}  # fmt: skip


def test_a_token_of_another_hash_does_not_count() -> None:
    """Even if it is signed with the secret."""
    long = SECRET * 2
    with pytest.raises(TokenError):
        Tokens(SecretKey(long), "meterd").caller(_signed(long, "HS512"))


@pytest.mark.parametrize("token", REFUSED.values(), ids=REFUSED.keys())
def test_no_other_token_counts(token: Any) -> None:
    made = token()
    with pytest.raises(TokenError) as refused:
        CHECKS.caller(made)
    assert len(made) < 10 or made not in str(refused.value)


@given(st.text() | st.lists(st.binary(), min_size=2, max_size=4).map(
    lambda parts: ".".join(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in parts)
))  # fmt: skip
@example(f"{_base64(json.dumps({'alg': 'HS256', 'b64': False, 'crit': ['b64']}))}.e30.e30")
def test_any_text_is_refused_and_breaks_nothing(text: str) -> None:
    with pytest.raises(TokenError):
        CHECKS.caller(text)


def test_a_token_signed_with_one_letter_changed_does_not_count() -> None:
    """The last letter of a base64 text may stand for nothing; any other is part of it."""
    token = _signed()
    for at in range(0, len(token) - 1, 7):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(TokenError):
            CHECKS.caller(changed)


def test_what_is_remembered_ends_with_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that counted does not count a moment after its exp, however often it was used."""
    checks, token = Tokens(SecretKey(SECRET), "meterd"), _signed()
    ends_at_s = checks.caller(token).expires_at_s
    monkeypatch.setattr(time, "time", lambda: ends_at_s - 0.001)
    assert checks.caller(token).sub == "ann"
    monkeypatch.setattr(time, "time", lambda: ends_at_s)
    for _ in range(2):
        with pytest.raises(TokenError, match="expired"):
            checks.caller(token)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "REMEMBERED_MAX", 10)
    checks = Tokens(SecretKey(SECRET), "meterd")
    for number in range(50):
        assert checks.caller(_signed(sub=f"user-{number}")).sub == f"user-{number}"
    assert len(checks._remembered) == 10


def test_a_token_that_does_not_count_is_not_remembered() -> None:
    checks = Tokens(SecretKey(SECRET), "meterd")
    for make in REFUSED.values():
        with pytest.raises(TokenError):
            checks.caller(make())
    assert not checks._remembered


@given(st.sets(st.sampled_from(ROLES), min_size=1), st.text(min_size=1, max_size=100))
def test_what_is_minted_counts(roles: set[str], sub: str) -> None:
    caller = CHECKS.caller(mint(SECRET, "meterd", sub, sorted(roles), 60))
    assert (caller.sub, set(caller.roles)) == (sub, roles)
