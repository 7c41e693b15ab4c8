"""What runs in the old system at the cut-over goes on: no second lost, none billed twice."""

import contextlib
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from actors.supervisor.supervisor import SupervisorConfig
from daemon.legacy import adopt as adopting
from daemon.legacy.adopt import foresee
from daemon.legacy.balances import Targets, migrate_balances
from daemon.legacy.errors import CutoverError, LegacyError
from daemon.legacy.flush import queue_ms
from daemon.legacy.store.balances import fetch_plans
from daemon.legacy.store.runs import exclusive_lock
from daemon.legacy.verify import verify
from meterd import AlreadyEndedError, AlreadyStartedError, Meter
from tests.audit_check import assert_clean
from tests.legacy.cutover import conftest
from tests.legacy.cutover.conftest import SEVERAL, Both
from tests.legacy.cutover.cut_over import (
    CARRIED,
    CUT,
    POLICY,
    adopt_all,
    bring_records,
    check_books,
    kinds_that_differ,
    old_system,
    run_sql,
    shown,
)
from tests.legacy.cutover.old import T, set_balance
from tests.legacy.cutover.test_balances import _aside, _ledger


@SEVERAL
def test_all_that_runs_is_carried_over(both: Both) -> None:
    """With the time since it was last resumed, which its user pays once, as far as there is money;
    and running it again does nothing."""
    old_system(both)

    def act() -> None:
        migrate_balances(both.targets, lambda _done, _total: None)
        assert shown(adopt_all(both)) == CARRIED
        assert shown(adopt_all(both, CUT._replace(at_ms=None))) == CARRIED
        with pytest.raises(CutoverError, match="can't be changed"):
            adopt_all(both, CUT._replace(at_ms=T))
        # What pays for adopted time stays paid.
        again = migrate_balances(both.targets, lambda _done, _total: None)
        assert (again["aside"], again["corrected"], again["opened"]) == (0, 0, 0)

    both.while_working(act, POLICY)
    check_books(both)


