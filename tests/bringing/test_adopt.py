"""What runs in the old system at the cut-over goes on: no second lost, none billed twice."""

import contextlib
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from actors.rules.adoption import adoption_of, affordable, again, commands_of, ending_of
from actors.rules.command import Command, parse_entry
from actors.rules.legacy_rows import ACTIVE, AMOUNT_MAX, DURATION_MS_MAX, OLD_PAUSED, Running
from actors.rules.state import Policy, Tariff
from actors.supervisor.supervisor import SupervisorSettings
from daemon.legacy import adopt as adopting
from daemon.legacy import migrate as migrating
from daemon.legacy.adopt import CutOver, CutOverError, adopt, foresee
from daemon.legacy.balances import Targets, bring_balances
from daemon.legacy.decide import assign_record
from daemon.legacy.migrate import migrate
from daemon.legacy.verify import verify
from daemon.legacy.waiting import queue_ms
from meterd import AlreadyEndedError, AlreadyStartedError, Meter
from persistence.legacy.balances import Plan, fetch_plans
from persistence.legacy.layout import LegacyError
from persistence.legacy.runs import alone
from persistence.postgres import reader
from tests.audited import assert_clean
from tests.bringing import conftest
from tests.bringing.conftest import Both
from tests.bringing.old import T, add_chat, add_record, set_balance
from tests.bringing.test_balances import _aside, _ledger

RATE = 600_000
"""0.6 credits a minute: 10 micro-credits a millisecond."""
CUT = CutOver("latest", T + 100_000, RATE)
POLICY = Policy(Tariff(rate=RATE))


def _old(both: Both) -> None:
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


def _adopt(both: Both, cut: CutOver = CUT) -> dict[str, Plan]:
    with Meter(both.redis_url) as meter:
        plans = adopt(both.targets, meter, cut, lambda _done, _total: None)
    return {plan.adoption.chat_id: plan for plan in plans}


_CARRIED = {
    # chat: ms, cost, of it unflushed, outcome
    "runs": (30_000, 1_100_000, 100_000, "adopted"),
    "rests": (20_000, 1_000_000, 0, "adopted"),
    "poor": (80_000, 1_500_000, 500_000, "ended_without_credits"),
    "broke": (21_000, 1_000_000, 0, "ended_without_credits"),
    "two.a": (25_000, 1_050_000, 50_000, "ended_without_credits"),
    "two.b": (30_000, 1_070_000, 70_000, "ended_without_credits"),
}


def _shown(plans: dict[str, Plan]) -> dict[str, Any]:
    return {
        chat: (
            plan.adoption.carried_ms, plan.adoption.carried_micro, plan.adoption.unflushed_micro,
            plan.outcome,
        )
        for chat, plan in plans.items()
    }  # fmt: skip


def _check(both: Both) -> None:
    """Records carry all the time; balances are lowered by what they paid; the audit agrees."""
    with both.engine.connect() as connection:
        records = reader.fetch_records(connection, list(_CARRIED))
    for chat, (ms, cost, _, outcome) in _CARRIED.items():
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


def test_all_that_runs_is_carried_over(both: Both) -> None:
    """With the time since it was last resumed, which its user pays once, as far as there is money;
    and running it again does nothing."""
    _old(both)

    def act() -> None:
        bring_balances(both.targets, lambda _done, _total: None)
        assert _shown(_adopt(both)) == _CARRIED
        assert _shown(_adopt(both, CUT._replace(at_ms=None))) == _CARRIED
        with pytest.raises(CutOverError, match="can't be changed"):
            _adopt(both, CUT._replace(at_ms=T))
        # What pays for adopted time stays paid.
        again = bring_balances(both.targets, lambda _done, _total: None)
        assert (again["aside"], again["corrected"], again["opened"]) == (0, 0, 0)

    both.while_working(act, POLICY)
    _check(both)


@pytest.mark.parametrize(
    ("kill_at", "effect"),
    [(0, "before"), (0, "after"), (1, "after"), (2, "before"), (2, "after"), (3, "after"),
     (5, "before"), (6, "after"), (9, "after")],
)  # fmt: skip
def test_killed_anywhere_it_comes_to_the_same(both: Both, kill_at: int, effect: str) -> None:
    """Whatever step it is killed at, with or without its effect."""
    _old(both)
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
        bring_balances(both.targets, lambda _done, _total: None)
        with pytest.MonkeyPatch.context() as patch:
            for step in ("write_plans", "bring_users", "_send_all"):
                patch.setattr(adopting, step, dying(getattr(adopting, step)))
            with contextlib.suppress(KeyboardInterrupt):
                _adopt(both)
        assert _shown(_adopt(both)) == _CARRIED

    both.while_working(act, POLICY)
    _check(both)


