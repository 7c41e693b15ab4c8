"""What can be a command (PROTOCOL 2): validation with a message that names field and fix."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from meterd.rules import field_formats, outcomes
from meterd.rules.money import parse_micro
from meterd.rules.outcomes import Outcome
from meterd.rules.partitions import ONLY, Partition, partition_of
from meterd.rules.redis_keys import Keys

OPENING: Final = ("start", "adopt")
"""The types of commands that open a chat."""

ENTRY_BYTES_MAX: Final = 16 * 1024
_IDENTIFIER_BYTES_MAX: Final = 128
_SHOWN_MAX: Final = 40
"""Characters of a foreign text that a message repeats."""

_is_entry_id = re.compile(r"[0-9]{1,20}-[0-9]{1,20}").fullmatch
_is_identifier = field_formats.IDENTIFIER.pattern.fullmatch
_is_name = field_formats.NAME.pattern.fullmatch
_is_duration = field_formats.DURATION.pattern.fullmatch
_is_timestamp = field_formats.TIMESTAMP.pattern.fullmatch

_TARIFF = (
    "rate",
    "free_ms",
    "free_scope",
    "min_ms",
    "increment_ms",
    "increment_due",
    "idle_ms",
    "abandon_ms",
    "max_ms",
)
_CARRIED = ("started_at", "carried_ms", "carried_cost")
_OPENING = ("chat_id", "user_id", "advisor_id")


class _Shape(NamedTuple):
    needs: tuple[str, ...]
    may_have: tuple[str, ...] = ()


ALWAYS: Final = ("type", "id", "reply_to", "user_id")
"""Fields that every type may have."""

SHAPES: Final[dict[str, _Shape]] = {
    "start": _Shape(("id", *_OPENING), _TARIFF),
    "adopt": _Shape(("id", *_OPENING, *_CARRIED), (*_TARIFF, "carried_free_ms")),
    "pause": _Shape(("id", "chat_id")),
    "resume": _Shape(("id", "chat_id")),
    "heartbeat": _Shape(("id", "chat_id")),
    "set_rate": _Shape(("id", "chat_id", "rate")),
    "end": _Shape(("id", "chat_id"), ("reason",)),
    "top_up": _Shape(("id", "user_id", "amount")),
    "refund": _Shape(("id", "chat_id", "amount"), ("reason",)),
    "adjust": _Shape(("id", "user_id", "amount"), ("reason", "partial")),
    "settle": _Shape(("user_id",)),
}
"""Command types with the fields each needs and may have."""


class Command(NamedTuple):
    """A valid entry of the commands stream."""

    entry: str
    at_ms: int
    type: str
    id: str
    user_id: str
    chat_id: str
    reply_to: str
    fields: Mapping[str, str]
    numbers: Mapping[str, int]
    """The numeric fields: milliseconds, micro-credits, micro-credits a minute."""


class InvalidCommand(NamedTuple):
    """An entry that can't be a command of its stream, and what its sender is told."""

    entry: str
    at_ms: int
    id: str
    reply_to: str
    reason: str
    fields: Mapping[str, object]
    outcome: Outcome = outcomes.INVALID_COMMAND
    """``wrong_partition``: it is a command, but of another partition's stream."""


class _FaultError(Exception):
    """Why an entry is no command of its stream."""

    def __init__(self, reason: str, outcome: Outcome = outcomes.INVALID_COMMAND) -> None:
        super().__init__(reason)
        self.outcome = outcome


def is_identifier(text: str) -> bool:
    """Whether a chat, user or advisor can be called so."""
    return _is_identifier(text) is not None


def entry_ms(entry: str) -> int:
    """The millisecond of a stream entry ID: when its command happens."""
    return int(entry.partition("-")[0])


def entry_key(entry: str) -> tuple[int, int]:
    """A stream entry ID as something that sorts."""
    at, _, number = entry.partition("-")
    return int(at), int(number or 0)


def is_entry_id(text: str) -> bool:
    """Whether a stream entry can be called so."""
    return _is_entry_id(text) is not None


def parse_entry(
    entry: str, flat: Sequence[bytes], partition: Partition = ONLY
) -> Command | InvalidCommand:
    """Read one stream entry.

    Args:
        entry: its ID.
        flat: its fields and values in turn, as sent.
        partition: that of its stream.
    """
    try:
        fields = _decode(flat)
        numbers = _numbers(entry, fields)
        if partition.partitions > 1:
            _check_partition(fields, partition)
        return _command(entry, fields, numbers)
    except _FaultError as fault:
        return _invalid(entry, flat, str(fault))._replace(outcome=fault.outcome)