@pytest.mark.parametrize(
    ("kill_at", "effect"),
    [(0, "before"), (0, "after"), (1, "after"), (2, "before"), (2, "after"), (3, "after"),
     (5, "before"), (6, "after"), (9, "after")],
)  # fmt: skip
def test_killed_anywhere_it_comes_to_the_same(both: Both, kill_at: int, effect: str) -> None:
    """Whatever step it is killed at, with or without its effect."""
    old_system(both)
    left = [kill_at]

    def dying(real: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == -1 and effect == "before":
                raise KeyboardInterrupt
            result = real(*args, **named)
            if left[0] == -1:
                raise KeyboardInterrupt
            return result

        return call

    def act() -> None:
        migrate_balances(both.targets, lambda _done, _total: None)
        with pytest.MonkeyPatch.context() as patch:
            for step in ("write_plans", "migrate_users", "_send_all"):
                patch.setattr(adopting, step, dying(getattr(adopting, step)))
            with contextlib.suppress(KeyboardInterrupt):
                adopt_all(both)
        assert shown(adopt_all(both)) == CARRIED

    both.while_working(act, POLICY)
    check_books(both)


def test_an_account_in_use_is_not_lowered(both: Both) -> None:
    """Then what is not yet paid is not carried, and nobody pays it; the time is."""
    old_system(both)

    def act() -> None:
        with Meter(both.redis_url) as meter:
            meter.top_up("u", "1")
        plans = shown(adopt_all(both))
        assert plans["runs"] == (30_000, 1_000_000, 0, "adopted")

    both.while_working(act, POLICY)
    assert _aside(both, "u") == Decimal(5)
    assert_clean(both.engine, both.redis_url)


def test_the_cut_over_is_not_later_than_now(both: Both) -> None:
    """Nothing is written down then."""
    old_system(both)

    def act() -> None:
        with pytest.raises(CutoverError, match="later"):
            adopt_all(both, CUT._replace(at_ms=queue_ms(both.client) + 60_000))
        assert shown(adopt_all(both)) == CARRIED

    both.while_working(act, POLICY)


@contextlib.contextmanager
def _recorder_held(both: Both) -> Iterator[None]:
    """Records that are made in here reach Postgres half a second later, no sooner."""
    connection = both.engine.connect()
    connection.execute(text("LOCK TABLE chat_time_records IN SHARE ROW EXCLUSIVE MODE"))
    yield
    threading.Timer(0.5, connection.close).start()


def test_a_chat_that_has_begun_here_is_left(both: Both) -> None:
    """Whatever runs under its name here counts."""
    old_system(both)

    def act() -> None:
        with _recorder_held(both), Meter(both.redis_url) as meter:
            meter.start("runs", "u", "v", rate=0)
        assert "runs" not in adopt_all(both)
        with Meter(both.redis_url) as meter:
            assert meter.snapshot("runs").cost == Decimal(0)
        bring_records(both, "latest")
        migrate_balances(both.targets, lambda _done, _total: None)

    both.while_working(act, POLICY)
    assert_clean(both.engine, both.redis_url)
    assert kinds_that_differ(both) == {"not_adopted"}
    run_sql(
        both, "UPDATE conversation_time_records SET status = 'completed' WHERE chat_id = 'runs'"
    )
    bring_records(both, "latest")
    assert kinds_that_differ(both) == set()


def test_what_was_taken_for_a_refused_chat_is_set_aside(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the user's: their account is in use by then, so somebody has to settle it."""
    old_system(both)
    set_balance(both.engine, "two", 5)
    settle = adopting.settle_balances

    def begun_meanwhile(targets: Targets) -> None:
        settle(targets)
        with Meter(both.redis_url) as meter:
            for chat in ("runs", "two.a"):
                with contextlib.suppress(AlreadyStartedError):  # of the second run
                    meter.start(chat, "other", "v", rate=0)

    monkeypatch.setattr(adopting, "settle_balances", begun_meanwhile)

    def act() -> None:
        for plans in (adopt_all(both), adopt_all(both)):
            refused = {chat for chat, one in plans.items() if adopting.is_refusal(one.outcome)}
            assert refused == {"runs", "two.a"}
            assert {plans[chat].adoption.unflushed_micro for chat in refused} == {0}
            assert plans["two.b"].adoption.unflushed_micro == 100_000
        migrate_balances(both.targets, lambda _done, _total: None)

    both.while_working(act, POLICY)
    for user, opened, left in (("u", 4_900_000, "0.1"), ("two", 4_850_000, "0.05")):
        assert sum(amount for _, amount in _ledger(both, user)) == opened
        assert _aside(both, user) == Decimal(left)
    kinds = {one.kind for one in verify(both.targets.sides, "latest", lambda *_: None).differences}
    assert not kinds & {"balance", "balance_parts", "opened", "adopted", "total_balance"}


def test_one_at_a_time(both: Both) -> None:
    """Two at once would write down two cut-overs, and open accounts by what neither has read."""
    old_system(both)
    with exclusive_lock(both.engine):
        with pytest.raises(LegacyError, match="another"):
            adopt_all(both)
        with pytest.raises(LegacyError, match="another"):
            migrate_balances(both.targets, lambda _done, _total: None)
    with both.engine.connect() as connection:
        assert fetch_plans(connection) == []


def test_it_can_be_foreseen(both: Both) -> None:
    """All that would be carried, and nothing is written or sent."""
    old_system(both)

    def act() -> None:
        for _ in range(2):
            plans = {one.adoption.chat_id: one for one in foresee(both.targets, CUT).plans}
            expected = {chat: (*one[:3], "planned") for chat, one in CARRIED.items()}
            assert shown(plans) == expected
        assert _ledger(both, "u") == []
        assert list(adopt_all(both).values()) == foresee(both.targets, CUT).plans

    both.while_working(act, POLICY)


def test_a_chat_for_which_there_was_no_room_is_adopted_once_there_is(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id of the refused command stands for that answer; the next one does not."""
    old_system(both)
    strict = SupervisorConfig(actors_max=1, chats_per_actor=1, warm_pool_size=0)
    monkeypatch.setattr(conftest, "SETTINGS", strict)

    def act() -> None:
        with Meter(both.redis_url) as meter:
            meter.start("x", "x", "v", rate=0)
            for _ in range(2):
                assert {plan.outcome for plan in adopt_all(both).values()} == {"ready"}
            meter.end("x")
            for _ in range(2 * len(CARRIED)):  # there is room for one at a time
                for chat, plan in adopt_all(both).items():
                    if plan.outcome == "adopted":
                        with contextlib.suppress(AlreadyEndedError):
                            meter.end(chat)
        assert shown(adopt_all(both)) == CARRIED

    both.while_working(act, POLICY)
    assert_clean(both.engine, both.redis_url)