def test_an_account_in_use_is_not_lowered(both: Both) -> None:
    """Then what is not yet paid is not carried, and nobody pays it; the time is."""
    _old(both)

    def act() -> None:
        with Meter(both.redis_url) as meter:
            meter.top_up("u", "1")
        plans = _shown(_adopt(both))
        assert plans["runs"] == (30_000, 1_000_000, 0, "adopted")

    both.while_working(act, POLICY)
    assert _aside(both, "u") == Decimal(5)
    assert_clean(both.engine, both.redis_url)


def test_the_cut_over_is_not_later_than_now(both: Both) -> None:
    """Nothing is written down then."""
    _old(both)

    def act() -> None:
        with pytest.raises(CutOverError, match="later"):
            _adopt(both, CUT._replace(at_ms=queue_ms(both.client) + 60_000))
        assert _shown(_adopt(both)) == _CARRIED

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
    _old(both)

    def act() -> None:
        with _recorder_held(both), Meter(both.redis_url) as meter:
            meter.start("runs", "u", "v", rate=0)
        assert "runs" not in _adopt(both)
        with Meter(both.redis_url) as meter:
            assert meter.snapshot("runs").cost == Decimal(0)
        _migrate(both, "latest")
        bring_balances(both.targets, lambda _done, _total: None)

    both.while_working(act, POLICY)
    assert_clean(both.engine, both.redis_url)
    assert _verified(both) == {"not_adopted"}
    _sql(both, "UPDATE conversation_time_records SET status = 'completed' WHERE chat_id = 'runs'")
    _migrate(both, "latest")
    assert _verified(both) == set()


