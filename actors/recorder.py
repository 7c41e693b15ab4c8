"""The recorder without Ray: moves what commits left in the outbox to Postgres, in batches."""

import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import redis
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError, InternalError, SQLAlchemyError

from persistence.outbox import Outbox, Parcel
from persistence.postgres.convert import UnstorableError
from persistence.postgres.writer import put_policy, write_batch

log = structlog.get_logger()

BLOCK_MS: Final = 500
RETRY_MS_MIN: Final = 50

REFUSALS: Final = (IntegrityError, DataError, InternalError, UnstorableError)
"""What Postgres will say again however often it is asked."""


class RecorderSettings(NamedTuple):
    """How the recorder works."""

    batch_max: int = 1_000
    retry_ms_max: int = 5_000


class Recorder:
    """Moves parcels until told to stop. Everything it writes may be written any number of times."""

    def __init__(
        self,
        outbox: Outbox,
        engine: Engine,
        policy: tuple[str, Mapping[str, Any]],
        settings: RecorderSettings,
    ) -> None:
        """``policy``: id and document of what the journal's rows were decided under."""
        self._outbox = outbox
        self._engine = engine
        self._policy = policy
        self._settings = settings
        self._stop = threading.Event()
        self._is_policy_known = False
        self.written = 0
        self.refused = 0
        self.trouble = ""

    def run(self) -> None:
        """Work until ``stop``; then move what is there, once, and end."""
        pause_ms = RETRY_MS_MIN
        while not self._stop.is_set():
            if self.move(BLOCK_MS) is None:
                self._stop.wait(pause_ms / 1000)
                pause_ms = min(2 * pause_ms, self._settings.retry_ms_max)
            else:
                pause_ms = RETRY_MS_MIN
        while self.move(0):
            pass

    def stop(self) -> None:
        """Let ``run`` finish."""
        self._stop.set()

    def move(self, block_ms: int) -> int | None:
        """Move one batch; returns how many parcels, or None if a server is away."""
        try:
            self._put_policy()
            parcels = self._outbox.read(self._settings.batch_max, block_ms or 1)
            if parcels:
                self._write(parcels)
            self._well()
            return len(parcels)
        except (SQLAlchemyError, redis.RedisError) as error:
            self._ill(error)
            return None

    def _put_policy(self) -> None:
        if not self._is_policy_known:
            with self._engine.begin() as connection:
                put_policy(connection, *self._policy)
            self._is_policy_known = True

    def _write(self, parcels: list[Parcel]) -> None:
        try:
            self._write_together(parcels)
        except REFUSALS as error:
            if len(parcels) > 1:
                for parcel in parcels:
                    self._write([parcel])
                return
            self.refused += 1
            log.error("parcel.refused", parcel=parcels[0].entry, error=str(error)[:500])
            self._outbox.set_aside(parcels[0], str(error)[:500])

    def _write_together(self, parcels: list[Parcel]) -> None:
        with self._engine.begin() as connection:
            write_batch(
                connection,
                [row for parcel in parcels for row in parcel.facts.records],
                [row for parcel in parcels for row in parcel.facts.ledger],
                [row for parcel in parcels for row in parcel.facts.journal],
            )
        self._outbox.remove(parcels)
        self.written += len(parcels)

    def _ill(self, error: Exception) -> None:
        if not self.trouble:
            log.warning("recorder.away", error=type(error).__name__, detail=str(error)[:200])
        self.trouble = type(error).__name__

    def _well(self) -> None:
        if self.trouble:
            log.info("recorder.back")
        self.trouble = ""
