"""``meterd recover``: one of both has lost state. Postgres has a journal; the fold makes the rest.

Where Postgres has lost its last rows, Redis goes back to what is left, and the commands that it
still has are handled again: the fold gives them the outcomes that they had.

Nobody may lead meanwhile: the recovery itself holds the lease. What can't be known from the journal
is said, not guessed.
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import redis
from sqlalchemy import Connection, Engine

from actors.recorder import write_entries
from daemon.audit.differences import Difference
from daemon.audit.folding import Folded, Folding
from daemon.audit.remembered_ids import remembered_of
from daemon.errors import RecoverError
from meterd.rules.commands import entry_ms
from meterd.rules.idempotency import CREDIT_TYPES
from meterd.rules.partitions import Partition
from meterd.rules.redis_keys import Keys
from persistence.postgres import reader
from persistence.postgres.recorder_state import PostgresPosition, fetch_position, replace_instance
from persistence.postgres.rows import JournalRow, OperationRow
from persistence.postgres.writer import write_batch
from persistence.redis.commit import Limits, unpack_stored
from persistence.redis.functions import FunctionName, function_name
from persistence.redis.integrity import RedisPosition, read_position, what_is_missing
from persistence.redis.layout import PartitionLayout, write_layout
from persistence.redis.outbox import OutboxEntry
from persistence.redis.rebuild import Rebuild

LEASE_MS: Final = 30_000
LEAD_S_MAX: Final = 10.0
"""How long it is tried to get the lease from a daemon that only looks whether it may begin."""
USERS_PAGE: Final = 200
OUTBOX_PAGE: Final = 500
EPOCHS_SKIPPED: Final = 1_000
"""Epochs that whoever still lives may hold, and that nobody gets again."""

OPERATION: Final = "recover"


class RecoveryPlan(NamedTuple):
    """What was found before anything is touched."""

    redis: RedisPosition
    postgres: PostgresPosition
    missing: str
    """What Postgres knows and Redis does not; empty if nothing."""


class RecoveryReport(NamedTuple):
    """What was rebuilt, and what could not be."""

    missing: str
    journal: str
    """The last entry that is known; what came later and is not in the stream is lost."""
    keys_removed: int
    accounts: int
    open_chats: int
    ids: int
    commands_left: int
    """Entries in the commands stream that will be handled now."""
    events: str
    """The last event before: events up to it may be missing, or come again."""
    unfolded: list[str]
    """Users whose journal could not be folded: they have no account in Redis."""
    memory_id: str


class Recovery:
    """One run; may be repeated after it was cut short at any point."""

    def __init__(
        self,
        engine: Engine,
        client: redis.Redis,
        keys: Keys,
        ended_ttl_ms: int,
        limits: Limits,
        partitions: int = 1,
    ) -> None:
        """Rebuild what ``client`` reaches of a partition, of so many, from what ``engine`` does."""
        self._engine = engine
        self._client = client
        self._keys = keys
        self._partition = Partition(keys.partition, partitions)
        self._ended_ttl_ms = ended_ttl_ms
        self._id_ttl_ms = limits.id_ttl_ms
        self._credit_id_ttl_ms = limits.credit_id_ttl_ms
        self._token = f"recover-{secrets.token_hex(8)}"
        self._epoch = b""

    def plan(self) -> RecoveryPlan:
        """Compare both servers; nothing is touched."""
        evidence = read_position(self._client, self._keys)
        with self._engine.connect() as connection:
            known = fetch_position(connection, self._keys.partition)
        return RecoveryPlan(evidence, known, what_is_missing(evidence, known))

    def run(self, done_by: str, progress: Callable[[int], None]) -> RecoveryReport:
        """Rebuild Redis. ``progress`` is called with the number of accounts so far.

        Raises:
            RecoverError: a daemon works on it, or nothing is missing, or it is another one's.
        """
        with self._leading():
            plan = self.plan()
            check_stopped(plan)
            rebuild = Rebuild(self._client, self._keys, self._ended_ttl_ms)
            self._write_what_no_command_made()
            report = self._rebuild(rebuild, plan, progress)
            epoch = plan.postgres.epoch + EPOCHS_SKIPPED
            with self._engine.begin() as connection:
                replace_instance(connection, self._keys.partition, report.memory_id, epoch)
                write_batch(connection, [], [], [], [_operation(report, done_by)])
            number, partitions = self._partition
            write_layout(self._client, PartitionLayout(number, partitions))
            rebuild.end(report.memory_id, epoch)
            return report

    def _write_what_no_command_made(self) -> None:
        """Write decisions and opening balances that wait in the outbox: no command repeats them."""
        after = "-"
        while found := self._outbox_page(after):
            after = f"({found[-1].entry}"
            with self._engine.begin() as connection:
                decided = [one for one in found if not one.payload.journal]
                write_entries(connection, decided, self._keys.partition)

    def _outbox_page(self, after: str) -> list[OutboxEntry]:
        found: Any = self._client.xrange(self._keys.outbox, min=after, count=OUTBOX_PAGE)
        return [OutboxEntry(entry.decode(), unpack_stored(raw[b"facts"])) for entry, raw in found]

    def _rebuild(
        self, rebuild: Rebuild, plan: RecoveryPlan, progress: Callable[[int], None]
    ) -> RecoveryReport:
        removed, accounts, chats, unfolded = rebuild.begin(), 0, 0, list[str]()
        for folded in self._folded():
            self._hold_lease()
            accounts += 1
            progress(accounts)
            if not folded.is_whole:
                unfolded.append(folded.user)
                continue
            end = folded.end
            chats += len(end.account.chats)
            rebuild.put_account(end.applied, end.account, end.chats.values())
        ids = rebuild.put_ids(self._ids())
        rebuild.fix_outbox(plan.postgres.outbox)
        left = rebuild.fix_commands(plan.postgres.journal, self._journaled)
        return RecoveryReport(
            missing=plan.missing,
            journal=plan.postgres.journal,
            keys_removed=removed,
            accounts=accounts,
            open_chats=chats,
            ids=ids,
            commands_left=left,
            events=rebuild.last_event(),
            unfolded=unfolded,
            memory_id=secrets.token_hex(8),
        )

    def _folded(self) -> Iterator[Folded]:
        last = ""
        while True:
            with self._reading() as connection:
                users = reader.users_after(connection, last, USERS_PAGE)
                if not users:
                    return
                last = users[-1]
                mine = [user for user in users if self._partition.has(user)]
                partitions = self._partition.partitions
                folding = Folding(connection, mine, _ignore, partitions=partitions)
                yield from folding.users({})

    def _ids(self) -> Iterator[tuple[str, str, int]]:
        """What was remembered of ids, and until when; a later one replaces an earlier."""
        seconds, _ = self._client.time()
        now_ms = int(seconds) * 1_000
        with self._reading() as connection:
            number = self._partition.number
            credit_rows = reader.journal_since(
                connection, now_ms - self._credit_id_ttl_ms, CREDIT_TYPES, partition=number
            )
            yield from _ids_of(credit_rows, self._credit_id_ttl_ms)
            rows = reader.journal_since(connection, now_ms - self._id_ttl_ms, partition=number)
            others = (row for row in rows if row.fields.get("type") not in CREDIT_TYPES)
            yield from _ids_of(others, self._id_ttl_ms)

    def _journaled(self, entries: list[str]) -> set[str]:
        with self._reading() as connection:
            return reader.journaled(connection, entries, self._keys.partition)

    @contextlib.contextmanager
    def _leading(self) -> Iterator[None]:
        deadline = time.monotonic() + LEAD_S_MAX
        while True:
            answer: Any = self._call("acquire_lease", self._token, LEASE_MS)
            if answer[0] == b"leading":
                break
            if answer[0] == b"newer":
                raise RecoverError("a newer meterd has worked here: run its `meterd recover`")
            if time.monotonic() > deadline:
                raise RecoverError("a daemon works on this Redis: nothing to rebuild under it")
            time.sleep(0.05)
        self._epoch = answer[1]
        try:
            yield
        finally:
            self._call("resign", self._token)

    def _hold_lease(self) -> None:
        if not self._call("renew_lease", self._token, self._epoch, LEASE_MS):
            raise RecoverError("a daemon has taken the lease; run this again")

    def _call(self, name: FunctionName, *args: Any) -> Any:
        return self._client.fcall(function_name(name), 1, self._keys.commands, *args)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="REPEATABLE READ")


def check_stopped(plan: RecoveryPlan) -> None:
    """Touch nothing that is whole, or that belongs to somebody else.

    Raises:
        RecoverError: as said.
    """
    if not plan.missing:
        raise RecoverError("Redis remembers all that Postgres knows: nothing is missing")
    if not plan.postgres.memory_id:
        raise RecoverError("Postgres has never had anything from a Redis: check postgres.url")
    if plan.redis.memory_id not in ("", plan.postgres.memory_id):
        raise RecoverError(
            f"{plan.missing}.\nIt would be emptied. If that is meant, empty it yourself "
            "(FLUSHDB) and run this again; else correct redis.url or postgres.url"
        )


def _ids_of(rows: Iterable[JournalRow], ttl_ms: int) -> Iterator[tuple[str, str, int]]:
    for row in rows:
        remembered = remembered_of(row)
        if remembered:
            yield str(row.fields["id"]), remembered, entry_ms(row.stream_id) + ttl_ms


def _operation(report: RecoveryReport, done_by: str) -> OperationRow:
    at_ms = time.time_ns() // 1_000_000
    details = report._asdict()
    return OperationRow(
        operation_id=f"{OPERATION}:{report.memory_id}",
        at_ms=at_ms,
        done_by=done_by,
        operation=OPERATION,
        subject="redis",
        details=details,
    )


def _ignore(_difference: Difference) -> None:
    """What the journal itself gets wrong is for the audit to say."""
