"""What meterd itself has of the old records: rows of a range of pairs, read and changed."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from daemon.legacy.errors import ChangedMeanwhileError
from daemon.legacy.store.reader import PairKey
from persistence.postgres.bulk_insert import batch, micro, plain, text
from persistence.postgres.convert import check_texts, json_text
from persistence.postgres.rows import RecordRow
from persistence.postgres.writer import insert_records


class StoredRecord(NamedTuple):
    """A record of meterd, as far as it matters here."""

    chat_id: str
    user_id: str
    advisor_id: str
    started_at_ms: int
    ended_at_ms: int | None
    active_ms: int
    cost_micro: int
    seq: int
    owner: PairKey | None
    """The pair for which it was imported; None if it was not."""

    @property
    def is_used(self) -> bool:
        """Whether anything happened to it since."""
        return self.seq > 1


class QuarantinedRow(NamedTuple):
    """A row of the quarantine."""

    user_id: str
    advisor_id: str
    kind: str
    key: str
    reason: str
    total_ms: int
    cost_micro: int
    details: Mapping[str, Any]

    @property
    def name(self) -> tuple[str, str]:
        """What it is called within its pair."""
        return self.kind, self.key


class StoredRemainder(NamedTuple):
    """What rounding left over of a record."""

    user_id: str
    advisor_id: str
    key: str
    ms: Decimal
    credits: Decimal


class ImportedState(NamedTuple):
    """All that meterd has of some pairs."""

    chats: Mapping[PairKey, Mapping[str, StoredRecord | None]]
    """None where the record is missing, which must not be."""
    quarantined: Mapping[PairKey, Mapping[tuple[str, str], QuarantinedRow]]
    remainders: Mapping[PairKey, Mapping[str, StoredRemainder]]

    def pairs(self) -> set[PairKey]:
        """Whose anything is here."""
        return {*self.chats, *self.quarantined, *self.remainders}


class Range(NamedTuple):
    """Pairs after one, and not after another; without an end if there is none."""

    after: PairKey | None
    upto: PairKey | None

    @staticmethod
    def of(pair: PairKey) -> "Range":
        """One pair alone."""
        return Range(pair, pair)

    def sql(self, alias: str) -> str:
        """The condition."""
        pair = f"({alias}.user_id, {alias}.advisor_id)"
        if self.after is not None and self.after == self.upto:
            return f"{pair} = (%(upto_user)s, %(upto_advisor)s)"
        # The users alone once more: of rows compared as a whole the planner knows no statistics,
        # takes a few thousand pairs for a tenth of all, and reads every record for each batch.
        after, upto = "true", "true"
        if self.after:
            after = f"{pair} > (%(after_user)s, %(after_advisor)s)"
            after += f" AND {alias}.user_id >= %(after_user)s"
        if self.upto:
            upto = f"{pair} <= (%(upto_user)s, %(upto_advisor)s)"
            upto += f" AND {alias}.user_id <= %(upto_user)s"
        return f"{after} AND {upto}"

    def parameters(self) -> dict[str, str]:
        """The values in it."""
        after, upto = self.after or ("", ""), self.upto or ("", "")
        return {
            "after_user": after[0], "after_advisor": after[1],
            "upto_user": upto[0], "upto_advisor": upto[1],
        }  # fmt: skip


_RECORD: Final = """
r.chat_id, r.user_id, r.advisor_id, (extract(epoch FROM r.started_at) * 1000)::bigint,
(extract(epoch FROM r.ended_at) * 1000)::bigint, r.active_ms, (r.cost * 1000000)::bigint, r.seq
"""
_CHATS: Final = f"""
SELECT l.user_id, l.advisor_id, l.chat_id, {_RECORD}
FROM legacy_chats l LEFT JOIN chat_time_records r ON r.chat_id = l.chat_id WHERE """  # noqa: S608
_ASIDES: Final = """
SELECT q.user_id, q.advisor_id, q.kind, q.key, q.reason, q.total_ms::text,
  trunc(q.cost * 1000000)::text, q.details
