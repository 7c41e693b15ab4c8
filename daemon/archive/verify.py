"""An archive folded again, from what accounts were before it, without the database."""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from actors.chat.rows import chat_of_record
from daemon.archive.account import ArchivedAccount, archived_account
from daemon.archive.files import KINDS, FileEntry, Kind, Manifest, fault_of, read_lines
from daemon.archive.lines import (
    LastEntries,
    OpeningLine,
    journal_row,
    read_closing,
    read_opening,
    read_row,
    state_line,
)
from daemon.audit.differences import NOTHING, Difference, Tell, differing
from daemon.audit.folding import ByUser, Fold, Foreign, Position
from daemon.audit.opening_state import NOTHING_IMPORTED, StartedLater
from daemon.errors import ArchiveError
from meterd.rules.model import MIGRATED
from meterd.rules.partitions import Partition
from meterd.rules.replay import Replay
from persistence.postgres.archives import OpeningStateRow
from persistence.postgres.rows import JournalRow, LedgerRow, RecordRow
from persistence.redis.commit import read_policy

_Row = LedgerRow | RecordRow


class _Rows(NamedTuple):
    """All rows of an archive, user by user."""

    journal: ByUser[JournalRow]
    ledger: ByUser[LedgerRow]
    records: ByUser[RecordRow]


class Verification:
    """One run over an archive; nothing is written."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        tell: Tell,
        progress: Callable[[str], None] = lambda _phase: None,
    ) -> None:
        """Read ``folder``; what is not as it must be goes to ``tell``.

        ``progress`` is called for every row of the journal, with the name of the phase.
        """
        self._folder = folder
        self._manifest = manifest
        self._tell = tell
        self._progress = progress
        self._counts = dict[str, int](dict.fromkeys(KINDS, 0))
        self._last = LastEntries()
        self._policies = {k: read_policy(v) for k, v in manifest.policies.items()}

    def run(self) -> None:
        """Compare the files with the manifest, then what they say with the fold.

        Nothing is folded of what is not even whole.
        """
        faults = [fault for entry in self._manifest.files for fault in self._file(entry)]
        for fault in faults:
            self._tell(fault)
        if faults:
            return
        try:
            self._fold()
        except (ArchiveError, ValueError) as error:
            self._tell(_difference("file", "lines that can be read", str(error)))

    def _file(self, entry: FileEntry) -> Iterator[Difference]:
        self._progress("files")
        fault = fault_of(self._folder, entry)
        if fault:
            expected = f"{entry.bytes:,} bytes, sha256 {entry.sha256}"
            yield _difference("file", expected, f"{entry.name}: {fault}")

    def _fold(self) -> None:
        rows = _Rows(
            ByUser(map(self._journal_row, self._lines("journal"))),
            ByUser(read_row(LedgerRow, line) for line in self._lines("ledger")),
            ByUser(read_row(RecordRow, line) for line in self._lines("records")),
        )
        opening = map(read_opening, self._lines("opening"))
        closing = map(read_closing, self._lines("closing"))
        for begin, end in zip_longest(opening, closing):
            if begin is None or end is None or begin.user_id != end.user_id:
                raise ArchiveError("the accounts of opening and closing are not the same")
            self._account(begin, end, rows)
        if not all(stream.is_over for stream in rows):
            raise ArchiveError("there are rows of users that have no opening state")
        for _ in map(self._journal_row, self._lines("unowned")):
            pass
        self._compare_counts()

    def _compare_counts(self) -> None:
        expected = {str(kind): self._manifest.lines(kind) for kind in KINDS}
        if self._counts != expected:
            self._tell(_difference("lines", *differing(expected, self._counts)))
        last, found = self._manifest.last_entries, self._last.by_partition()
        if last != found and self._manifest.version > 1:
            self._tell(_difference("last_entries", *differing(last, found)))

    def _account(self, begin: OpeningLine, end: OpeningStateRow, rows: _Rows) -> None:
        user = begin.user_id
        partition = Partition.of_user(user, self._manifest.queue_partitions)
        ended = {row.chat_id: chat_of_record(row) for row in begin.ended}
        replay = Replay(user, begin.state.opened, ended.values())
        fold = self._fold_of(replay, Foreign(begin.foreign, partition))
        for row in rows.journal.of(user):
            fold.take(row)
        ledger, records = list(rows.ledger.of(user)), list(rows.records.of(user))
        if not fold.is_whole:
            return
        made = archived_account(
            begin.state,
            ended,
            Position(replay.applied, replay.account, replay.chats),
            replay.ledger,
            self._manifest.cut_ms,
            partition.number,
            [row for row in ledger if row.kind == MIGRATED],
        )
        for difference in _compare(user, made, ledger, records, end):
            self._tell(difference)

    def _fold_of(self, replay: Replay, foreign: Foreign) -> Fold:
        return Fold(replay, self._policies, foreign, StartedLater(NOTHING_IMPORTED), self._tell)

    def _journal_row(self, line: dict[str, Any]) -> JournalRow:
        self._progress("fold")
        row, number = journal_row(line), int(line.get("partition", 0))
        self._last.take(row, number)
        if row.user_id is not None:
            right = Partition.of_user(row.user_id, self._manifest.queue_partitions).number
            if number != right:
                raise ArchiveError(
                    f"{row.stream_id} of {row.user_id} is in partition {number}, not in {right}"
                )
        return row

    def _lines(self, kind: Kind) -> Iterator[dict[str, Any]]:
        for line in read_lines(self._folder, self._manifest, kind):
            self._counts[kind] += 1
            yield line


def _compare(
    user: str,
    made: ArchivedAccount,
    ledger: list[LedgerRow],
    records: list[RecordRow],
    end: OpeningStateRow,
) -> Iterator[Difference]:
    yield from _rows("ledger_entry", user, made.ledger, ledger)
    yield from _rows("record", user, made.records, records)
    expected, found = state_line(user, made.closing), end._asdict()
    if found != expected:
        yield _difference("closing_state", *differing(expected, found), user)


def _rows(
    kind: str, user: str, expected: Sequence[_Row], found: Sequence[_Row]
) -> Iterator[Difference]:
    for one, other in zip_longest(expected, found):
        if one != other:
            yield _difference(kind, *differing(_facts(one), _facts(other)), user)
            return


def _facts(row: _Row | None) -> dict[str, Any]:
    return {} if row is None else row._asdict()


def _difference(kind: str, expected: str, found: str, user: str | None = None) -> Difference:
    return Difference(
        kind=kind,
        user=user,
        chat=None,
        entry=None,
        expected=expected or NOTHING,
        found=found or NOTHING,
    )
