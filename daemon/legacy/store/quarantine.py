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
# Version 0.1 wrote no state, and a status only in the words of the default shape.
_OPEN: Final = """reason NOT IN ('assigned', 'trusted')
  AND (details ->> 'state' IN ('running', 'paused')
    OR kind = 'record' AND details ->> 'status' IN ('active', 'paused'))"""
_ROWS: Final = f"""
SELECT user_id, advisor_id, kind, key, reason, total_ms::text, trunc(cost * 1000000)::text,
  details, run_id
FROM legacy_quarantine WHERE (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (NOT %(running)s OR {_OPEN})
ORDER BY reason, kind, key, user_id, advisor_id LIMIT %(most)s"""  # noqa: S608 - from above
_COUNTS: Final = """
SELECT reason, count(*), sum(total_ms)::text, trunc(sum(cost) * 1000000)::text
FROM legacy_quarantine GROUP BY 1 ORDER BY 1"""
_RECORD: Final = """
SELECT user_id, advisor_id FROM legacy_quarantine WHERE kind = 'record' AND key = %s"""
_DECIDED: Final = """
SELECT user_id, advisor_id, key, details ->> %(name)s FROM legacy_quarantine
WHERE kind = %(kind)s AND details ->> %(name)s IS NOT NULL"""
_PAIR_OF_CHAT: Final = """
SELECT user_id, advisor_id FROM legacy_quarantine
WHERE kind = 'chat' AND key = %s AND reason IN ('chats_exceed_records', 'trusted')"""
_TRUST: Final = """
UPDATE legacy_quarantine SET details = details || %s::jsonb
WHERE kind = 'chat' AND reason IN ('chats_exceed_records', 'trusted')
  AND (user_id, advisor_id) = (%s, %s)"""
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


def pairs_of_record(connection: Connection, key: str) -> list[PairKey]:
    """Give the pairs of a record that is set aside: one, unless two records have one id."""
    return [(row[0], row[1]) for row in connection.exec_driver_sql(_RECORD, (key,))]


def pairs_exceeding(connection: Connection, chat_id: str) -> list[PairKey]:
    """Give the pairs of a chat that is set aside because chats say more than their records."""
    return [(row[0], row[1]) for row in connection.exec_driver_sql(_PAIR_OF_CHAT, (chat_id,))]


def decided(connection: Connection, kind: str, name: str) -> dict[PairKey, dict[str, str]]:
    """Give what was decided of that name, by pair and key of the record or chat."""
    found: dict[PairKey, dict[str, str]] = {}
    given = {"kind": kind, "name": name}
    for user_id, advisor_id, key, decision in connection.exec_driver_sql(_DECIDED, given):
        found.setdefault((user_id, advisor_id), {})[key] = decision
    return found


def remember(connection: Connection, key: str, pair: PairKey, decision: dict[str, Any]) -> None:
    """Add to what is known of a record that is set aside."""
    connection.exec_driver_sql(_ASSIGN, (json_text(decision), key, *pair))


def remember_of_pair(connection: Connection, pair: PairKey, decision: dict[str, Any]) -> None:
    """Add to what is known of the chats of a pair that say more than its records."""
    connection.exec_driver_sql(_TRUST, (json_text(decision), *pair))
