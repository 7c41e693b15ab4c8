"""Sums over whole tables, made by the servers: independent of how pairs are read and split."""

from decimal import Decimal
from typing import Final, NamedTuple

from sqlalchemy import Connection

from daemon.legacy.store import queries
from daemon.legacy.store.decimals import credits_of, total
from daemon.legacy.store.layout import layout_of
from daemon.legacy.store.shape import LegacyShape

_OWN: Final = """
SELECT (SELECT coalesce(sum(r.active_ms), 0) FROM legacy_chats l
    JOIN chat_time_records r ON r.chat_id = l.chat_id)
  + (SELECT coalesce(sum(total_ms), 0) FROM legacy_quarantine WHERE kind <> 'balance')
  + (SELECT coalesce(sum(ms), 0) FROM legacy_residues),
  (SELECT coalesce(sum(r.cost), 0) FROM legacy_chats l
    JOIN chat_time_records r ON r.chat_id = l.chat_id)
  + (SELECT coalesce(sum(cost), 0) FROM legacy_quarantine WHERE kind <> 'balance')
  + (SELECT coalesce(sum(credits), 0) FROM legacy_residues)"""
_STRAY: Final = """
SELECT r.chat_id FROM chat_time_records r LEFT JOIN legacy_chats l ON l.chat_id = r.chat_id
WHERE r.source = 'migrated' AND l.chat_id IS NULL ORDER BY 1 LIMIT %s"""


class Totals(NamedTuple):
    """All time and cost."""

    ms: Decimal
    credits: Decimal

    def plus(self, ms: int, micro: int) -> "Totals":
        """With so many more milliseconds and micro-credits."""
        return self.plus_exact(Decimal(ms), credits_of(Decimal(micro)))

    def plus_exact(self, ms: Decimal, credits_: Decimal) -> "Totals":
        """With so many more milliseconds and credits."""
        return Totals(total(self.ms, ms), total(self.credits, credits_))


def old_totals(connection: Connection, shape: LegacyShape) -> Totals:
    """Give what the old records come to: of every total that is a number."""
    row = connection.exec_driver_sql(queries.totals_sql(layout_of(connection, shape))).one()
    return Totals(row[0], row[1])


def old_balances_total(connection: Connection, shape: LegacyShape) -> Decimal:
    """Give what all old balances come to: of every user whose balance is a number."""
    sql = queries.balances_total_sql(layout_of(connection, shape))
    return Decimal(connection.exec_driver_sql(sql).scalar_one())


def own_totals(connection: Connection) -> Totals:
    """Give what was imported, set aside, or left over by rounding."""
    row = connection.exec_driver_sql(_OWN).one()
    return Totals(row[0], row[1])


def stray_records(connection: Connection, most: int) -> list[str]:
    """Give chats with a migrated record that no run has imported."""
    return [row[0] for row in connection.exec_driver_sql(_STRAY, (most,))]
