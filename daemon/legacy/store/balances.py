"""What meterd itself has of old balances and adopted chats: rows read and written."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from daemon.legacy.rules.adoption import Adoption
from daemon.legacy.store.decimals import EXACT, exact_credits
from meterd.rules.free_time import scope_key
from meterd.rules.model import FREE_OF_ADVISOR
from persistence.postgres.bulk_insert import batch, micro, plain, text
from persistence.postgres.convert import json_text, micro_from_credits

BALANCE: Final = "balance"
"""Kind of the quarantine's rows; no pair has one of it."""
NO_RUN: Final = 0
_ZERO: Final = Decimal(0)


class OpenedBalance(NamedTuple):
    """What became of a user's balance: balance = opened + unflushed + residue."""

    user_id: str
    balance: Decimal
    """Credits, exactly as the old system has them; without what is set aside."""
    opened_micro: int
    unflushed_micro: int
    remainder: Decimal
    """Credits, less than a micro-credit."""


class QuarantinedBalance(NamedTuple):
    """A balance that stays where it is, or what of it does; negative if too much was opened."""

    user_id: str
    balance: Decimal
    reason: str

    def without(self, opened: OpenedBalance | None) -> "QuarantinedBalance":
        """What of the balance is not in the account."""
        if opened is None:
            return self
        return self._replace(balance=EXACT.subtract(self.balance, opened.balance))


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
_BEFORE: Final = """
SELECT u.user_id,
  (SELECT coalesce(sum(amount), 0) FROM ledger_entries e
    WHERE e.user_id = u.user_id AND e.kind = 'migrated'),
  least(coalesce(b.unflushed, 0), coalesce(a.cost, 0))
FROM unnest(%(users)s::text[]) u (user_id)
LEFT JOIN legacy_balances b ON b.user_id = u.user_id
LEFT JOIN (SELECT user_id, sum(unflushed_cost) AS cost FROM legacy_adoptions
  WHERE user_id = ANY(%(users)s) GROUP BY 1) a ON a.user_id = u.user_id"""
_UNFLUSHED: Final = """
SELECT user_id, sum(unflushed_cost) FROM legacy_adoptions
WHERE user_id = ANY(%s) GROUP BY 1"""
_SUMS: Final = """
SELECT (SELECT coalesce(sum(balance), 0) FROM legacy_balances),
  (SELECT coalesce(sum(cost), 0) FROM legacy_quarantine WHERE kind = 'balance'),
  (SELECT coalesce(sum(opened), 0) FROM legacy_balances),
  (SELECT coalesce(sum(unflushed), 0) FROM legacy_balances),
  (SELECT coalesce(sum(residue), 0) FROM legacy_balances)"""


_IS_ANY: Final = """
SELECT EXISTS (SELECT 1 FROM legacy_balances)
  OR EXISTS (SELECT 1 FROM legacy_quarantine WHERE kind = 'balance')"""
# With the ledger's own collation, or its index does not serve; public, so that a test can see that.
HAD: Final = """
WITH asides AS (SELECT user_id, cost FROM legacy_quarantine WHERE kind = 'balance'),
users AS (
  SELECT user_id FROM (SELECT user_id FROM legacy_balances UNION SELECT user_id FROM asides) u
  WHERE (%(after)s::text IS NULL OR user_id > %(after)s)
    AND (%(upto)s::text IS NULL OR user_id <= %(upto)s)),
adopted AS (
  SELECT a.user_id, sum(a.unflushed_cost) AS cost FROM users JOIN legacy_adoptions a USING (user_id)
  GROUP BY 1)
SELECT user_id, coalesce(b.balance, 0), coalesce(b.opened, 0), coalesce(b.unflushed, 0),
  coalesce(b.residue, 0), q.cost,
  (SELECT coalesce(sum(amount), 0) FROM ledger_entries l
    WHERE l.user_id = users.user_id COLLATE "default" AND l.kind = 'migrated'),
  coalesce(a.cost, 0)
FROM users LEFT JOIN legacy_balances b USING (user_id) LEFT JOIN asides q USING (user_id)
LEFT JOIN adopted a USING (user_id)"""
_LEDGER_TOTAL: Final = """
SELECT coalesce(sum(amount), 0) FROM ledger_entries WHERE kind = 'migrated'"""


_FREE_TIMES: Final = """
SELECT DISTINCT ON (user_id, scope) user_id, substr(scope, length(%(prefix)s) + 1), used_ms
FROM opening_free_times WHERE user_id = ANY(%(users)s) AND starts_with(scope, %(prefix)s)
ORDER BY user_id, scope, number DESC"""
_IN_USE: Final = """
SELECT key FROM legacy_quarantine
WHERE kind = 'balance' AND reason = 'account_in_use' AND key = ANY(%s)"""


class OpenedFreeTimes(NamedTuple):
    """Free time that accounts were opened with."""

    used_ms: dict[tuple[str, str], int]
    """By user and advisor."""
    in_use: set[str]
    """Users whose accounts were in use before they could be opened."""