def fingerprint(command: Command) -> str:
    """What makes two commands of one id the same: all their fields but ``reply_to``."""
    content = sorted((k, v) for k, v in command.fields.items() if k != "reply_to")
    return hashlib.blake2b(repr(content).encode(), digest_size=12).hexdigest()


def _decode(flat: Sequence[bytes]) -> dict[str, str]:
    if sum(map(len, flat)) > ENTRY_BYTES_MAX:
        raise _FaultError(
            f"the entry is over {ENTRY_BYTES_MAX} bytes; send only the fields it needs"
        )
    try:
        text = [part.decode() for part in flat]
    except UnicodeDecodeError:
        raise _FaultError("the entry is not UTF-8; send plain ASCII fields") from None
    fields = dict(zip(text[::2], text[1::2], strict=True))
    if 2 * len(fields) != len(flat):
        twice, _ = Counter(text[::2]).most_common(1)[0]
        raise _FaultError(f"{_shown(twice)}: the field is there twice; send it once")
    return fields


def _command(entry: str, fields: dict[str, str], numbers: dict[str, int]) -> Command:
    return Command(
        entry=entry,
        at_ms=entry_ms(entry),
        type=fields["type"],
        id=fields.get("id", ""),
        user_id=fields.get("user_id", ""),
        chat_id=fields.get("chat_id", ""),
        reply_to=fields.get("reply_to", ""),
        fields=fields,
        numbers=numbers,
    )


def _numbers(entry: str, fields: Mapping[str, str]) -> dict[str, int]:
    shape = _shape(fields)
    for name in shape.needs:
        if name not in fields:
            raise _FaultError(f"{name}: missing; {fields['type']} needs {', '.join(shape.needs)}")
    checks = _CHECKS[fields["type"]]
    numbers: dict[str, int] = {}
    for name, value in fields.items():
        number = checks[name](name, value)
        if number is not None:
            numbers[name] = number
    _check_carried(entry, numbers)
    return numbers


def _shape(fields: Mapping[str, str]) -> _Shape:
    shape = SHAPES.get(fields.get("type", ""))
    if shape is None:
        known = ", ".join(name for name in SHAPES if name != "settle")
        raise _FaultError(f"type: {_shown(fields.get('type', ''))} is not one of {known}")
    for name in fields:
        if name not in shape.needs and name not in shape.may_have and name not in ALWAYS:
            raise _FaultError(f"{_shown(name)}: {fields['type']} has no such field; leave it out")
    return shape


def _check_partition(fields: Mapping[str, str], partition: Partition) -> None:
    """Whose command it is must show in the command: a chat may be another partition's."""
    user, partitions = fields.get("user_id"), partition.partitions
    if user is None:
        raise _FaultError(f"user_id: missing; with {partitions} partitions each command carries it")
    if not partition.has(user):
        right = partition_of(user, partitions)
        raise _FaultError(
            f"user_id: the account is in partition {right} of {partitions}; "
            f"send to {Keys(right).commands}",
            outcomes.WRONG_PARTITION,
        )


def _check_carried(entry: str, numbers: Mapping[str, int]) -> None:
    if "carried_ms" not in numbers:
        return
    if numbers["started_at"] + numbers["carried_ms"] > entry_ms(entry):
        raise _FaultError(
            "carried_ms: started_at + carried_ms is later than the command; "
            "send the time that was active until now"
        )
    if numbers.get("carried_free_ms", 0) > numbers["carried_ms"]:
        raise _FaultError(
            "carried_free_ms: it is more than carried_ms; send how much of that time was free"
        )


def _identifier(name: str, value: str) -> None:
    if _is_identifier(value) is None:
        raise _FaultError(
            f"{name}: {_shown(value)} is not an identifier; "
            "send 1 to 128 of A-Z a-z 0-9 _ . : @ / + = -"
        )


def _short_name(name: str, value: str) -> None:
    if _is_name(value) is None:
        raise _FaultError(
            f"{name}: {_shown(value)} won't do; send 1 to 64 of A-Z a-z 0-9 _ . : @ / + = -"
        )