FROM legacy_quarantine q WHERE q.kind <> 'balance' AND """
_REMAINDERS: Final = (
    "SELECT s.user_id, s.advisor_id, s.key, s.ms, s.credits FROM legacy_residues s WHERE "
)
_NAMED: Final = f"""
SELECT {_RECORD}, l.user_id, l.advisor_id
FROM chat_time_records r LEFT JOIN legacy_chats l ON l.chat_id = r.chat_id
WHERE r.chat_id = ANY(%s)"""  # noqa: S608 - columns from above
_ADOPTED: Final = """
SELECT j.chat_id, j.fields ->> 'carried_ms', (r.carried_cost * 1000000)::bigint
FROM command_journal j JOIN chat_time_records r ON r.chat_id = j.chat_id
WHERE j.chat_id = ANY(%s) AND j.outcome = 'ok' AND NOT j.replayed
  AND j.fields ->> 'type' IN ('start', 'adopt') AND j.fields ->> 'type' = 'adopt'"""


def fetch_imported(connection: Connection, pairs: Range) -> ImportedState:
    """Give what meterd has of the pairs in the range."""
    chats: dict[PairKey, dict[str, StoredRecord | None]] = {}
    for row in _range(connection, _CHATS, pairs, "l"):
        owner = (row[0], row[1])
        have = None if row[3] is None else StoredRecord._make((*row[3:], owner))
        chats.setdefault(owner, {})[row[2]] = have
    asides: dict[PairKey, dict[tuple[str, str], QuarantinedRow]] = {}
    for row in _range(connection, _ASIDES, pairs, "q"):
        aside = QuarantinedRow._make((*row[:5], int(row[5]), int(row[6]), row[7]))
        asides.setdefault((row[0], row[1]), {})[aside.name] = aside
    remainders: dict[PairKey, dict[str, StoredRemainder]] = {}
    for row in _range(connection, _REMAINDERS, pairs, "s"):
        remainders.setdefault((row[0], row[1]), {})[row[2]] = StoredRemainder._make(row)
    return ImportedState(chats, asides, remainders)


def fetch_named(connection: Connection, chat_ids: Iterable[str]) -> dict[str, StoredRecord]:
    """Give the records of these chats, whosever they are."""
    rows = connection.exec_driver_sql(_NAMED, (list(chat_ids),))
    owned = ((row, None if row[8] is None else (row[8], row[9])) for row in rows)
    return {row[0]: StoredRecord._make((*row[:8], owner)) for row, owner in owned}


def fetch_adopted(connection: Connection, chat_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Give what was carried along by those of the chats that were adopted: ms, micro-credits."""
    rows = connection.exec_driver_sql(_ADOPTED, (list(chat_ids),))
    return {row[0]: (int(row[1]), row[2]) for row in rows}


class ImportChanges(NamedTuple):
    """What is to be written, of any number of pairs."""

    deleted: list[str]
    """Chats whose migrated records go, if nothing happened to them."""
    imported: list[RecordRow]
    quarantined_gone: list[QuarantinedRow]
    quarantined: list[QuarantinedRow]
    remainders_gone: list[StoredRemainder]
    remainders: list[StoredRemainder]

    @staticmethod
    def none() -> "ImportChanges":
        """Nothing yet."""
        return ImportChanges(
            deleted=[],
            imported=[],
            quarantined_gone=[],
            quarantined=[],
            remainders_gone=[],
            remainders=[],
        )

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return any(self)


