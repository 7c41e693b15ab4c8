"""Entries that are no commands, whatever is in them: what is kept of them, and who is told."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meterd.rules.commands import ENTRY_BYTES_MAX, Command, InvalidCommand, parse_entry
from tests.rules.conftest import ENTRY, EVERY_FIELD, parse, whole
from tests.rules.strategies import flat


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"]
)
@pytest.mark.parametrize("place", range(6))
def test_bad_utf8_is_refused_wherever_it_stands(bad: bytes, place: int) -> None:
    """Names and values, surrogates and overlong forms included; what it was can be read."""
    parts = list(flat(whole("pause")))
    parts[place] = bad
    answer = parse_entry(ENTRY, parts)
    assert isinstance(answer, InvalidCommand)
    assert "UTF-8" in answer.reason
    readable = "".join(f"\\x{byte:02x}" for byte in bad)
    assert readable in [*answer.fields, *answer.fields.values()]


def test_an_entry_may_have_16_kib_and_no_byte_more() -> None:
    """All names and values together, counted before anything else is looked at."""
    parts = list(flat(whole("pause", reply_to="")))
    room = ENTRY_BYTES_MAX - sum(map(len, parts))
    assert ENTRY_BYTES_MAX == 16_384
    for size, reason in ((room, "reply_to:"), (room + 1, "the entry is over 16384 bytes")):
        parts[-1] = b"x" * size
        answer = parse_entry(ENTRY, parts)
        assert isinstance(answer, InvalidCommand)
        assert answer.reason.startswith(reason)


def test_of_an_oversized_entry_no_more_is_kept_than_a_command_may_have_and_who_asked() -> None:
    """However large it is: the dead letter and the journal take it, and the sender is told."""
    huge = [b"a" * 9_000, b"b" * 9_000_000, *[b"c", b"d" * 5_000] * 90]
    flat = [*huge, b"id", b"the-id", b"reply_to", b"me"]
    invalid = parse_entry(ENTRY, flat)
    assert isinstance(invalid, InvalidCommand)
    assert (invalid.id, invalid.reply_to) == ("the-id", "me")
    assert len(json.dumps(invalid.fields)) < 2 * ENTRY_BYTES_MAX + 1_000


def test_an_empty_entry_is_refused() -> None:
    """It has no type."""
    answer = parse_entry(ENTRY, [])
    assert isinstance(answer, InvalidCommand)
    assert answer.reason.startswith("type:")
    assert (answer.id, answer.reply_to, answer.fields) == ("", "", {})


@pytest.mark.parametrize(
    ("reply_to", "answer_to"),
    [("r1", "r1"), ("x" * 64, "x" * 64), ("x" * 65, ""), ("a b", ""), ("", ""), ("{a}", "")],
)
def test_an_invalid_entry_is_answered_where_that_can_be_done(reply_to: str, answer_to: str) -> None:
    """A ``reply_to`` that is none names no stream: it would be a key of the sender's making."""
    answer = parse({"type": "begin", "id": "i7", "reply_to": reply_to})
    assert isinstance(answer, InvalidCommand)
    assert (answer.id, answer.reply_to) == ("i7", answer_to)


parts = st.binary(max_size=12) | st.sampled_from(
    [name.encode() for name in EVERY_FIELD] + [b"type", b"reply_to", b"start", b"adopt", b"\xff"]
)
entries = st.lists(st.tuples(parts, parts), max_size=12).map(
    lambda pairs: [part for pair in pairs for part in pair]
)


@given(entries)
@example([b"type", b"pause", b"id", b"\x00", b"chat_id", b"\xed\xa0\x80"])
def test_no_bytes_make_it_fail_and_what_it_keeps_can_be_stored(raw: list[bytes]) -> None:
    """Whatever was sent is JSON, without what Postgres can't hold: NUL and lone surrogates."""
    answer = parse_entry(ENTRY, raw)
    if isinstance(answer, Command):
        return
    assert answer.reason.isascii()
    for text in (json.dumps(answer.fields), answer.id, answer.reply_to, answer.reason):
        text.encode()
        assert "\x00" not in text
        assert "\\u0000" not in text.replace("\\\\", "")
    assert json.loads(json.dumps(answer.fields)) == answer.fields
    assert len(answer.fields) <= len(raw) // 2