def _credits(name: str, value: str) -> int:
    try:
        return parse_micro(value)
    except ValueError:
        raise _FaultError(
            f"{name}: {_shown(value)} is not an amount of credits; "
            "send up to 9 digits, then optionally a point and up to 6, as in 12.5"
        ) from None


def _amount(name: str, value: str) -> int:
    amount = _credits(name, value)
    if amount == 0:
        raise _FaultError(f"{name}: must be more than 0")
    return amount


def _signed_amount(name: str, value: str) -> int:
    amount = _amount(name, value.removeprefix("-"))
    return -amount if value.startswith("-") else amount


def _one_of(words: field_formats.FieldFormat, name: str, value: str) -> None:
    if words.pattern.fullmatch(value) is None:
        listed = words.pattern.pattern.strip("(?:)").replace("|", ", ")
        raise _FaultError(f"{name}: {_shown(value)} won't do; send one of {listed}")


def _duration(name: str, value: str) -> int:
    if _is_duration(value) is None:
        raise _FaultError(f"{name}: {_shown(value)} is not milliseconds; send up to 12 digits")
    return int(value)


def _increment(name: str, value: str) -> int:
    increment_ms = _duration(name, value)
    if increment_ms < 1:
        raise _FaultError(f"{name}: must be at least 1; 1 bills by the millisecond")
    return increment_ms


def _timestamp(name: str, value: str) -> int:
    if _is_timestamp(value) is None:
        raise _FaultError(
            f"{name}: {_shown(value)} is not a time in ms since 1970; send up to 15 digits"
        )
    return int(value)


_Check = Callable[[str, str], int | None]

_CHECK_OF: Final[dict[field_formats.FieldFormat, _Check]] = {
    field_formats.IDENTIFIER: _identifier,
    field_formats.NAME: _short_name,
    field_formats.CREDITS: _credits,
    field_formats.AMOUNT: _amount,
    field_formats.DURATION: _duration,
    field_formats.INCREMENT: _increment,
    field_formats.TIMESTAMP: _timestamp,
    field_formats.SIGNED_AMOUNT: _signed_amount,
    field_formats.FREE_SCOPE: partial(_one_of, field_formats.FREE_SCOPE),
    field_formats.INCREMENT_DUE: partial(_one_of, field_formats.INCREMENT_DUE),
    field_formats.FLAG: partial(_one_of, field_formats.FLAG),
}


def _known_type(_name: str, _value: str) -> None:
    """``type`` was checked when the shape was looked up."""


_CHECKS: Final[dict[str, dict[str, _Check]]] = {
    command_type: {
        name: _CHECK_OF[field_formats.format_of(command_type, name)]
        if name != "type"
        else _known_type
        for name in (*shape.needs, *shape.may_have, *ALWAYS)
    }
    for command_type, shape in SHAPES.items()
}
"""Command type → field → what checks it."""


def _shown(text: str) -> str:
    """Foreign text in a message: quoted, escaped and cut."""
    return ascii(text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…")


def _invalid(entry: str, flat: Sequence[bytes], reason: str) -> InvalidCommand:
    sent: dict[str, list[str]] = {}
    for name, value in _kept(flat):
        sent.setdefault(name, []).append(value)
    # A field sent twice is kept as a list, so that no reader takes it for a valid one.
    fields: dict[str, object] = {
        name: values[0] if len(values) == 1 else values for name, values in sent.items()
    }
    reply_to = fields.get("reply_to", "")
    answerable = isinstance(reply_to, str) and _is_name(reply_to) is not None
    return InvalidCommand(
        entry=entry,
        at_ms=entry_ms(entry),
        id=str(fields.get("id", "")),
        reply_to=str(reply_to) if answerable else "",
        reason=reason,
        fields=fields,
    )


def _kept(flat: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    """What is kept of an entry: as much as a command may have, and always who asked."""
    room = ENTRY_BYTES_MAX
    for name, value in zip(flat[::2], flat[1::2], strict=True):
        asks = name in (b"id", b"reply_to")
        if room <= 0 and not asks:
            continue
        least = _IDENTIFIER_BYTES_MAX if asks else 0
        yield _readable(name[: max(room, least)]), _readable(value[: max(room, least)])
        room -= len(name) + len(value)


def _readable(raw: bytes) -> str:
    """Bytes of any kind as text that JSON and Postgres take."""
    return raw.decode(errors="backslashreplace").replace("\x00", "\\x00")
