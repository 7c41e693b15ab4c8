"""What faults have done to the commands stream, for who judges the run afterwards."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

from meterd.rules.commands import entry_key
from persistence.postgres.rows import JournalRow
from tests.load import Entry

Fields = dict[str, str]


@dataclasses.dataclass
class QueueLog:
    """Entries that are not in the stream any more, and entries of nobody's."""

    archive: dict[str, Fields] = dataclasses.field(default_factory=dict)
    """Entries that were taken out of the stream."""
    doubtful: set[str] = dataclasses.field(default_factory=set)
    """Those of them that had not been handled: they may have an effect still, or never."""
    moved: dict[str, Fields] = dataclasses.field(default_factory=dict)
    """Entries that were appended again, and have another ID since."""
    read_again: Counter[str] = dataclasses.field(default_factory=Counter)
    """How often an entry that had been read was read again, because the group was destroyed."""
    handled_again: Counter[str] = dataclasses.field(default_factory=Counter)
    """How often an entry had its effect again, because PostgreSQL had forgotten it."""
    foreign: list[Fields] = dataclasses.field(default_factory=list)
    """Commands that no client has sent: each may be in the stream once."""


def whole_stream(
    log: QueueLog, current: Iterable[Entry], journal: Iterable[JournalRow]
) -> tuple[list[Entry], set[str]]:
    """The stream with what was taken out of it, and the entries that were lost.

    A doubtful entry that the journal has was handled. One that had been read, and was gone when it
    was read again, is set aside as an entry without fields.
    """
    rows: Mapping[str, JournalRow] = {row.stream_id: row for row in journal}
    found, lost = log.archive | dict(current), set[str]()
    for entry in log.doubtful - dict(current).keys():
        row = rows.get(entry)
        if row is not None and row.fields:
            continue
        lost.add(entry)
        if row is None:
            del found[entry]
        else:
            found[entry] = {}
    return sorted(found.items(), key=lambda each: entry_key(each[0])), lost