def test_what_was_taken_for_a_refused_chat_is_set_aside(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the user's: their account is in use by then, so somebody has to settle it."""
    _old(both)
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
        for plans in (_adopt(both), _adopt(both)):
            refused = {chat for chat, one in plans.items() if adopting.is_refusal(one.outcome)}
            assert refused == {"runs", "two.a"}
            assert {plans[chat].adoption.unflushed_micro for chat in refused} == {0}
            assert plans["two.b"].adoption.unflushed_micro == 100_000
        bring_balances(both.targets, lambda _done, _total: None)

    both.while_working(act, POLICY)
    for user, opened, left in (("u", 4_900_000, "0.1"), ("two", 4_850_000, "0.05")):
        assert sum(amount for _, amount in _ledger(both, user)) == opened
        assert _aside(both, user) == Decimal(left)
    kinds = {one.kind for one in verify(both.targets.sides, "latest", lambda *_: None).differences}
    assert not kinds & {"balance", "balance_parts", "opened", "adopted", "total_balance"}


def test_one_at_a_time(both: Both) -> None:
    """Two at once would write down two cut-overs, and open accounts by what neither has read."""
    _old(both)
    with alone(both.engine):
        with pytest.raises(LegacyError, match="another"):
            _adopt(both)
        with pytest.raises(LegacyError, match="another"):
            bring_balances(both.targets, lambda _done, _total: None)
    with both.engine.connect() as connection:
        assert fetch_plans(connection) == []


def _sql(both: Both, statement: str) -> None:
    with both.engine.begin() as connection:
        connection.execute(text(statement))


def _migrate(both: Both, policy: str) -> None:
    migrate(both.targets.sides, policy, lambda _: None)


def _verified(both: Both) -> set[str]:
    return {one.kind for one in verify(both.targets.sides, "latest", lambda *_: None).differences}


@pytest.fixture
def divided(both: Both) -> Both:
    """An ended chat and a running one share a record by the policy of the last run."""
    add_chat(both.engine, "over", 0, 30_000)
    add_chat(both.engine, "runs", 40_000, None)
    add_record(
        both.engine, "runs", status="active", last_resumed_at=90_000, updated_at=50_000,
        total_seconds=20, credits_used=1,
    )  # fmt: skip
    set_balance(both.engine, "u", 5)
    _migrate(both, "proportional")
    return both


def test_time_is_divided_as_the_last_run_has_divided_it(divided: Both) -> None:
    """Whatever the settings say: what it gave to other chats is not carried once more."""
    found: list[Plan] = []
    divided.while_working(lambda: found.extend(_adopt(divided).values()), POLICY)
    (one,) = found
    assert (one.adoption.share_ms, one.adoption.share_micro) == (5_000, 250_000)
    assert (one.adoption.carried_ms, one.adoption.carried_micro) == (15_000, 350_000)
    assert not {"adopted", "sum"} & _verified(divided)


def _killed(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def test_the_policy_is_one_from_the_first_run_to_the_last(
    divided: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed may have divided half by another one; and what is adopted stays."""

    def act() -> None:
        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(migrating, "_finish", _killed)
            _migrate(divided, "proportional")
        with pytest.raises(CutOverError, match="migrate"):
            _adopt(divided)
        _migrate(divided, "proportional")
        assert _adopt(divided)["runs"].outcome == "adopted"
        with pytest.raises(LegacyError, match="twice"):
            _migrate(divided, "latest")

    divided.while_working(act, POLICY)


def test_it_can_be_foreseen(both: Both) -> None:
    """All that would be carried, and nothing is written or sent."""
    _old(both)

    def act() -> None:
        for _ in range(2):
            plans = {one.adoption.chat_id: one for one in foresee(both.targets, CUT)}
            shown = {chat: (*one[:3], "planned") for chat, one in _CARRIED.items()}
            assert _shown(plans) == shown
        assert _ledger(both, "u") == []
        assert list(_adopt(both).values()) == foresee(both.targets, CUT)

    both.while_working(act, POLICY)


def test_what_is_carried_and_given_to_another_chat_too_is_found(divided: Both) -> None:
    """As if the old system had gone on and moved the record."""
    divided.while_working(lambda: _adopt(divided), POLICY)
    assert "adopted" not in _verified(divided)
    add_chat(divided.engine, "next", 200_000, 300_000)
    _sql(divided, "UPDATE conversation_time_records SET chat_id = 'next'")
    _migrate(divided, "proportional")
    assert "adopted" in _verified(divided)


def test_what_was_assigned_to_a_running_chat_is_carried(both: Both) -> None:
    """As migrate does, adopt obeys what somebody has said about a record: the chat runs by it."""
    add_chat(both.engine, "others", 0, 9_000, user_id="z")
    add_chat(both.engine, "runs", 0, None)
    add_record(
        both.engine, "others", status="active", last_resumed_at=90_000, total_seconds=20,
        credits_used=1,
    )  # fmt: skip
    set_balance(both.engine, "u", 5)
    _migrate(both, "latest")
    assign_record(both.targets.sides, "1", "runs")
    _migrate(both, "latest")
    found: list[Plan] = []
    both.while_working(lambda: found.extend(_adopt(both).values()), POLICY)
    (one,) = found
    assert (one.adoption.chat_id, one.adoption.carried_ms, one.outcome) == (
        "runs", 30_000, "adopted",
    )  # fmt: skip
    assert _verified(both) == set()


def test_a_chat_for_which_there_was_no_room_is_adopted_once_there_is(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id of the refused command stands for that answer; the next one does not."""
    _old(both)
    strict = SupervisorSettings(actors_max=1, chats_per_actor=1, spares=0)
    monkeypatch.setattr(conftest, "SETTINGS", strict)

    def act() -> None:
        with Meter(both.redis_url) as meter:
            meter.start("x", "x", "v", rate=0)
            for _ in range(2):
                assert {plan.outcome for plan in _adopt(both).values()} == {"ready"}
            meter.end("x")
            for _ in range(2 * len(_CARRIED)):  # there is room for one at a time
                for chat, plan in _adopt(both).items():
                    if plan.outcome == "adopted":
                        with contextlib.suppress(AlreadyEndedError):
                            meter.end(chat)
        assert _shown(_adopt(both)) == _CARRIED

    both.while_working(act, POLICY)
    assert_clean(both.engine, both.redis_url)


_RUNNING = st.builds(
    Running,
    st.text("ab", min_size=1, max_size=128),
    st.just("u"),
    st.just("v"),
    st.sampled_from([ACTIVE, OLD_PAUSED]),
    st.integers(0, 2 * T),
    st.none() | st.integers(0, 2 * T),
    st.integers(0, DURATION_MS_MAX),
    st.integers(0, AMOUNT_MAX),
)


@given(
    st.lists(_RUNNING, unique_by=lambda one: one.chat_id, max_size=4),
    st.integers(0, 10**15),
    st.integers(0, 10**15 - 1),
)
def test_what_is_sent_is_valid_and_paid_for(
    running: list[Running], balance: int, rate: int
) -> None:
    """Whatever the old rows hold: commands that can be commands, the same each time, and no more
    carried than was paid there or can be paid now."""
    adoptions = affordable([adoption_of(one, T, rate) for one in running], balance)
    assert sum(one.unflushed_micro for one in adoptions) <= balance
    for one, before in zip(adoptions, sorted(running), strict=True):
        assert one.carried_micro == before.carried_cost_micro + one.unflushed_micro
        assert one.started_at + one.carried_ms <= T
        ids = set()
        once = (*commands_of(one), *ending_of(one, "credits_exhausted"))
        for fields in (again(fields, attempt) for fields in once for attempt in (1, 2, 1_000)):
            flat = [str(part).encode() for pair in fields.items() for part in pair]
            command = parse_entry(f"{T}-0", flat)
            assert isinstance(command, Command), command.reason
            ids.add(command.id)
        assert len(ids) == 3 * len(once)
