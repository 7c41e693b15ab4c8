"""What can be a command and what can't, rule by rule (PROTOCOL 2)."""

import json
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meterd.rules.commands import (
    ENTRY_BYTES_MAX,
    SHAPES,
    Command,
    InvalidCommand,
    entry_key,
    entry_ms,
    fingerprint,
    parse_entry,
)
from tests.rules.strategies import flat

NOW = 1_700_000_000_000
ENTRY = f"{NOW}-3"

WHOLE: dict[str, dict[str, str]] = {
    "start": {"id": "i", "chat_id": "c", "user_id": "u", "advisor_id": "v"},
    "adopt": {
        "id": "i", "chat_id": "c", "user_id": "u", "advisor_id": "v",
        "started_at": str(NOW - 50), "carried_ms": "50", "carried_cost": "1.5",
    },
    "pause": {"id": "i", "chat_id": "c"},
    "resume": {"id": "i", "chat_id": "c"},
    "heartbeat": {"id": "i", "chat_id": "c"},
    "set_rate": {"id": "i", "chat_id": "c", "rate": "2"},
    "end": {"id": "i", "chat_id": "c"},
    "top_up": {"id": "i", "user_id": "u", "amount": "2"},
    "refund": {"id": "i", "chat_id": "c", "amount": "2"},
    "adjust": {"id": "i", "user_id": "u", "amount": "-2"},
    "settle": {"user_id": "u"},
}  # fmt: skip
"""Of every type, a command with what it needs and no more."""

TARIFF = {
    "rate": "0", "free_ms": "0", "free_scope": "advisor", "min_ms": "0", "increment_ms": "1",
    "increment_due": "end", "idle_ms": "0", "abandon_ms": "0", "max_ms": "0",
}  # fmt: skip
MAY_HAVE = {
    "start": TARIFF,
    "adopt": TARIFF | {"carried_free_ms": "0"},
    "end": {"reason": "r"},
    "refund": {"reason": "r"},
    "adjust": {"reason": "r", "partial": "1"},
}
EVERY_FIELD = {
    name: value for fields in [*WHOLE.values(), *MAY_HAVE.values()]
    for name, value in fields.items()
}  # fmt: skip
WORDS = {
    "free_scope": ("chat", "advisor", "user"),
    "increment_due": ("begin", "end"),
    "partial": ("0", "1"),
}

IDENTIFIERS = ("id", "chat_id", "user_id", "advisor_id")
ALPHABET = "ABCXYZabcxyz0189_.:@/+=-"
STRANGE = [
    "", " ", "a b", "a\n", "\n", "a\x00", "\x00", "é", "a\u200b", "\u0661", "a,b", "a;b", "{a}",
    "a*", "a'b", 'a"b', "a\\b", "a#", "a%", "a?", "a&", "a~", "a!", "a(b)", "a|b", "😀",
]  # fmt: skip
NO_NUMBERS = [
    "", " ", "-1", "+1", "1 ", " 1", "1\n", "1.0", "1e3", "0x1", "1_0", "one", "\u0661", "\u00b2",
    "\uff11", "1\x00",
]  # fmt: skip
NO_CREDITS = [
    "", " ", ".", "1.", ".5", "--1", "+1", "1\n", "1e3", "1,5", "1.1.1", "NaN", "\u0661",
    "1.\u0665", "1234567890", "0.0000001",
]  # fmt: skip


def parse(fields: dict[str, str], entry: str = ENTRY) -> Command | InvalidCommand:
    return parse_entry(entry, flat(fields))


def whole(name: str, **more: str) -> dict[str, str]:
    return {"type": name} | WHOLE[name] | more


def check_refused(fields: dict[str, str], name: str) -> None:
    """It is invalid, the message begins with the field, and what was sent is kept."""
    answer = parse(fields)
    assert isinstance(answer, InvalidCommand)
    assert answer.reason.startswith((f"{name}:", f"{name!r}:"))
    assert answer.reason.isascii()
    assert answer.reason.isprintable()
    assert answer.fields == {k: v.replace("\x00", "\\x00") for k, v in fields.items()}


def carriers(*names: str) -> list[tuple[str, str]]:
    """Every type with every one of these fields that it needs or may have."""
    return [
        (kind, name)
        for kind in WHOLE
        for name in names
        if name in WHOLE[kind] or name in MAY_HAVE.get(kind, {})
    ]


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


@pytest.mark.parametrize(("kind", "name"), carriers(*IDENTIFIERS))
def test_identifiers(kind: str, name: str) -> None:
    """1 to 128 of the alphabet, nothing else, on every type that has one."""
    for good in ("a", ALPHABET, "x" * 128):
        assert isinstance(parse(whole(kind) | {name: good}), Command)
    for bad in [*STRANGE, "x" * 129]:
        check_refused(whole(kind) | {name: bad}, name)


@pytest.mark.parametrize("kind", WHOLE)
def test_an_optional_identifier_must_be_one(kind: str) -> None:
    """``user_id`` where it is not needed; an empty one is not the same as none."""
    for bad in STRANGE:
        check_refused(whole(kind) | {"user_id": bad}, "user_id")


@pytest.mark.parametrize(
    ("kind", "name"), [*carriers("reason"), *((kind, "reply_to") for kind in WHOLE)]
)
def test_reasons_and_reply_to(kind: str, name: str) -> None:
    """1 to 64 of the same alphabet."""
    for good in ("a", ALPHABET, "x" * 64):
        assert isinstance(parse(whole(kind) | {name: good}), Command)
    for bad in [*STRANGE, "x" * 65]:
        check_refused(whole(kind) | {name: bad}, name)


