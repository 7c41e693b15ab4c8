"""What can be a command and what can't, rule by rule (PROTOCOL 2): its type and its fields."""

import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd.rules.commands import (
    SHAPES,
    Command,
    InvalidCommand,
    entry_key,
    entry_ms,
    fingerprint,
    parse_entry,
)
from tests.rules.conftest import (
    ENTRY,
    EVERY_FIELD,
    MAY_HAVE,
    NOW,
    WHOLE,
    check_refused,
    parse,
    whole,
)
from tests.rules.strategies import flat


def test_the_table_of_types_is_the_contracts() -> None:
    """These types, these needs, these options."""
    assert {k: set(v.needs) for k, v in SHAPES.items()} == {k: set(v) for k, v in WHOLE.items()}
    options = {k: set(v.may_have) for k, v in SHAPES.items() if v.may_have}
    assert options == {k: set(v) for k, v in MAY_HAVE.items()}


@pytest.mark.parametrize("kind", WHOLE)
def test_what_a_type_needs_is_enough(kind: str) -> None:
    """And everything it may have is welcome too."""
    least = parse(whole(kind))
    assert isinstance(least, Command)
    assert (least.type, least.at_ms, least.entry) == (kind, NOW, ENTRY)
    assert least.fields == whole(kind)
    most = whole(kind, reply_to="r", user_id="u", id="i") | MAY_HAVE.get(kind, {})
    assert isinstance(parse(most), Command)


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in WHOLE for n in ("type", *WHOLE[k])])
def test_a_missing_field_is_named(kind: str, name: str) -> None:
    """None of what a type needs can be left out, ``type`` and ``id`` included."""
    fields = whole(kind)
    del fields[name]
    check_refused(fields, name)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in WHOLE
        for name in [*EVERY_FIELD, "at", "Id", "", "id ", "chat_id\n", "é", "__class__"]
        if name not in {*WHOLE[kind], *MAY_HAVE.get(kind, {}), "id", "user_id", "reply_to", "type"}
    ],
)
def test_any_other_field_is_named(kind: str, name: str) -> None:
    """Even one that another type has: a command that means something else must not pass."""
    fields = whole(kind) | {name: EVERY_FIELD.get(name, "1")}
    answer = parse(fields)
    assert isinstance(answer, InvalidCommand)
    assert answer.reason.startswith(f"{name!a}: {kind} has no such field")


@pytest.mark.parametrize("kind", ["", "START", "start ", "start\n", "begin", "stárt", "settle\x00"])
def test_an_unknown_type_is_named(kind: str) -> None:
    """And what is known is told; ``settle`` is the daemon's own, not advertised."""
    fields = {"type": kind, "id": "i", "user_id": "u"}
    check_refused(fields, "type")
    answer = parse(fields)
    assert isinstance(answer, InvalidCommand)
    assert answer.reason.endswith(
        "is not one of "
        "start, adopt, pause, resume, heartbeat, set_rate, end, top_up, refund, adjust"
    )


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in WHOLE for n in ("type", *WHOLE[k])])
@pytest.mark.parametrize("same", [True, False])
def test_a_field_twice_is_named(kind: str, name: str, same: bool) -> None:
    """Even with the same value; both values are kept for whoever looks."""
    fields = whole(kind)
    other = fields[name] if same else "other"
    answer = parse_entry(ENTRY, [*flat(fields), name.encode(), other.encode()])
    assert isinstance(answer, InvalidCommand)
    assert answer.reason.startswith(f"{name!r}: the field is there twice")
    assert answer.fields[name] == [fields[name], other]


def test_the_field_that_is_there_twice_is_found_among_as_many_as_an_entry_can_hold() -> None:
    """And is the one that is named."""
    names = [bytes(name) for name in product(range(48, 128), range(48, 128), [65])][:5_400]
    raw = [part for name in [*names, names[-1]] for part in (name, b"")]
    answer = parse_entry(ENTRY, raw)
    assert isinstance(answer, InvalidCommand)
    assert answer.reason.startswith(f"{names[-1].decode()!a}: the field is there twice")


def test_a_field_many_times_is_kept_flat() -> None:
    """So that it can be written as JSON, however often it was sent."""
    answer = parse_entry(ENTRY, [b"a", b"1"] * 3_000)
    assert isinstance(answer, InvalidCommand)
    assert json.loads(json.dumps(answer.fields)) == {"a": ["1"] * 3_000}


@given(st.permutations(sorted(whole("adopt").items())), st.none() | st.sampled_from(["r1", "r2"]))
def test_the_order_of_fields_and_the_reply_address_are_no_content(
    pairs: list[tuple[str, str]], reply_to: str | None
) -> None:
    """The same command sent by another client or from another place is the same command."""
    sent = dict(pairs) | ({"reply_to": reply_to} if reply_to else {})
    plain, other = parse(whole("adopt")), parse(sent, f"{NOW + 9}-0")
    assert isinstance(plain, Command)
    assert isinstance(other, Command)
    assert fingerprint(plain) == fingerprint(other)


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in WHOLE for n in WHOLE[k]])
def test_every_other_field_is_content(kind: str, name: str) -> None:
    """Changed by a digit or a letter, the command is another one."""
    fields = whole(kind)
    changed = "0" if name in ("started_at", "carried_ms") else fields[name] + "7"
    plain, other = parse(fields), parse(fields | {name: changed})
    assert isinstance(plain, Command)
    assert isinstance(other, Command)
    assert fingerprint(plain) != fingerprint(other)


def test_a_command_happens_at_the_millisecond_of_its_entry() -> None:
    """And entries of one millisecond are in order of their numbers, not of their text."""
    assert entry_ms("1700000000000-12") == 1_700_000_000_000
    assert entry_key("5-10") > entry_key("5-9")
    assert entry_key("10-0") > entry_key("9-1")
    assert entry_key("7") == (7, 0)