_TAKE_OUT: Final = """
WITH gone AS (
  DELETE FROM chat_time_records
  WHERE chat_id = ANY(%(ids)s) AND source = 'migrated' AND seq = 1 RETURNING chat_id)
DELETE FROM legacy_chats l USING gone WHERE l.chat_id = gone.chat_id"""
_RECLAIM: Final = """
INSERT INTO legacy_chats (chat_id, run_id, user_id, advisor_id)
SELECT r.chat_id, %s, r.user_id, r.advisor_id
FROM chat_time_records r LEFT JOIN legacy_chats l ON l.chat_id = r.chat_id
WHERE r.source = 'migrated' AND l.chat_id IS NULL"""
_CHATS_BATCH: Final = batch(
    "legacy_chats",
    (text("chat_id"), plain("run_id"), text("user_id"), text("advisor_id")),
    {},
    "(chat_id) DO UPDATE SET run_id = excluded.run_id, user_id = excluded.user_id,"
    " advisor_id = excluded.advisor_id",
)
_ASIDES_BATCH: Final = batch(
    "legacy_quarantine",
    (
        text("user_id"), text("advisor_id"), text("kind"), text("key"), text("reason"),
        plain("total_ms", "numeric"), micro("cost"), plain("details", "jsonb"), plain("run_id"),
    ),
    {},
    "(user_id, advisor_id, kind, key) DO NOTHING",
)  # fmt: skip
_REMAINDERS_BATCH: Final = batch(
    "legacy_residues",
    (
        text("user_id"), text("advisor_id"), text("key"),
        plain("ms", "numeric"), plain("credits", "numeric"), plain("run_id"),
    ),
    {},
    "(user_id, advisor_id, key) DO NOTHING",
)  # fmt: skip
_ASIDES_GONE: Final = """
DELETE FROM legacy_quarantine q USING unnest(%s::text[], %s::text[], %s::text[], %s::text[])
  AS gone (user_id, advisor_id, kind, key)
WHERE (q.user_id, q.advisor_id, q.kind, q.key)
  = (gone.user_id, gone.advisor_id, gone.kind, gone.key)"""
_REMAINDERS_GONE: Final = """
DELETE FROM legacy_residues s USING unnest(%s::text[], %s::text[], %s::text[])
  AS gone (user_id, advisor_id, key)
WHERE (s.user_id, s.advisor_id, s.key) = (gone.user_id, gone.advisor_id, gone.key)"""


def write_changes(connection: Connection, run_id: int, changes: ImportChanges) -> None:
    """Write them in the caller's transaction.

    Raises:
        ChangedMeanwhile: A record is not as it was when the changes were made out.
    """
    _exactly(delete_imported(connection, changes.deleted), len(changes.deleted))
    rows = sorted(changes.imported)
    _exactly(insert_records(connection, rows), len(rows))
    _CHATS_BATCH.write(connection, [(r.chat_id, run_id, r.user_id, r.advisor_id) for r in rows])
    _delete(connection, _ASIDES_GONE, [(*a[:2], *a.name) for a in changes.quarantined_gone])
    _ASIDES_BATCH.write(connection, [_aside_values(a, run_id) for a in changes.quarantined])
    _delete(connection, _REMAINDERS_GONE, [one[:3] for one in changes.remainders_gone])
    _REMAINDERS_BATCH.write(connection, [(*one, run_id) for one in changes.remainders])


def delete_imported(connection: Connection, chat_ids: Sequence[str]) -> int:
    """Delete migrated records to which nothing has happened; give how many there were."""
    if not chat_ids:
        return 0
    return connection.exec_driver_sql(_TAKE_OUT, {"ids": sorted(chat_ids)}).rowcount


def undo_partial(connection: Connection, run_id: int) -> None:
    """Count migrated records that no run has imported to this one.

    There is one if a command that was decided before a run took the record out came to Postgres
    after it. It is there and has been used, so its pair has to reckon with it.
    """
    connection.exec_driver_sql(_RECLAIM, (run_id,))


def _exactly(done: int, due: int) -> None:
    if done != due:
        raise ChangedMeanwhileError(f"{due - done} of {due} records were changed meanwhile")


def _aside_values(aside: QuarantinedRow, run_id: int) -> tuple[Any, ...]:
    details = json_text(aside.details)
    check_texts((details,))
    return (*aside[:7], details, run_id)


def _delete(connection: Connection, sql: str, keys: Sequence[tuple[Any, ...]]) -> None:
    if keys:
        connection.exec_driver_sql(sql, tuple(map(list, zip(*keys, strict=True))))


def _range(connection: Connection, sql: str, pairs: Range, alias: str) -> Iterable[Any]:
    return connection.exec_driver_sql(sql + pairs.sql(alias), pairs.parameters())
