"""What a field of a command can hold and what it can't, form by form (PROTOCOL 2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd.rules.commands import Command, InvalidCommand
from tests.rules.conftest import MAY_HAVE, NOW, WHOLE, carriers, check_refused, parse, whole

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
