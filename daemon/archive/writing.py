"""The files of an archive: account after account, folded and compared as it is written."""

import contextlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine

from actors.chat.rows import record_row
from daemon.archive.account import archived_account, state_before
from daemon.archive.files import FORMAT, KINDS, VERSION, Kind, LinesWriter, Manifest
from daemon.archive.lines import LastEntries, journal_line, opening_line, row_line, state_line
from daemon.archive.plan import ArchivePlan, Progress, moment
from daemon.audit.books import compare_books
from daemon.audit.differences import Findings
from daemon.audit.folding import Cut, Folded, Folding
from daemon.audit.ids import compare_ids
from daemon.audit.opening_state import opening_rows
from daemon.audit.unowned_rows import compare_unowned
from meterd.rules.model import Account
from meterd.rules.opening_balance import ORIGIN, OpenedAccount
from meterd.rules.partitions import Partition
from persistence.postgres import reader
from persistence.postgres.archives import last_archived_at_ms
from persistence.postgres.rows import JournalRow
from persistence.redis.commit import read_policy

USERS_PAGE: Final = 200


class ArchiveWriting:
    """The files of one archive, as accounts are folded."""

    def __init__(
        self,
        engine: Engine,
        plan: ArchivePlan,
        folder: Path,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Write what ``plan`` has into ``folder``; what differs goes to ``findings``."""
        self._engine = engine
        self._plan = plan
        self._findings = findings
        self._progress = progress
        self._files = {kind: LinesWriter(folder, kind) for kind in KINDS}
        self._named = set[str]()
        self._users = 0
        self._last = LastEntries()
        self._policies: dict[str, dict[str, Any]] = {}

    def accounts(self) -> None:
        """Write page after page of accounts, each as one snapshot of the database has it."""
        cut, last = Cut(self._plan.cut_ms, self._take), ""
        while True:
            with self._reading() as connection:
                users = reader.users_after(connection, last, USERS_PAGE)
                if not users:
                    return
                last = users[-1]
                mine = reader.users_before(connection, users, self._plan.cut_ms)
                partitions = self._plan.queue_partitions
                folding = Folding(connection, mine, self._findings.report, partitions=partitions)
                for folded in folding.users({}, self._count, cut):
                    self._account(folded)

    def unowned(self) -> None:
        """Write the rows of nobody, and compare what concerns all users."""
        partitions = self._plan.queue_partitions
        with self._reading() as connection:
            self._policies = reader.fetch_policies(connection)
            for number in range(partitions):
                self._unowned(connection, Partition(number, partitions))

    def _unowned(self, connection: Connection, partition: Partition) -> None:
        number, report = partition.number, self._findings.report
        cut_ms = self._plan.cut_ms
        for row in reader.journal_of_nobody(connection, 0, cut_ms, partition=number):
            self._count()
            self._put("unowned", row, partition)
        self._progress("ids")
        for difference in compare_unowned(connection, 0, self._findings, partition):
            report(difference)
        policies = {k: read_policy(v) for k, v in self._policies.items()}
        rows = reader.repeated_ids(connection, partition=number)
        archived_at_ms = last_archived_at_ms(connection)
        for difference in compare_ids(rows, True, policies, archived_at_ms):
            report(difference)

    def close(self) -> None:
        """Put all of it on the disk."""
        for one in self._files.values():
            one.close()

    def manifest(self) -> Manifest:
        """Give what was written."""
        plan = self._plan
        return Manifest(
            format=FORMAT,
            version=VERSION,
            meterd=version("meterd"),
            name=plan.name,
            from_ms=plan.from_ms,
            cut_ms=plan.cut_ms,
            since=moment(plan.from_ms),
            before=moment(plan.cut_ms),
            users=self._users,
            last_entry=self._last.last(),
            partitions=plan.partitions,
            files=[entry for one in self._files.values() for entry in one.files],
            policies=self._policies,
            previous_sha256=plan.last_sha256,
            queue_partitions=plan.queue_partitions,
            last_entries=self._last.by_partition(),
        )

    def _take(self, row: JournalRow) -> None:
        assert row.user_id is not None, "it is a user's"
        self._put("journal", row, self._partition_of(row.user_id))
        if row.chat_id is not None:
            self._named.add(row.chat_id)

    def _put(self, kind: Kind, row: JournalRow, partition: Partition) -> None:
        self._files[kind].write(journal_line(row, partition.number))
        self._last.take(row, partition.number)

    def _partition_of(self, user: str) -> Partition:
        return Partition.of_user(user, self._plan.queue_partitions)

    def _count(self) -> None:
        self._progress("fold")

    def _account(self, folded: Folded) -> None:
        named, self._named = self._named, set()
        if not folded.is_whole or folded.at_cut is None:
            return  # the findings have it: nothing will be archived
        for difference in compare_books(folded, self._partition_of(folded.user).number):
            self._findings.report(difference)
        self._write(folded, named)

    def _write(self, folded: Folded, named: set[str]) -> None:
        assert folded.at_cut is not None, "it was folded up to a cut"
        user, opening = folded.user, folded.opening
        ended = {c.chat_id: c for c in opening.ended if c.chat_id not in folded.started_later}
        opened = opening.account or OpenedAccount(ORIGIN, Account(user))
        begin = state_before(opened, (), opening.archived)
        imported = [] if opening.archived else opening_rows(folded.ledger.values())
        point, made = folded.at_cut
        number = self._partition_of(user).number
        end = archived_account(begin, ended, point, made, self._plan.cut_ms, number, imported)
        before = sorted(record_row(chat) for chat in ended.values() if chat.chat_id in named)
        foreign = [one for one in folded.owners if one.chat_id in named]
        files = self._files
        files["opening"].write(opening_line(user, begin, before, foreign))
        files["closing"].write(state_line(user, end.closing))
        for entry in end.ledger:
            files["ledger"].write(row_line(entry))
        for record in end.records:
            files["records"].write(row_line(record))
        self._users += 1

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        """One snapshot of the database."""
        with self._engine.connect() as connection:
            snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            yield connection.execution_options(**snapshot)
