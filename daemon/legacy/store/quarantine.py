"""What was set aside: lists of it, and what people decide about it."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from daemon.legacy.store.imported import QuarantinedRow
from daemon.legacy.store.reader import PairKey
from persistence.postgres.convert import json_text

_PAIRS: Final = """
SELECT DISTINCT user_id, advisor_id FROM legacy_quarantine
WHERE kind <> 'balance' AND (%(reason)s::text IS NULL OR reason = %(reason)s) ORDER BY 1, 2"""
_ROWS: Final = """
SELECT user_id, advisor_id, kind, key, reason, total_ms::text, trunc(cost * 1000000)::text,
  details, run_id
FROM legacy_quarantine WHERE (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (NOT %(running)s OR kind = 'record' AND reason <> 'assigned'
    AND details ->> 'status' IN ('active', 'paused'))
ORDER BY reason, kind, key, user_id, advisor_id LIMIT %(most)s"""
_COUNTS: Final = """
SELECT reason, count(*), sum(total_ms)::text, trunc(sum(cost) * 1000000)::text
FROM legacy_quarantine GROUP BY 1 ORDER BY 1"""
_RUNNING: Final = """
SELECT count(*) FROM legacy_quarantine
WHERE kind = 'record' AND reason <> 'assigned' AND details ->> 'status' IN ('active', 'paused')"""
_RECORD: Final = """
SELECT user_id, advisor_id FROM legacy_quarantine WHERE kind = 'record' AND key = %s"""
_DECIDED: Final = """
SELECT user_id, advisor_id, key, details ->> %(name)s FROM legacy_quarantine
WHERE kind = 'record' AND details ->> %(name)s IS NOT NULL"""
_ASSIGN: Final = """
UPDATE legacy_quarantine SET details = details || %s::jsonb
WHERE kind = 'record' AND key = %s AND (user_id, advisor_id) = (%s, %s)"""


class ReasonCount(NamedTuple):
    """How much is set aside for a reason."""

    reason: str
    rows: int
    total_ms: int
    cost_micro: int


def quarantined_pairs(connection: Connection, reason: str | None = None) -> list[PairKey]:
    """Give the pairs of which anything is set aside, in order."""
    rows = connection.exec_driver_sql(_PAIRS, {"reason": reason})
    return [(row[0], row[1]) for row in rows]


def fetch_quarantined(
    connection: Connection, reason: str | None, most: int, *, running: bool = False
) -> Iterator[tuple[QuarantinedRow, int]]:
    """Yield what is set aside, with the run that did it; or only records that say they run."""
    given = {"reason": reason, "most": most, "running": running}
    for row in connection.exec_driver_sql(_ROWS, given):
        yield QuarantinedRow._make((*row[:5], int(row[5]), int(row[6]), row[7])), row[8]


def count_reasons(connection: Connection) -> list[ReasonCount]:
    """Give how much is set aside, by reason."""
    rows = connection.exec_driver_sql(_COUNTS)
    return [ReasonCount(row[0], row[1], int(row[2]), int(row[3])) for row in rows]


def count_running(connection: Connection) -> int:
    """Give how many records are set aside that say that their chat runs."""
    return int(connection.exec_driver_sql(_RUNNING).scalar_one())


def pairs_of_record(connection: Connection, key: str) -> list[PairKey]:
    """Give the pairs of a record that is set aside: one, unless two records have one id."""
    return [(row[0], row[1]) for row in connection.exec_driver_sql(_RECORD, (key,))]


def decided(connection: Connection, name: str) -> dict[PairKey, dict[str, str]]:
    """Give what was told of that name, by pair and record."""
    found: dict[PairKey, dict[str, str]] = {}
    for user_id, advisor_id, key, told in connection.exec_driver_sql(_DECIDED, {"name": name}):
        found.setdefault((user_id, advisor_id), {})[key] = told
    return found


def remember(connection: Connection, key: str, pair: PairKey, told: dict[str, Any]) -> None:
    """Add to what is known of a record that is set aside."""
    connection.exec_driver_sql(_ASSIGN, (json_text(told), key, *pair))
