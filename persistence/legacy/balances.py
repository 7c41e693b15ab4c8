"""What meterd itself has of old balances and adopted chats: rows read and written."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from actors.rules.adoption import Adoption
from persistence.legacy.kept import credits_of
from persistence.postgres.batches import batch, micro, plain, text
from persistence.postgres.convert import json_text, micro_from_credits

BALANCE: Final = "balance"
"""Kind of the quarantine's rows; no pair has one of it."""
NO_RUN: Final = 0


class Opened(NamedTuple):
    """What became of a user's balance."""

    user_id: str
    balance: Decimal
    """Credits, exactly as the old system has them."""
    opened_micro: int
    unflushed_micro: int
    residue: Decimal
    """Credits, less than a micro-credit."""


class Aside(NamedTuple):
    """A balance that stays where it is."""

    user_id: str
    balance: Decimal
    reason: str


_OPENED: Final = batch(
    "legacy_balances",
    (
        text("user_id"), plain("balance", "numeric"), micro("opened"), micro("unflushed"),
        plain("residue", "numeric"),
    ),
    {},
    "(user_id) DO UPDATE SET balance = excluded.balance, opened = excluded.opened,"
    " unflushed = excluded.unflushed, residue = excluded.residue",
)  # fmt: skip
_ASIDES: Final = batch(
    "legacy_quarantine",
    (
        text("user_id"), text("advisor_id"), text("kind"), text("key"), text("reason"),
        plain("total_ms", "numeric"), plain("cost", "numeric"), plain("details", "jsonb"),
        plain("run_id"),
    ),
    {},
    "(user_id, advisor_id, kind, key) DO NOTHING",
)  # fmt: skip
_FORGET_ASIDES: Final = """
DELETE FROM legacy_quarantine WHERE kind = 'balance' AND advisor_id = '' AND user_id = ANY(%s)"""
_FORGET_OPENED: Final = "DELETE FROM legacy_balances WHERE user_id = ANY(%s)"
_MIGRATED: Final = """
SELECT user_id, sum(amount) FROM ledger_entries
WHERE kind = 'migrated' AND user_id = ANY(%s) GROUP BY 1"""
_UNFLUSHED: Final = """
SELECT user_id, sum(unflushed_cost) FROM legacy_adoptions
WHERE user_id = ANY(%s) GROUP BY 1"""
_SUMS: Final = """
SELECT (SELECT coalesce(sum(balance), 0) FROM legacy_balances),
  (SELECT coalesce(sum(cost), 0) FROM legacy_quarantine WHERE kind = 'balance'),
  (SELECT coalesce(sum(opened), 0) FROM legacy_balances),
  (SELECT coalesce(sum(unflushed), 0) FROM legacy_balances),
  (SELECT coalesce(sum(residue), 0) FROM legacy_balances)"""


class Sums(NamedTuple):
    """Credits of all balances."""

    brought: Decimal
    aside: Decimal
    opened: Decimal
    unflushed: Decimal
    residue: Decimal


def migrated_sums(connection: Connection, users: Sequence[str]) -> dict[str, int]:
    """Give what accounts were opened with, in micro-credits, by the ledger."""
    return _sums(connection, _MIGRATED, users)


def unflushed_sums(connection: Connection, users: Sequence[str]) -> dict[str, int]:
    """Give what users pay of their balances for time that is adopted, in micro-credits."""
    return _sums(connection, _UNFLUSHED, users)


def write_balances(
    connection: Connection, opened: Iterable[Opened], asides: Iterable[Aside]
) -> None:
    """Write what became of some users' balances, in place of what became of them before."""
    done, left = sorted(opened), sorted(asides)
    users = [one.user_id for one in done] + [one.user_id for one in left]
    for forget in (_FORGET_ASIDES, _FORGET_OPENED):
        connection.exec_driver_sql(forget, (users,))
    _OPENED.write(connection, done)
    _ASIDES.write(connection, [_aside_values(one) for one in left])


def sums_of_balances(connection: Connection) -> Sums:
    """Give what all balances come to."""
    return Sums._make(connection.exec_driver_sql(_SUMS).one())


_NAMES: Final = (
    "chat_id, user_id, advisor_id, share_ms, share_micro, carried_ms,"
    " (carried_cost * 1000000)::bigint, (unflushed_cost * 1000000)::bigint,"
    " (rate * 1000000)::bigint, started_at, was_paused, at_ms"
)
_PLANS: Final = f"SELECT {_NAMES}, outcome FROM legacy_adoptions ORDER BY chat_id"  # noqa: S608
_ADOPTIONS: Final = batch(
    "legacy_adoptions",
    (
        text("chat_id"), text("user_id"), text("advisor_id"), plain("share_ms"),
        plain("share_micro"), plain("carried_ms"), micro("carried_cost"), micro("unflushed_cost"),
        micro("rate"), plain("started_at"), plain("was_paused", "boolean"), plain("at_ms"),
        text("outcome"),
    ),
    {},
    "(chat_id) DO UPDATE SET carried_cost = excluded.carried_cost,"
    " unflushed_cost = excluded.unflushed_cost, outcome = excluded.outcome",
)  # fmt: skip


class Plan(NamedTuple):
    """An adoption and how far it is."""

    adoption: Adoption
    outcome: str


def fetch_plans(connection: Connection) -> list[Plan]:
    """Give all that were ever made, in order of chats."""
    rows = connection.exec_driver_sql(_PLANS)
    return [Plan(Adoption._make(row[:-1]), row[-1]) for row in rows]


def write_plans(connection: Connection, plans: Iterable[Plan]) -> None:
    """Write new ones, or how far known ones are."""
    _ADOPTIONS.write(connection, [(*plan.adoption, plan.outcome) for plan in sorted(plans)])


def _sums(connection: Connection, sql: str, users: Sequence[str]) -> dict[str, int]:
    rows: Any = connection.exec_driver_sql(sql, (list(users),))
    return {user: micro_from_credits(amount) for user, amount in rows}


def _aside_values(one: Aside) -> tuple[Any, ...]:
    details = json_text({"balance": str(one.balance)})
    return (one.user_id, "", BALANCE, one.user_id, one.reason, 0, one.balance, details, NO_RUN)


def exact_credits(balance_micro: int, residue_micro: Decimal) -> Decimal:
    """Credits out of whole micro-credits and what is less than one."""
    return credits_of(Decimal(balance_micro)) + credits_of(residue_micro)
