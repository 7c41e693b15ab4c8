"""Rows as the JSON lines of an archive, which any program reads.

Credits are decimal strings, times milliseconds since 1970, names those of the columns.
"""

import functools
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

from daemon.audit.opening_state import ArchivedState, read_state, state_row
from meterd.rules.commands import entry_key
from meterd.rules.money import format_micro, read_micro
from persistence.postgres.archives import OpeningStateRow
from persistence.postgres.reader import ChatOwner
from persistence.postgres.rows import JournalRow, LedgerRow, RecordRow

_MICRO: Final = "_micro"
_AT_MS: Final = "_at_ms"

Row = TypeVar("Row", LedgerRow, RecordRow)


class OpeningLine(NamedTuple):
    """What a user's rows of an archive begin with."""

    user_id: str
    state: ArchivedState
    ended: list[RecordRow]
    """Chats that had ended before, of those that the rows name."""
    foreign: list[ChatOwner]
    """Chats that the rows name and that are another user's."""


def journal_line(row: JournalRow, partition: int) -> dict[str, Any]:
    """Give a row of a partition's journal."""
    return {"partition": partition, **row._asdict()}


def journal_row(line: Mapping[str, Any]) -> JournalRow:
    """Read one. Raises ValueError."""
    try:
        return JournalRow(**{name: value for name, value in line.items() if name != "partition"})
    except TypeError as error:
        raise ValueError(str(error)) from None


class LastEntries:
    """The last entry of each partition, of rows in any order."""

    def __init__(self) -> None:
        """Begin without any."""
        self._last: dict[int, tuple[int, int]] = {}

    def take(self, row: JournalRow, partition: int) -> None:
        """Take in a row of a partition's journal."""
        key = entry_key(row.stream_id)
        self._last[partition] = max(self._last.get(partition, key), key)

    def by_partition(self) -> dict[str, str]:
        """Give them by the number of the partition, as text: JSON has no other names."""
        return {str(number): "{}-{}".format(*key) for number, key in sorted(self._last.items())}

    def last(self) -> str:
        """Give the last of all; 0-0 if there is none."""
        return "{}-{}".format(*max(self._last.values(), default=(0, 0)))


def row_line(row: LedgerRow | RecordRow) -> dict[str, Any]:
    """Give an entry of the ledger, or a record."""
    return {_named(name): _shown(name, value) for name, value in row._asdict().items()}


def read_row(type_: type[Row], line: Mapping[str, Any]) -> Row:
    """Read one. Raises ValueError."""
    try:
        return type_(**{name: _read(name, line[_named(name)]) for name in type_._fields})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no {type_.__name__}: {error}") from None


def state_line(user: str, state: ArchivedState) -> dict[str, Any]:
    """Give what an account was."""
    return state_row(user, state)._asdict()


def opening_line(
    user: str, state: ArchivedState, ended: list[RecordRow], foreign: list[ChatOwner]
) -> dict[str, Any]:
    """Give what a user's rows begin with."""
    owners = [{"chat_id": o.chat_id, "user_id": o.owner, "since": o.entry} for o in foreign]
    return {
        **state_line(user, state),
        "ended": [row_line(row) for row in ended],
        "foreign": owners,
    }


def read_closing(line: Mapping[str, Any]) -> OpeningStateRow:
    """Read what an account was. Raises ValueError."""
    try:
        return OpeningStateRow(**line)
    except TypeError as error:
        raise ValueError(f"no state of an account: {error}") from None


def read_opening(line: Mapping[str, Any]) -> OpeningLine:
    """Read what a user's rows begin with. Raises ValueError."""
    state = {name: value for name, value in line.items() if name not in ("ended", "foreign")}
    row = read_closing(state)
    try:
        ended = [read_row(RecordRow, one) for one in line["ended"]]
        foreign = [
            ChatOwner(row.user_id, one["chat_id"], one["user_id"], one["since"])
            for one in line["foreign"]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no beginning of an account: {error}") from None
    return OpeningLine(row.user_id, read_state(row), ended, foreign)


@functools.cache
def _named(name: str) -> str:
    if name.endswith(_MICRO):
        return name.removesuffix(_MICRO)
    return name.removesuffix("_ms") if name.endswith(_AT_MS) or name == "at_ms" else name


def _shown(name: str, value: Any) -> Any:
    return format_micro(value) if name.endswith(_MICRO) else value


def _read(name: str, value: Any) -> Any:
    return read_micro(value) if name.endswith(_MICRO) else value
