"""What is fuzzed: each target takes bytes; an AssertionError or another exception is a finding."""

import base64
import contextlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from daemon.gateway import cursors
from daemon.gateway.authorization import ROLES
from daemon.gateway.dead_letter_lists import letter_name
from daemon.gateway.errors import ProblemError, TokenError
from daemon.gateway.tokens import SecretKey, Tokens
from meterd.rules import commands

ENTRY: Final = "1700000000000-0"
REASON_CHARACTERS_MAX: Final = 400
SECRET: Final = "fuzzing-fuzzing-fuzzing-fuzzing!"
AUDIENCE: Final = "meterd"
_SIZE_BYTES: Final = 2
"""Before each part of an entry: its length."""


def entry(data: bytes) -> None:
    """Any fields make a command, the same one each time, or the reason why they do not."""
    flat = list(_parts(data))
    found = commands.parse_entry(ENTRY, flat[: len(flat) // 2 * 2])
    if isinstance(found, commands.InvalidCommand):
        _check_text(found.id, found.reply_to, found.reason, json.dumps(found.fields))
        assert len(found.reason) <= REASON_CHARACTERS_MAX, found.reason
        assert found.reason.isascii() or "…" in found.reason, found.reason
        return
    names = [commands.is_identifier(name) for name in (found.user_id, found.chat_id) if name]
    assert all(names), found
    assert all(type(number) is int for number in found.numbers.values()), found
    again = [part.encode() for field in found.fields.items() for part in field]
    repeated = commands.parse_entry(ENTRY, again)
    assert repeated == found, (repeated, found)
    assert isinstance(repeated, commands.Command)
    assert commands.fingerprint(repeated) == commands.fingerprint(found)


def token(data: bytes) -> None:
    """Bytes as a token: none is valid, and all are refused in the same way."""
    with contextlib.suppress(TokenError):
        caller = Tokens(SecretKey(SECRET), AUDIENCE).caller(data.decode("latin-1"))
        raise AssertionError(f"nobody signed this: {caller}")


def claims(data: bytes) -> None:
    """Bytes as the claims of a token that is signed: a caller with a name and roles, or none."""
    head = _base64(b'{"alg":"HS256","typ":"JWT"}')
    signed = head + b"." + _base64(data)
    signature = hmac.digest(SECRET.encode(), signed, "sha256")
    whole = (signed + b"." + _base64(signature)).decode()
    with contextlib.suppress(TokenError):
        caller = Tokens(SecretKey(SECRET), AUDIENCE).caller(whole)
        assert caller.sub, caller
        assert caller.roles, caller
        assert caller.roles <= set(ROLES), caller
        assert caller.expires_at_s > time.time() - 60, caller


_CURSORS: Final[tuple[tuple[Callable[[str], Any], Callable[[Any], str] | None], ...]] = (
    (cursors.unpack_place, lambda place: cursors.pack_cursor(*place)),
    (cursors.unpack_search, None),
    (lambda text: cursors.unpack_sorted(text, "cost"), lambda at: cursors.pack_cursor("cost", *at)),
    (cursors.unpack_key, cursors.pack_cursor),
    (cursors.unpack_number, cursors.pack_cursor),
    (
        lambda text: cursors.unpack_letter(text, 4),
        lambda place: cursors.pack_cursor(letter_name(place[0], place[1], 4)),
    ),
)


def cursor(data: bytes) -> None:
    """Text as a cursor, as it comes and packed as ours are: a place in a list, or refused."""
    texts = data.decode("latin-1"), base64.urlsafe_b64encode(data).decode().rstrip("=")
    for text in texts:
        for unpack, pack in _CURSORS:
            with contextlib.suppress(ProblemError):
                place = unpack(text)
                assert pack is None or unpack(pack(place)) == place, (text, place)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "entry": entry,
    "token": token,
    "claims": claims,
    "cursor": cursor,
}

WORDS: Final = sorted(
    {
        word
        for name, shape in commands.SHAPES.items()
        for word in (name, *shape.needs, *shape.may_have)
    }
    | {"sub", "aud", "exp", "role", "nbf", "iss", "jti", *ROLES}
)
"""What random bytes would not come upon."""


def seeds() -> dict[str, list[bytes]]:
    """Valid inputs to begin with, by target."""
    start = {"chat_id": "c", "user_id": "u", "advisor_id": "a"}
    adopt = {**start, "started_at": "1", "carried_ms": "5", "carried_cost": "0.1"}
    entries = [
        {"type": "start", "id": "1", **start, "rate": "1.5", "free_scope": "user"},
        {"type": "adopt", "id": "2", **adopt, "carried_free_ms": "5", "increment_due": "end"},
        {"type": "adjust", "id": "3", "user_id": "u", "amount": "-1.000001", "partial": "1"},
        {"type": "refund", "id": "4", "chat_id": "c", "amount": "1", "reason": "r"},
        {"type": "settle", "user_id": "u"},
    ]
    claim = {"sub": "u", "aud": AUDIENCE, "exp": 4_000_000_000, "role": ["user", "ops"]}
    places = [(1, "c"), (0, 1, "c"), ("cost", 1, 2, "c"), ("c",), (7,), ("1-0",)]
    return {
        "entry": [packed(fields) for fields in entries],
        "token": [_base64(b'{"alg":"none"}') + b"." + _base64(b'{"sub":"u"}') + b"."],
        "claims": [json.dumps(claim).encode()],
        "cursor": [json.dumps(place).encode() for place in places],
    }


def packed(fields: dict[str, str]) -> bytes:
    """An entry as `entry` reads it."""
    parts = [part.encode() for field in fields.items() for part in field]
    return b"".join(len(part).to_bytes(_SIZE_BYTES, "big") + part for part in parts)


def _parts(data: bytes) -> Iterator[bytes]:
    """Parts with their length before them; the last one may be short."""
    while data:
        end = _SIZE_BYTES + int.from_bytes(data[:_SIZE_BYTES], "big")
        yield data[_SIZE_BYTES:end]
        data = data[end:]


def _check_text(*texts: str) -> None:
    """What is stored and sent has to be UTF-8 without NUL."""
    for text in texts:
        assert "\x00" not in text, text
        text.encode()


def _base64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