@pytest.mark.parametrize(
    ("kind", "name"),
    carriers("free_ms", "min_ms", "idle_ms", "abandon_ms", "max_ms", "carried_ms", "increment_ms"),
)
def test_durations(kind: str, name: str) -> None:
    """Up to 12 digits, and an increment at least 1."""
    entry = f"{10**15}-0"
    long_ago = {"started_at": "0"} if kind == "adopt" else {}
    for good in ("1", "01", "9" * 12, "0" * 11 + "1"):
        command = parse(whole(kind) | long_ago | {name: good}, entry)
        assert isinstance(command, Command)
        assert command.numbers[name] == int(good)
    for bad in [*NO_NUMBERS, "1" * 13, "0" * 13]:
        check_refused(whole(kind) | long_ago | {name: bad}, name)
    if name == "increment_ms":
        check_refused(whole(kind) | {name: "0"}, name)
        check_refused(whole(kind) | {name: "000"}, name)
    else:
        assert isinstance(parse(whole(kind) | {name: "0"}), Command)


@pytest.mark.parametrize(("kind", "name"), carriers("rate", "carried_cost", "amount"))
def test_credits(kind: str, name: str) -> None:
    """Up to 9 digits, then optionally a point and up to 6; an amount is more than 0."""
    for good, micro in (("1", 10**6), ("0.000001", 1), ("9" * 9 + "." + "9" * 6, 10**15 - 1)):
        command = parse(whole(kind) | {name: good})
        assert isinstance(command, Command)
        assert command.numbers[name] == micro
    for bad in [*NO_CREDITS, *(["-1"] if kind != "adjust" else [])]:
        check_refused(whole(kind) | {name: bad}, name)
    for zero in ("0", "0.000000", "000"):
        if name == "amount":
            check_refused(whole(kind) | {name: zero}, name)
        else:
            assert isinstance(parse(whole(kind) | {name: zero}), Command)


def test_an_adjustment_has_a_sign() -> None:
    """A minus before it, once; 0 is no adjustment, whatever its sign."""
    for text, micro in (("-0.000001", -1), ("2", 2 * 10**6), ("-" + "9" * 9, -(10**15 - 10**6))):
        command = parse(whole("adjust", amount=text))
        assert isinstance(command, Command)
        assert command.numbers["amount"] == micro
    for bad in ("--1", "-", "- 1", "1-", "-0", "-0.000000", "\u22121", "-\u0661"):
        check_refused(whole("adjust", amount=bad), "amount")


@pytest.mark.parametrize(("kind", "name"), carriers(*WORDS))
def test_words(kind: str, name: str) -> None:
    """One of a few words, exactly so written; the message lists them."""
    for good in WORDS[name]:
        assert isinstance(parse(whole(kind) | {name: good}), Command)
    for bad in ("", " ", WORDS[name][0].upper() + ".", WORDS[name][0] + "\n", "all", "2", "\u0661"):
        check_refused(whole(kind) | {name: bad}, name)
        answer = parse(whole(kind) | {name: bad})
        assert isinstance(answer, InvalidCommand)
        assert answer.reason.endswith(f"send one of {', '.join(WORDS[name])}")


def test_carried_free_time_is_part_of_carried_time() -> None:
    """As much at most."""
    assert isinstance(parse(whole("adopt", carried_free_ms="50")), Command)
    check_refused(whole("adopt", carried_free_ms="51"), "carried_free_ms")


def test_started_at() -> None:
    """Ms of up to 15 digits."""
    for bad in [*NO_NUMBERS, "1" * 16]:
        check_refused(whole("adopt", started_at=bad), "started_at")
    latest = whole("adopt", started_at="9" * 15, carried_ms="0")
    assert isinstance(parse(latest, f"{10**15}-0"), Command)


@pytest.mark.parametrize(
    ("started_at", "carried_ms", "fine"),
    [
        (NOW, 0, True),
        (NOW - 50, 50, True),
        (NOW - 50, 49, True),
        (0, 0, True),
        (NOW, 1, False),
        (NOW + 1, 0, False),
        (NOW - 50, 51, False),
        (10**15 - 1, 10**12 - 1, False),
    ],
)
def test_an_adopted_chat_was_not_active_longer_than_it_is_open(
    started_at: int, carried_ms: int, fine: bool
) -> None:
    """``started_at`` + ``carried_ms`` can't be later than the command."""
    fields = whole("adopt", started_at=str(started_at), carried_ms=str(carried_ms))
    if fine:
        assert isinstance(parse(fields), Command)
    else:
        check_refused(fields, "carried_ms")


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


@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_one_wrong_value_never_passes(kind: str, data: st.DataObject) -> None:
    """Any text in any field: a command only if the contract's alphabet allows it."""
    name = data.draw(st.sampled_from(sorted({*WHOLE[kind], *MAY_HAVE.get(kind, {})})))
    value = data.draw(st.text(max_size=140) | st.text("0123456789.", max_size=17))
    answer = parse(whole(kind) | MAY_HAVE.get(kind, {}) | {name: value})
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:@/+=-")
    if isinstance(answer, Command):
        assert set(value) <= allowed
        assert 1 <= len(value) <= 128
    else:
        assert answer.reason.startswith(f"{name}:") or name in ("started_at", "carried_ms")


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
