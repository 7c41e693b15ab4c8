"""The audit from beginning to end: page after page of users, then what concerns all of them."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine

from daemon.audit.books import compare_books
from daemon.audit.differences import Difference, Findings
from daemon.audit.events import EventAudit
from daemon.audit.folding import Folding, Position
from daemon.audit.ids import compare_ids
from daemon.audit.policies import compare_policies
from daemon.audit.redis_contents import RedisContents
from daemon.audit.redis_state import account_requests, compare, compare_late, requests_of
from daemon.audit.refused import compare_refused
from daemon.audit.unowned_rows import compare_unowned
from meterd.rules.commands import entry_key
from meterd.rules.model import Event
from meterd.rules.partitions import ONLY, Partition
from persistence.postgres import reader
from persistence.postgres.archives import last_archived_at_ms
from persistence.postgres.rows import JournalRow
from persistence.redis.commit import read_policy
from persistence.redis.snapshot_scan import AccountSnapshot, SnapshotScan

USERS_PAGE: Final = 200
HELD_CHATS_MAX: Final = 5_000
"""Chats of folded users that wait to be compared with Redis."""
WAIT_S: Final = 0.1
WAITS_MAX: Final = 100
STALLED_WAITS_MAX: Final = 30
"""Waits in which nothing leaves the outbox: its recorder is away."""


class Scope(NamedTuple):
    """What to audit: everything, one user, or the users with entries since a millisecond."""

    user: str | None = None
    since_ms: int = 0


class End(NamedTuple):
    """A user after the last row of the journal."""

    user: str
    point: Position


class Audit:
    """One run over everything; nothing is ever written."""

    def __init__(
        self,
        engine: Engine,
        scan: SnapshotScan | None,
        findings: Findings,
        progress: Callable[[str], None] = lambda _phase: None,
        sleep: Callable[[float], None] = time.sleep,
        partition: Partition = ONLY,
    ) -> None:
        """Prepare a run.

        Args:
            engine: the database.
            scan: reads Redis; without it, Redis is left out.
            findings: takes in what differs.
            progress: called for every entry, with the name of the phase.
            sleep: waits so many seconds, so that the recorder can go on.
            partition: which accounts; the same as that of ``scan``.
        """
        self._engine = engine
        self._scan = scan
        self._findings = findings
        self._progress = progress
        self._sleep = sleep
        assert scan is None or scan.keys.partition == partition.number, "of one partition"
        self._partition = partition
        self._stalled_at: str | None = None
        self._contents = RedisContents(engine, scan) if scan else None
        self._events: EventAudit | None = None

    def run(self, scope: Scope) -> None:
        """Compare all that is in the scope; what differs goes to the findings."""
        if self._contents is not None:
            self._progress("events")
            self._events = self._contents.read_events(scope.user)
        for users in self._pages(scope):
            self._page(users)
        if scope.user is None:
            self._rest(scope)
        self._ids(scope)
        if self._scan is not None:
            self._tell(compare_refused(self._scan, scope.user))

    def _rest(self, scope: Scope) -> None:
        with self._reading() as connection:
            self._tell(compare_unowned(connection, scope.since_ms, self._findings, self._partition))
            if not self._partition.number:  # they are those of all
                self._tell(compare_policies(connection))
        if self._contents is not None:
            self._progress("ids in Redis")
            self._tell(self._contents.missing_ids(scope.since_ms))
            if not scope.since_ms:
                self._progress("all of Redis")
                self._users_with_events_only()
                self._tell(self._contents.unknown())

    def _users_with_events_only(self) -> None:
        """Users who are in the events stream, and were in no page of users."""
        assert self._events is not None, "there is a Redis"
        left = self._events.users_left()
        for i in range(0, len(left), USERS_PAGE):
            with self._reading() as connection:
                users = reader.in_order(connection, left[i : i + USERS_PAGE])
            self._again(users, [], set(users))
        self._tell(self._events.emptied())

    def _ids(self, scope: Scope) -> None:
        self._progress("ids")
        with self._reading() as connection:
            rows = reader.repeated_ids(
                connection, scope.since_ms, scope.user, partition=self._partition.number
            )
            policies = {k: read_policy(v) for k, v in reader.fetch_policies(connection).items()}
            archived_at_ms = last_archived_at_ms(connection)
            self._tell(compare_ids(rows, scope.user is None, policies, archived_at_ms))

    def _pages(self, scope: Scope) -> Iterator[Sequence[str]]:
        if scope.user is not None:
            yield self._in_scope([scope.user], scope)
            return
        last = ""
        while users := self._users_after(last):
            last = users[-1]
            yield self._in_scope([one for one in users if self._partition.has(one)], scope)

    def _users_after(self, last: str) -> list[str]:
        with self._engine.connect() as connection:
            return reader.users_after(connection, last, USERS_PAGE)

    def _in_scope(self, users: list[str], scope: Scope) -> list[str]:
        if not scope.since_ms:
            return users
        with self._engine.connect() as connection:
            return reader.users_since(connection, users, scope.since_ms)

    def _page(self, users: Sequence[str]) -> None:
        """Postgres first, then Redis; users that Redis is ahead with are looked at again."""
        ahead: list[AccountSnapshot] = []
        events_ahead: set[str] = set()
        with self._reading() as connection:
            for ends in _shared_out(self._folded(connection, users, events_ahead)):
                ahead += self._against_redis(ends)
                self._progress("users")
        if self._events is not None:
            self._tell(self._events.differences())
        if ahead or events_ahead:
            self._again(users, ahead, events_ahead)

    def _folded(
        self, connection: Connection, users: Sequence[str], events_ahead: set[str]
    ) -> Iterator[End]:
        """Users after their last row, Postgres compared; of what was compared nothing is kept.

        Those of whom the events stream is ahead of the journal are added to ``events_ahead``.
        """
        partitions = self._partition.partitions
        folding = Folding(connection, users, self._findings.report, self._watch, partitions)
        for folded in folding.users({}, self._count):
            if self._events and self._events.finish(folded.user, folded.is_whole, is_last=False):
                events_ahead.add(folded.user)
            self._findings.users += bool(folded.entries or folded.records or folded.ledger)
            self._findings.chats += len(folded.replay.chats)
            if folded.is_whole:
                self._tell(compare_books(folded, self._partition.number))
                yield End(folded.user, folded.end)

    def _watch(self, row: JournalRow, events: list[Event]) -> None:
        if self._events is not None:
            self._events.watch(row, events)

    def _count(self) -> None:
        self._findings.entries += 1
        self._progress("users")

    def _against_redis(self, ends: Sequence[End]) -> list[AccountSnapshot]:
        """Compare; returns the account snapshots that are ahead of the journal."""
        if self._scan is None:
            return []
        ahead, points = [], dict(ends)
        asks = (ask for user, point in ends for ask in requests_of(user, point))
        for snapshot in self._scan.take(asks):
            side = account_requests(snapshot, points[snapshot.user].applied)
            if side.is_ahead:
                ahead.append(snapshot)
            elif side.difference is None:
                self._tell(compare(snapshot, points[snapshot.user]))
            elif snapshot.part == 0:
                self._findings.report(side.difference)
        return ahead

    def _again(
        self, users: Sequence[str], ahead: Sequence[AccountSnapshot], events_ahead: Set[str]
    ) -> None:
        """Compare account snapshots with the fold up to where each of them was, and events.

        What Redis had then is in the outbox or in Postgres, so once the outbox has moved past
        its end of now, the journal has everything that the account snapshots show.
        """
        undelivered = self._wait_for_outbox()
        by_user: dict[str, list[AccountSnapshot]] = {}
        for snapshot in ahead:
            by_user.setdefault(snapshot.user, []).append(snapshot)
        until = {user: {snapshot.applied for snapshot in mine} for user, mine in by_user.items()}
        moved = [user for user in users if user in by_user or user in events_ahead]
        assert self._events is not None, "account snapshots were taken"
        with self._reading() as connection:
            partitions = self._partition.partitions
            again = Folding(connection, moved, _ignore, self._watch, partitions)
            for folded in again.users(until):
                self._events.finish(folded.user, folded.is_whole, is_last=True)
                for snapshot in by_user.get(folded.user, ()) if folded.is_whole else ():
                    self._tell(compare_late(snapshot, folded))
        self._tell(self._events.differences(undelivered))

    def _wait_for_outbox(self) -> set[str]:
        """Wait until what is in the outbox now has left it; gives the users of what has not."""
        assert self._scan is not None, "account snapshots were taken"
        end = self._scan.outbox_end()
        if end is None or self._has_left(end):
            return set()  # all that was in it is delivered
        return set().union(*self._scan.users_in_outbox())

    def _has_left(self, end: str) -> bool:
        assert self._scan is not None, "account snapshots were taken"
        begin, stalled = None, 0
        for _ in range(WAITS_MAX):
            begin, before = self._scan.outbox_begin(), begin
            if begin is None or entry_key(begin) > entry_key(end):
                return True
            stalled = stalled + 1 if begin == before else 0
            if stalled >= STALLED_WAITS_MAX or begin == self._stalled_at:
                self._stalled_at = begin
                return False
            self._sleep(WAIT_S)
        return False

    def _tell(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            self._findings.report(difference)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        """One snapshot of the database."""
        with self._engine.connect() as connection:
            snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            yield connection.execution_options(**snapshot)


def _shared_out(ends: Iterable[End]) -> Iterator[list[End]]:
    """As many users together as may be in memory at once."""
    some: list[End] = []
    for end in ends:
        some.append(end)
        if sum(len(point.chats) for _, point in some) >= HELD_CHATS_MAX:
            yield some
            some = []
    yield some


def _ignore(_difference: Difference) -> None:
    """What Postgres differs in was told when it was read first."""
