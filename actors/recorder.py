"""The recorder without Ray: moves what commits left in the outbox to Postgres, in batches."""

import threading
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import redis
import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from persistence.errors import (
    RecorderFencedError,
    StateLostError,
    SupersededError,
    UnstorableError,
)
from persistence.postgres.engine import server_message
from persistence.postgres.recorder_state import NOTHING, RecorderClaim
from persistence.postgres.sizes import table_bytes
from persistence.postgres.writer import put_policy, write_batch
from persistence.redis.outbox import Outbox, OutboxEntry

log = structlog.get_logger()

BLOCK_MS: Final = 500
RETRY_MS_MIN: Final = 50
GATHER_MS: Final = 20
"""How long outbox entries gather after a batch that was not full: a transaction for each few took
a third of a core at 1 000 commands a second, and nobody waits for Postgres."""
WEIGH_S: Final = 60.0
"""How often the size of the tables is asked for."""
IDLE_IN_TRANSACTION_MS: Final = 10_000
"""A recorder that was stopped in the middle of a batch holds its locks no longer than this."""

REFUSED_CLASSES: Final = ("22", "23", "P0")
"""SQLSTATE classes of what Postgres will say again however often it is asked: wrong data, broken
constraints, refusals of our triggers. A full disk or a read-only server is not among them."""

OVER: Final = (SupersededError, RecorderFencedError)
"""Another recorder has the claim: this one leaves."""


class RecorderConfig(NamedTuple):
    """How the recorder works."""

    batch_max: int = 1_000
    retry_ms_max: int = 5_000


class Recorder:
    """Moves outbox entries to PostgreSQL until ``stop``; each may be written any number of times.

    It writes under an epoch, in Redis and in Postgres alike: once another recorder has begun, it
    can neither write facts nor take them out of the outbox.
    """

    def __init__(
        self,
        outbox: Outbox,
        engine: Engine,
        claim: RecorderClaim,
        policy: tuple[str, Mapping[str, Any]],
        settings: RecorderConfig,
    ) -> None:
        """``policy``: id and document of what the journal's rows were decided under."""
        self._outbox = outbox
        self._engine = engine
        self._claim = claim
        self._policy = policy
        self._settings = settings
        self._stop = threading.Event()
        self._is_begun = False
        self._delivered = NOTHING
        self._busy_since: float | None = None
        self._weighed_at: float | None = None
        self.table_bytes: dict[str, int] = {}
        """What the tables take in Postgres; looked at every ``WEIGH_S``."""
        self.written = 0
        self.refused = 0
        self.trouble = ""

    def run(self) -> str:
        """Work until ``stop``, then move what is there, once; returns why it ended.

        ``stopped``, ``superseded``: another recorder has the claim, or ``lost``: Postgres knows
        less than it did.
        """
        try:
            self._work()
        except StateLostError as error:
            log.error("recorder.postgres_lost", why=str(error))
            self._outbox.doubt()
            return "lost"
        except OVER as error:
            log.error("recorder.superseded", why=str(error))
            return "superseded"
        return "stopped"

    def _work(self) -> None:
        pause_ms = RETRY_MS_MIN
        while not self._stop.is_set():
            moved = self.move(BLOCK_MS)
            if moved is None:
                self._stop.wait(pause_ms / 1000)
                pause_ms = min(2 * pause_ms, self._settings.retry_ms_max)
                continue
            pause_ms = RETRY_MS_MIN
            if 0 < moved < self._settings.batch_max:
                self._stop.wait(GATHER_MS / 1000)
        while self.move(0):
            pass

    def stop(self) -> None:
        """Let ``run`` finish."""
        self._stop.set()

    def move(self, block_ms: int) -> int | None:
        """Move one batch; returns how many outbox entries, or None if a server is away.

        Raises:
            SupersededError, FencedError: another recorder has the claim.
            StateLostError: Postgres knows less than it did.
        """
        try:
            self._begin()
            self._weigh()
            entries = self._outbox.read(self._settings.batch_max, block_ms or 1)
            if entries:
                self._write(entries)
            self._note_recovery()
            return len(entries)
        except (SQLAlchemyError, redis.RedisError) as error:
            self._note_failure(error)
            return None

    def stuck_ms(self) -> int:
        """For how long Postgres has not answered the transaction at hand; 0 if there is none."""
        since = self._busy_since
        return int((time.monotonic() - since) * 1000) if since is not None else 0

    def _begin(self) -> None:
        """Once: look whether Postgres still knows what it has said to, and tell it the policy."""
        if self._is_begun:
            return
        self._delivered = self._outbox.delivered()
        self._busy_since = time.monotonic()
        with self._engine.begin() as connection:
            self._claim.check_complete(connection, self._delivered)
            put_policy(connection, *self._policy)
        self._busy_since = None
        self._is_begun = True

    def _weigh(self) -> None:
        if self._weighed_at is not None and time.monotonic() < self._weighed_at + WEIGH_S:
            return
        with self._engine.connect() as connection:
            self.table_bytes = table_bytes(connection)
        self._weighed_at = time.monotonic()

    def _write(self, entries: list[OutboxEntry]) -> None:
        try:
            self._write_together(entries)
        except (DBAPIError, UnstorableError) as error:
            if not is_refusal(error):
                raise
            self._write_apart(entries, error)

    def _write_apart(self, entries: list[OutboxEntry], error: Exception) -> None:
        """Halve what Postgres refuses until the outbox entries it refuses stand alone."""
        if len(entries) > 1:
            middle = len(entries) // 2
            self._write(entries[:middle])
            self._write(entries[middle:])
            return
        self.refused += 1
        log.error("outbox.rejected", entry=entries[0].entry, error=str(error)[:500])
        self._outbox.reject(entries[0], str(error)[:500])

    def _write_together(self, entries: list[OutboxEntry]) -> None:
        self._busy_since = time.monotonic()
        try:
            with self._engine.begin() as connection:
                self._claim.advance(connection, entries[-1].entry, self._delivered)
                write_entries(connection, entries, self._claim.partition)
        finally:
            self._busy_since = None
        self._delivered = entries[-1].entry
        self._outbox.remove(entries)
        self.written += len(entries)

    def _note_failure(self, error: Exception) -> None:
        if not self.trouble:
            log.warning(
                "recorder.backend_unavailable", error=type(error).__name__, detail=str(error)[:200]
            )
        self.trouble = server_message(error)

    def _note_recovery(self) -> None:
        if self.trouble:
            log.info("recorder.back")
        self.trouble = ""


def is_refusal(error: Exception) -> bool:
    """Whether Postgres says no to the facts themselves, and would again."""
    if isinstance(error, UnstorableError):
        return True
    state = getattr(getattr(error, "orig", None), "pgcode", None) or ""
    return str(state).startswith(REFUSED_CLASSES)


def write_entries(connection: Connection, entries: list[OutboxEntry], partition: int) -> None:
    """Write the facts of all outbox entries of a partition in the caller's transaction."""
    write_batch(
        connection,
        [row for entry in entries for row in entry.payload.records],
        [row for entry in entries for row in entry.payload.ledger],
        [row for entry in entries for row in entry.payload.journal],
        [row for entry in entries for row in entry.payload.operations],
        [row for entry in entries for row in entry.payload.free_times],
        partition=partition,
    )