class StoredBalance(NamedTuple):
    """All that there is of a user's old balance; in credits."""

    user_id: str
    balance: Decimal
    opened: Decimal
    unflushed: Decimal
    remainder: Decimal
    quarantined: Decimal | None
    ledger: Decimal
    """What the account was opened with, by the ledger."""
    adopted: Decimal
    """What is paid of the balance by the plan of the adoptions."""


class Sums(NamedTuple):
    """Credits of all balances."""

    imported: Decimal
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


def opened_before(connection: Connection, users: Sequence[str]) -> dict[str, OpenedBalance]:
    """Give what accounts were opened with, by the ledger, and what was paid of their balances then.

    Those that were opened with nothing are left out.
    """
    rows = connection.exec_driver_sql(_BEFORE, {"users": list(users)}) if users else ()
    found = [(row[0], *map(micro_from_credits, row[1:])) for row in rows]
    return {
        user: OpenedBalance(
            user_id=user,
            balance=exact_credits(opened + unflushed, _ZERO),
            opened_micro=opened,
            unflushed_micro=unflushed,
            remainder=_ZERO,
        )
        for user, opened, unflushed in found
        if opened or unflushed
    }


def write_balances(
    connection: Connection, opened: Iterable[OpenedBalance], asides: Iterable[QuarantinedBalance]
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


def is_any_migrated(connection: Connection) -> bool:
    """Whether balances have been imported at all."""
    return bool(connection.exec_driver_sql(_IS_ANY).scalar_one())


def fetch_stored(
    connection: Connection, after: str | None, upto: str | None
) -> dict[str, StoredBalance]:
    """Give what there is of the users after one, in the order of bytes, and not after another.

    Without one: from the first, or to the last.
    """
    rows = connection.exec_driver_sql(HAD, {"after": after, "upto": upto})
    return {row[0]: StoredBalance._make(row) for row in rows}


def fetch_free_times(connection: Connection, users: Sequence[str]) -> OpenedFreeTimes:
    """Give what the accounts of these users were opened with, of free time for each advisor."""
    given = {"users": list(users), "prefix": scope_key(FREE_OF_ADVISOR, "")}
    rows = connection.exec_driver_sql(_FREE_TIMES, given)
    used_ms = {(row[0], row[1]): int(row[2]) for row in rows}
    in_use = connection.exec_driver_sql(_IN_USE, (list(users),))
    return OpenedFreeTimes(used_ms, {row[0] for row in in_use})


def ledger_total(connection: Connection) -> Decimal:
    """Give what all accounts were opened with, by the ledger."""
    return Decimal(connection.exec_driver_sql(_LEDGER_TOTAL).scalar_one())


_NAMES: Final = (
    "chat_id, user_id, advisor_id, share_ms, share_micro, carried_ms,"
    " (carried_cost * 1000000)::bigint, (unflushed_cost * 1000000)::bigint,"
    " (rate * 1000000)::bigint, started_at, was_paused, at_ms, carried_free_ms,"
    " coalesce(tariff, '{}')"
)
_PLANS: Final = f"SELECT {_NAMES}, outcome FROM legacy_adoptions ORDER BY chat_id"  # noqa: S608
_ADOPTIONS: Final = batch(
    "legacy_adoptions",
    (
        text("chat_id"), text("user_id"), text("advisor_id"), plain("share_ms"),
        plain("share_micro"), plain("carried_ms"), micro("carried_cost"), micro("unflushed_cost"),
        micro("rate"), plain("started_at"), plain("was_paused", "boolean"), plain("at_ms"),
        plain("carried_free_ms"), plain("tariff", "jsonb"), text("outcome"),
    ),
    {},
    "(chat_id) DO UPDATE SET carried_cost = excluded.carried_cost,"
    " unflushed_cost = excluded.unflushed_cost, outcome = excluded.outcome",
)  # fmt: skip


class BalancePlan(NamedTuple):
    """An adoption and how far it is."""

    adoption: Adoption
    outcome: str


def fetch_plans(connection: Connection) -> list[BalancePlan]:
    """Give all that were ever made, in order of chats."""
    rows = connection.exec_driver_sql(_PLANS)
    return [BalancePlan(Adoption._make(row[:-1]), row[-1]) for row in rows]


def write_plans(connection: Connection, plans: Iterable[BalancePlan]) -> None:
    """Write new ones, or how far known ones are."""
    in_order = sorted(plans, key=lambda plan: plan.adoption.chat_id)
    _ADOPTIONS.write(connection, [_plan_values(plan) for plan in in_order])


def _plan_values(plan: BalancePlan) -> tuple[Any, ...]:
    tariff = json_text(plan.adoption.tariff) if plan.adoption.tariff else None
    return (*plan.adoption[:-1], tariff, plan.outcome)


def _sums(connection: Connection, sql: str, users: Sequence[str]) -> dict[str, int]:
    rows: Any = connection.exec_driver_sql(sql, (list(users),))
    return {user: micro_from_credits(amount) for user, amount in rows}


def _aside_values(one: QuarantinedBalance) -> tuple[Any, ...]:
    details = json_text({"balance": str(one.balance)})
    return (one.user_id, "", BALANCE, one.user_id, one.reason, 0, one.balance, details, NO_RUN)
