"""``meterd archive``: what is before a date goes from the journal into files, once it is certain.

First the files: each account's journal is folded, compared with ledger and records, and written
with what the account was before and after. Then they are read back and folded again. Then, in one
transaction, the accounts' states are written and the partitions dropped. Whatever ends this at
whatever moment, running it again comes to the same.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from daemon.archive.files import (
    MANIFEST,
    Manifest,
    begin_folder,
    end_folder,
    read_lines,
    read_manifest,
)
from daemon.archive.lines import read_closing
from daemon.archive.plan import ArchivePlan, Progress
from daemon.archive.verify import Verification
from daemon.archive.writing import ArchiveWriting
from daemon.audit.differences import Findings, Tell
from daemon.errors import ArchiveError
from persistence.postgres import partitions
from persistence.postgres.archives import (
    ArchiveRow,
    archives,
    insert_archive,
    insert_opening_states,
)
from persistence.postgres.layout import fetch_partitions
from persistence.postgres.rows import OperationRow
from persistence.postgres.writer import write_batch

STATES_PAGE: Final = 5_000
LOCK_MS: Final = 3_000
"""How long to wait for a lock of the journal: so long its writers wait, too."""
TRIES: Final = 20
OPERATION: Final = "archive"
_ONE_AT_A_TIME: Final = int.from_bytes(b"archive", "big")
_LOCK_NOT_AVAILABLE: Final = "55P03"


class ArchiveReport(NamedTuple):
    """What was archived."""

    name: str
    folder: str
    entries: int
    users: int
    bytes: int
    before: str
    partitions: list[str]


class Archiver:
    """One run; may be repeated after it was cut short at any point."""

    def __init__(
        self,
        engine: Engine,
        show: Tell,
        progress: Progress = lambda _phase: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare a run.

        Args:
            engine: the database, as the owner of its tables.
            show: gets what the audit finds: then nothing is archived.
            progress: called for every entry, with the name of the phase.
            sleep: waits so many seconds for a lock.
        """
        self._engine = engine
        self._show = show
        self._progress = progress
        self._sleep = sleep

    def plan(self, before_ms: int) -> ArchivePlan | None:
        """Say what a run would archive; None if no month ends before then that is not archived.

        Raises:
            ArchiveError: the role may not, or there is what can't be archived.
        """
        with self._engine.connect() as connection:
            if not partitions.is_owner(connection):
                raise ArchiveError(
                    "this role may not drop partitions of command_journal: run this as the owner "
                    "of the tables, who runs `meterd db upgrade`"
                )
        self._locking(lambda c: partitions.ensure_partitions(c, time.time_ns() // 1_000_000))
        with self._engine.connect() as connection:
            found = [one for one in partitions.partitions(connection) if one.to_ms <= before_ms]
            if not found:
                return None
            cut_ms = found[-1].to_ms
            left = partitions.rows_without_partition(connection, cut_ms)
            if left:
                raise ArchiveError(
                    f"{left:,} rows of the journal are older and in no month's partition: their "
                    "stream IDs have no 13 digits before the '-', or are on both sides of a month. "
                    "They can't be dropped (see command_journal_default), so nothing is archived"
                )
            known = archives(connection)
            queue_partitions = fetch_partitions(connection) or 1
        last = known[-1] if known else None
        return ArchivePlan(
            from_ms=last.cut_ms if last else 0,
            cut_ms=cut_ms,
            partitions=[one.name for one in found],
            queue_partitions=queue_partitions,
            last_sha256=last.manifest_sha256 if last else "",
        )

    def run(self, plan: ArchivePlan, to: Path, done_by: str) -> ArchiveReport:
        """Archive.

        Raises:
            ArchiveError: something is not as it must be; the journal is as it was.
        """
        folder = to.absolute() / plan.name
        with self._alone():
            if not (folder / MANIFEST).exists():
                self._write(plan, folder)
            manifest, sha256 = read_manifest(folder)
            self._check_belongs(manifest, plan, folder)
            self._verify(folder, manifest)
            self._locking(
                lambda connection: self._drop(connection, plan, folder, (manifest, sha256), done_by)
            )
        return ArchiveReport(
            name=plan.name,
            folder=str(folder),
            entries=manifest.entries,
            users=manifest.users,
            bytes=sum(one.bytes for one in manifest.files),
            before=manifest.before,
            partitions=plan.partitions,
        )

    def _write(self, plan: ArchivePlan, folder: Path) -> None:
        partial, findings = begin_folder(folder), Findings(self._show)
        writing = ArchiveWriting(self._engine, plan, partial, findings, self._progress)
        with contextlib.closing(writing):
            writing.accounts()
            writing.unowned()
        if findings.differences:
            raise ArchiveError(
                f"the audit finds {findings.differences:,} differences, so nothing is "
                "archived. See all of them with: meterd audit"
            )
        end_folder(partial, folder, writing.manifest())

    def _verify(self, folder: Path, manifest: Manifest) -> None:
        faults = Findings(self._show)
        Verification(folder, manifest, faults.report, self._progress).run()
        if faults.differences:
            raise ArchiveError(
                f"{folder}: read back, it is not what was written: {faults.differences:,} "
                "differences. The journal is as it was; look at the disk, remove the folder, and "
                "run this again"
            )

    def _check_belongs(self, manifest: Manifest, plan: ArchivePlan, folder: Path) -> None:
        wanted = plan.from_ms, plan.cut_ms, plan.last_sha256
        if (manifest.from_ms, manifest.cut_ms, manifest.previous_sha256) != wanted:
            raise ArchiveError(
                f"{folder} is an archive of something else: name another folder with --to"
            )

    def _drop(
        self,
        connection: Connection,
        plan: ArchivePlan,
        folder: Path,
        written: tuple[Manifest, str],
        done_by: str,
    ) -> None:
        """States in, partitions out: all or nothing. Until its end no row comes into these."""
        self._progress("drop")
        manifest, sha256 = written
        partitions.lock_partitions(connection, plan.partitions)
        rows = partitions.count_rows(connection, plan.partitions)
        if rows != manifest.entries:
            raise ArchiveError(
                f"{folder} has {manifest.entries:,} rows, these months of the journal {rows:,}: "
                "it has changed since. Remove the folder, and run this again"
            )
        states = map(read_closing, read_lines(folder, manifest, "closing"))
        while page := [row for _, row in zip(range(STATES_PAGE), states, strict=False)]:
            insert_opening_states(connection, page)
        row = ArchiveRow(
            cut_ms=plan.cut_ms,
            from_ms=plan.from_ms,
            name=plan.name,
            folder=str(folder),
            entries=rows,
            last_entry=manifest.last_entry,
            last_entries=manifest.last_entries,
            manifest_sha256=sha256,
        )
        insert_archive(connection, row)
        write_batch(connection, [], [], [], [_operation(row, done_by)])
        partitions.drop_partitions(connection, plan.partitions)

    def _locking(self, work: Callable[[Connection], object]) -> None:
        """Do something in a transaction that locks the journal, as soon as nobody is in the way.

        Raises:
            ArchiveError: somebody has been all the time.
        """
        for _ in range(TRIES):
            try:
                with self._engine.begin() as connection:
                    connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_MS}"))
                    work(connection)
                return
            except OperationalError as error:
                if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
                    raise
            self._sleep(LOCK_MS / 1_000)
        raise ArchiveError(
            "something has been reading the journal all the time, such as an audit. The files are "
            "written: run this again when it is over"
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._engine.connect() as connection:
            lock = text("SELECT pg_try_advisory_lock(:key)")
            if not connection.scalar(lock, {"key": _ONE_AT_A_TIME}):
                raise ArchiveError("another `meterd archive` works on this database: wait for it")
            connection.commit()
            try:
                yield
            finally:
                connection.invalidate()  # the server forgets the lock with the session


def _operation(row: ArchiveRow, done_by: str) -> OperationRow:
    return OperationRow(
        operation_id=f"{OPERATION}:{row.cut_ms}",
        at_ms=time.time_ns() // 1_000_000,
        done_by=done_by,
        operation=OPERATION,
        subject=row.name,
        details=row._asdict(),
    )
