"""All that Redis has beside the accounts: events, ids, streams, and keys that nobody knows."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Engine

from daemon.audit.claims import ClaimCheck
from daemon.audit.differences import Difference
from daemon.audit.events import EventAudit
from daemon.audit.positions import compare_positions
from daemon.audit.remembered_ids import IdAudit
from daemon.audit.stream_entries import StreamAudit
from daemon.audit.unknown_keys import UnknownKeys, compare_types
from meterd.rules.commands import entry_key
from meterd.rules.idempotency import CREDIT_ID_MS_MIN, CREDIT_TYPES, ID_MS_MIN
from persistence.postgres.archives import last_archived_at_ms
from persistence.postgres.reader import fetch_policies, journal_since, last_recovery
from persistence.redis.commit import read_policy
from persistence.redis.event_scan import EventScan
from persistence.redis.id_scan import IdScan
from persistence.redis.key_scan import KeyScan
from persistence.redis.snapshot_scan import SnapshotScan
from persistence.redis.stream_scan import StreamScan

_NOTHING: Final = "0-0"


class RedisContents:
    """What is looked at once, whosever it is."""

    def __init__(self, engine: Engine, scan: SnapshotScan) -> None:
        """Ask both; nothing is ever written."""
        self._engine = engine
        self._scan = scan
        client, keys = scan.client, scan.keys
        self._keys = KeyScan(client, keys)
        self._id_scan = IdScan(client, keys)
        self._streams = StreamScan(client, keys)

    def read_events(self, user: str | None) -> EventAudit:
        """The events of one user or of all, to be compared with the fold."""
        with self._engine.connect() as connection:
            recovery = last_recovery(connection)
            archived_at_ms = last_archived_at_ms(connection)
        # Before a recovery, commands were lost with their events, or handled again.
        recovered = _NOTHING if recovery is None else recovery[1] or f"{recovery[0]}-0"
        # Commands that were archived had made their events by then.
        since = max(recovered, f"{archived_at_ms}-0", key=entry_key)
        scan = EventScan(self._scan.client, self._scan.keys, since, user)
        return EventAudit(scan, self._keys.accepted_ms())

    def missing_ids(self, since_ms: int) -> Iterator[Difference]:
        """Ids that the journal says have to be remembered, and are not."""
        ids, now_ms = self._ids(), self._id_scan.now_ms()
        number = self._scan.keys.partition
        with self._engine.connect() as connection:
            reading = connection.execution_options(isolation_level="REPEATABLE READ")
            begin_ms = max(since_ms, now_ms - CREDIT_ID_MS_MIN)
            credit_rows = journal_since(reading, begin_ms, CREDIT_TYPES, partition=number)
            yield from ids.missing(credit_rows)
            rows = journal_since(reading, max(since_ms, now_ms - ID_MS_MIN), partition=number)
            yield from ids.missing(
                row for row in rows if row.fields.get("type") not in CREDIT_TYPES
            )

    def unknown(self) -> Iterator[Difference]:
        """Keys and entries of streams that no commit has written."""
        yield from compare_types(self._keys)
        yield from compare_positions(self._scan.client, self._scan.keys, self._engine)
        streams = StreamAudit(self._streams, self._id_scan, ClaimCheck(self._engine, self._scan))
        yield from streams.outbox()
        yield from streams.commands()
        yield from streams.dead_letters()
        keys = UnknownKeys(self._engine, self._scan, self._keys, self._ids(), streams)
        yield from keys.find()

    def _ids(self) -> IdAudit:
        with self._engine.connect() as connection:
            policies = {k: read_policy(v) for k, v in fetch_policies(connection).items()}
        return IdAudit(self._id_scan, policies, self._keys.accepted_ms())
