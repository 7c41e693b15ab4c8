"""How far the recorder is, and who is the recorder: one row that every batch goes through.

The row names the state (the Redis) that the payloads came from, the epoch of its recorder
and the last outbox entry that is in Postgres. A batch updates it in its own transaction, so a
recorder that was replaced writes nothing, and Postgres always knows how much Redis must remember.
"""

from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, select

from meterd.rules.commands import entry_key
from persistence.errors import StateLostError, SupersededError
from persistence.postgres.archives import last_archived_entry
from persistence.postgres.partitions import ORDERED_MS_END, ORDERED_MS_MIN
from persistence.postgres.tables import command_journal, recorder_states

NOTHING: Final = "0-0"
"""The entry before the first one."""


class PostgresPosition(NamedTuple):
    """What Postgres knows of its Redis."""

    memory_id: str
    """Empty where no recorder has ever begun."""
    epoch: int
    outbox: str
    """The last outbox entry that is in Postgres."""
    journal: str
    """The last stream entry that is in the journal, or was before it was archived."""


_OPEN: Final = """
    INSERT INTO recorder_states (partition, memory_id, epoch, outbox_ms, outbox_seq)
    VALUES (%s, %s, 0, 0, 0) ON CONFLICT DO NOTHING
"""
_ADVANCE: Final = """
    UPDATE recorder_states SET epoch = %s, outbox_ms = %s, outbox_seq = %s, updated_at = now()
    WHERE partition = %s AND memory_id = %s AND epoch <= %s AND (outbox_ms, outbox_seq) >= (%s, %s)
"""
_HAS_CLAIM: Final = """
    SELECT 1 FROM recorder_states WHERE partition = %s AND memory_id = %s AND epoch <= %s
"""
_IS_BEHIND: Final = """
    SELECT 1 FROM recorder_states
    WHERE partition = %s AND memory_id = %s AND (outbox_ms, outbox_seq) < (%s, %s)
"""
_REPLACE: Final = """
    UPDATE recorder_states SET memory_id = %s, epoch = %s, updated_at = now() WHERE partition = %s
"""


class RecorderClaim(NamedTuple):
    """A recorder's claim to write: which queue, from which memory, under which epoch."""

    partition: int
    memory_id: str
    epoch: int

    def advance(self, connection: Connection, outbox: str, delivered: str = NOTHING) -> None:
        """Write, in the caller's transaction, that all up to this outbox entry is in it.

        ``delivered``: the outbox entry up to which Postgres has said before to have all.

        Raises:
            SupersededError: a later recorder has begun, or the row names another memory.
            StateLostError: Postgres knows less than it has said to have.
        """
        claim = str(self.partition), self.memory_id, self.epoch
        known = *entry_key(outbox), *claim, *entry_key(delivered)
        if connection.exec_driver_sql(_ADVANCE, (self.epoch, *known)).rowcount == 1:
            return
        if connection.exec_driver_sql(_HAS_CLAIM, claim).rowcount == 1:
            raise _lost(delivered)
        raise SupersededError(f"epoch {self.epoch} of {self.memory_id} is over")

    def check_complete(self, connection: Connection, delivered: str) -> None:
        """Find out whether Postgres still has all that it has said to have.

        Raises:
            StateLostError: it has not.
        """
        named = str(self.partition), self.memory_id, *entry_key(delivered)
        if connection.exec_driver_sql(_IS_BEHIND, named).rowcount:
            raise _lost(delivered)


def _lost(delivered: str) -> StateLostError:
    return StateLostError(f"Postgres has had the outbox up to {delivered}, and knows less")


def claim_recorder(connection: Connection, partition: int, memory_id: str) -> None:
    """Name the memory that facts will come from, unless one is named already."""
    connection.exec_driver_sql(_OPEN, (str(partition), memory_id))


def replace_instance(connection: Connection, partition: int, memory_id: str, epoch: int) -> None:
    """Name another memory: what was rebuilt from here. Recorders before ``epoch`` are over."""
    connection.exec_driver_sql(_REPLACE, (memory_id, epoch, str(partition)))


def fetch_position(connection: Connection, partition: int) -> PostgresPosition:
    """What Postgres knows: cheap, by index, however long the journal is."""
    state = connection.execute(
        select(recorder_states).where(recorder_states.c.partition == str(partition))
    ).one_or_none()
    journal = _last_in_journal(connection, partition)
    if state is None:
        return PostgresPosition("", 0, NOTHING, journal)
    outbox = f"{state.outbox_ms}-{int(state.outbox_seq)}"
    return PostgresPosition(state.memory_id, state.epoch, outbox, journal)


def _last_in_journal(connection: Connection, partition: int) -> str:
    found = map(connection.scalar, last_entry_queries(partition))
    last: str | None = next((entry for entry in found if entry is not None), None)
    return last or last_archived_entry(connection, partition) or NOTHING


def last_entry_queries(partition: int) -> list[Select[Any]]:
    """The statements that look for a partition's last stream entry; the first row found is it.

    The index of times has all partitions: one that is idle beside a busy one would be far back in
    it. The primary key begins with the partition, but its IDs are texts, and in order of time only
    if their milliseconds have 13 digits, as those that Redis gives have. Others, which only
    whoever adds entries by hand makes, are looked for by time: usually there is none.
    """
    columns = command_journal.c
    mine = select(columns.stream_id).where(columns.partition == partition)
    by_time = mine.order_by(columns.at_ms.desc(), columns.at_seq.desc()).limit(1)
    last_ms = (
        select(columns.at_ms)
        .where(
            columns.partition == partition,
            columns.at_ms >= ORDERED_MS_MIN,
            columns.at_ms < ORDERED_MS_END,
        )
        .order_by(columns.stream_id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return [
        by_time.where(columns.at_ms >= ORDERED_MS_END),
        mine.where(columns.at_ms == last_ms).order_by(columns.at_seq.desc()).limit(1),
        by_time.where(columns.at_ms < ORDERED_MS_MIN),
    ]
