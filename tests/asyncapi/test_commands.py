"""The schemas of commands take what the daemon takes, and refuse what it refuses."""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from meterd.rules.commands import ENTRY_BYTES_MAX, SHAPES, Command, InvalidCommand, parse_entry
from meterd.rules.field_formats import FIELD_FORMATS, format_of
from tests.asyncapi.checking import DOCUMENT, faults
from tests.conformance import EXAMPLES, flat_fields

FAR: Final = f"{10**16}-0"
"""Later than any started_at + carried_ms: what a schema can't compare does not count here."""

_STRANGE: Final = st.one_of(
    st.sampled_from(["", " ", "a\n", "1\n", "\n", "0", "0.0", "000", "1.", ".5", "1e3", "-1", "é",
                     "\u0661", "x" * 64, "x" * 65, "x" * 128, "x" * 129, "1" * 9, "1" * 10,
                     "1" * 12, "1" * 13, "1" * 15, "1" * 16, "0.0000001"]),
    st.text(max_size=12),
)  # fmt: skip
_NAMES: Final = st.one_of(
    st.sampled_from([*FIELD_FORMATS, "type", "Id", "id ", "at", ""]), st.text(max_size=5)
)


@st.composite
def valid(draw: st.DrawFn) -> dict[str, str]:
    """A command with what it needs, and some of what it may have."""
    type_ = draw(st.sampled_from(sorted(SHAPES)))
    shape = SHAPES[type_]
    options = (*shape.may_have, "reply_to", "user_id", "id")
    names = [*shape.needs, *draw(st.lists(st.sampled_from(options), unique=True))]
    values = {name: draw(_value(type_, name)) for name in dict.fromkeys(names)}
    if not _is_carried_free_part_of_carried(values):
        values["carried_free_ms"] = values["carried_ms"]
    return {"type": type_, **values}


def _value(type_: str, name: str) -> st.SearchStrategy[str]:
    form = format_of(type_, name)
    texts = st.from_regex(form.pattern, fullmatch=True)
    return texts.filter(_is_above_0) if form.is_above_0 else texts


def _is_above_0(text: str) -> bool:
    return text.strip("-0.") != ""


def _is_carried_free_part_of_carried(fields: Mapping[str, str]) -> bool:
    """What no schema can say, as ``started_at`` before the command; words do."""
    texts = fields.get("carried_free_ms", ""), fields.get("carried_ms", "")
    if not all(text.isascii() and text.isdecimal() for text in texts):
        return True
    return int(texts[0]) <= int(texts[1])


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, str]:
    """A command to which something was done; it may still be one."""
    fields = draw(valid())
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["drop", "put", "change", "retype"]))
        if kind == "put":
            fields[draw(_NAMES)] = draw(_STRANGE)
        elif kind == "retype":
            fields["type"] = draw(st.sampled_from([*SHAPES, "START", "", "start\n"]))
        elif fields:
            name = draw(st.sampled_from(sorted(fields)))
            changed = draw(_STRANGE)
            fields.pop(name) if kind == "drop" else fields.update({name: changed})
    return fields


def _is_described(fields: dict[str, str]) -> bool:
    """Whether one of the channel's messages is so: they are told apart by their type."""
    return any(not faults(type_, fields) for type_ in SHAPES)


def _is_taken(fields: dict[str, str], entry: str = FAR) -> bool:
    return isinstance(parse_entry(entry, flat_fields(fields)), Command)


@given(valid())
def test_a_command_is_as_described(fields: dict[str, str]) -> None:
    """Made of the forms in the rules: taken by the daemon, and described."""
    assert _is_taken(fields)
    assert faults(fields["type"], fields) == []


@given(mutated())
def test_what_is_described_is_what_is_taken(fields: dict[str, str]) -> None:
    """A map of fields is a command for the schemas if and only if it is one for the daemon."""
    is_taken = _is_taken(fields)
    event("taken" if is_taken else "refused")
    if _is_carried_free_part_of_carried(fields):
        assert _is_described(fields) == is_taken


def test_the_worked_examples_agree() -> None:
    """The contract's own commands, valid and invalid, as if sent so late that no time is."""
    for example in EXAMPLES:
        for _, fields in filter(_can_be_described, example["entries"]):
            assert _is_described(fields) == _is_taken(fields)


def _can_be_described(entry: tuple[int, dict[str, str]]) -> bool:
    return _is_carried_free_part_of_carried(entry[1])


@pytest.mark.parametrize("type_", SHAPES)
def test_its_examples_are_commands(type_: str) -> None:
    """What the document shows can be sent."""
    shown = DOCUMENT["components"]["messages"][type_]["examples"]
    assert shown
    for one in shown:
        assert _is_taken(one["payload"], "1700000000000-0")
        assert faults(type_, one["payload"]) == []


def test_no_command_that_is_described_is_too_large() -> None:
    """The bound on an entry's size is no rule of its own: the longest fields stay below it."""
    longest = dict.fromkeys(("type", *FIELD_FORMATS), "1" * 128)
    assert sum(map(len, flat_fields(longest))) < ENTRY_BYTES_MAX


def test_what_a_schema_cant_say_is_said_in_words() -> None:
    """A time carried beyond now is refused by the daemon alone."""
    adopt: dict[str, Any] = {
        **DOCUMENT["components"]["messages"]["adopt"]["examples"][0]["payload"]
    }
    adopt["carried_ms"] = str(10**11)
    assert faults("adopt", adopt) == []
    assert isinstance(parse_entry("1700000000000-0", flat_fields(adopt)), InvalidCommand)
    about = DOCUMENT["channels"]["commands"]["description"]
    for words in ("comes twice", "UTF-8", "carried_ms", str(ENTRY_BYTES_MAX)):
        assert words in about
