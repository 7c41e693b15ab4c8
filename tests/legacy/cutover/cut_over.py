"""An old system at its cut-over, and what comes of it: for the tests of adopt."""

from typing import Any

from sqlalchemy import text

from daemon.legacy.adopt import CutoverOptions, adopt
from daemon.legacy.migrate import migrate
from daemon.legacy.rules.adoption import OldTariff
from daemon.legacy.store.balances import BalancePlan
from daemon.legacy.verify import verify
from meterd import Meter
from meterd.rules.model import Policy, Tariff
from persistence.postgres import reader
from tests.audit_check import assert_clean
from tests.legacy.cutover.conftest import Both
from tests.legacy.cutover.old import T, add_chat, add_record, set_balance
from tests.legacy.cutover.test_balances import _ledger

RATE = 600_000
"""0.6 credits a minute: 10 micro-credits a millisecond."""
CUT = CutoverOptions("latest", T + 100_000, OldTariff(RATE))
POLICY = Policy(Tariff(rate_micro=RATE))


def old_system(both: Both) -> None:
    """An active one, a paused one, one whose user has too little, one whose user has nothing, two
    of one user; and one that is over."""
    rows: Any = [
        ("runs", "u", "v", "active", 90_000), ("rests", "p", "v", "paused", None),
        ("poor", "poor", "v", "active", 40_000), ("broke", "broke", "v", "active", 99_000),
        ("two.a", "two", "v", "active", 95_000), ("two.b", "two", "w", "active", 90_000),
    ]  # fmt: skip
    for chat, user, advisor, status, resumed in rows:
        add_chat(both.engine, chat, 0, None, user_id=user, advisor_id=advisor)
        add_record(
            both.engine, chat, user_id=user, advisor_id=advisor, status=status,
            last_resumed_at=resumed, total_seconds=20, credits_used=1,
        )  # fmt: skip
    add_chat(both.engine, "over", 0, 9_000, user_id="z")
    add_record(both.engine, "over", user_id="z", total_seconds=9)
    balances = {"u": 5, "p": 2, "poor": "0.5", "broke": 0, "two": "0.12"}
    for user, balance in balances.items():
        set_balance(both.engine, user, balance)


def adopt_all(both: Both, cut: CutoverOptions = CUT) -> dict[str, BalancePlan]:
    with Meter(both.redis_url) as meter:
        result = adopt(both.targets, meter, cut, lambda _done, _total: None)
    return {plan.adoption.chat_id: plan for plan in result.plans}


CARRIED = {
    # chat: ms, cost, of it unflushed, outcome
    "runs": (30_000, 1_100_000, 100_000, "adopted"),
    "rests": (20_000, 1_000_000, 0, "adopted"),
    "poor": (80_000, 1_500_000, 500_000, "ended_without_credits"),
    "broke": (21_000, 1_000_000, 0, "ended_without_credits"),
    "two.a": (25_000, 1_050_000, 50_000, "ended_without_credits"),
    "two.b": (30_000, 1_070_000, 70_000, "ended_without_credits"),
}


def shown(plans: dict[str, BalancePlan]) -> dict[str, Any]:
    return {
        chat: (
            plan.adoption.carried_ms, plan.adoption.carried_micro, plan.adoption.unflushed_micro,
            plan.outcome,
        )
        for chat, plan in plans.items()
    }  # fmt: skip


def check_books(both: Both) -> None:
    """Records carry all the time; balances are lowered by what they paid; the audit agrees."""
    with both.engine.connect() as connection:
        records = reader.fetch_records(connection, list(CARRIED))
    for chat, (ms, cost, _, outcome) in CARRIED.items():
        row = records[chat]
        assert row.active_ms >= ms
        assert (row.carried_cost_micro, row.source) == (cost, "live")
        assert (row.ended_at_ms is not None) == (outcome != "adopted")
        assert row.end_reason == ("credits_exhausted" if outcome != "adopted" else None)
    assert records["rests"].status == "paused"
    assert (records["rests"].cost_micro, records["rests"].rate_micro) == (1_000_000, RATE)
    assert _ledger(both, "u") == [("migrated:u:1", 5_000_000), ("migrated:u:2", -100_000)]
    assert sum(amount for _, amount in _ledger(both, "poor")) == 0
    assert_clean(both.engine, both.redis_url)


def run_sql(both: Both, statement: str) -> None:
    with both.engine.begin() as connection:
        connection.execute(text(statement))


def bring_records(both: Both, policy: str) -> None:
    migrate(both.targets.sides, policy, lambda _: None)


def kinds_that_differ(both: Both) -> set[str]:
    return {one.kind for one in verify(both.targets.sides, "latest", lambda *_: None).differences}
