"""The fold equals a naive simulator that ticks every millisecond."""

from hypothesis import given

from meterd.rules.billing import available
from meterd.rules.model import Account, Policy
from meterd.rules.snapshots import chat_snapshot
from tests.rules.simulator import Simulator, Timer, Told
from tests.rules.strategies import (
    GRID,
    SMALL,
    T0,
    Entry,
    Run,
    Stream,
    flat,
    fold,
    settle,
    settled,
    streams,
)

AFTER_MS = 150
FAR_MS = 500

Record = tuple[tuple[object, ...], ...]


@given(streams(SMALL, users=("u1",), others=False))
def test_the_fold_is_what_a_clock_that_ticks_would_bring(stream: Stream) -> None:
    """Events with millisecond, reason and order; outcomes; records to the micro-credit; zero_at."""
    _check_like_the_clock(stream)


@given(streams(GRID, users=("u1",), others=False))
def test_what_falls_due_together_comes_in_the_order_of_the_contract(stream: Stream) -> None:
    """Warning, idle pause, exhaustion, grace, abandonment, limit; then by chat."""
    _check_like_the_clock(stream)


def _check_like_the_clock(stream: Stream) -> None:
    run = fold(stream.policy, settled(stream, AFTER_MS).entries)
    simulator = Simulator(stream.policy, T0)
    simulator.run([(e.at, e.fields) for e in stream.entries], stream.end + AFTER_MS)
    assert _told(run) == simulator.events
    assert [r.outcome for r in run.results[: len(stream.entries)]] == simulator.outcomes
    assert _records(run, simulator.at) == {k: _record(c) for k, c in simulator.chats.items()}
    _check_wallet(run, simulator)


def test_credits_end_before_a_grace_that_ends_with_them() -> None:
    """One chat's minute is over and its grace ends when another's free time does."""
    policy = Policy(at_zero="suspend", grace_ms=10, warn_ms=())
    start = {"type": "start", "user_id": "u1", "advisor_id": "v", "rate": "0.06"}
    commands = [
        {"type": "top_up", "id": "1", "user_id": "u1", "amount": "0.00005"},
        start | {"id": "2", "chat_id": "a", "increment_ms": "50"},
        start | {"id": "3", "chat_id": "b", "free_ms": "60"},
    ]
    stream = Stream(policy, [Entry(f"{T0}-{n}", flat(f)) for n, f in enumerate(commands)])
    _check_like_the_clock(stream)
    told = _told(fold(policy, settled(stream, AFTER_MS).entries))
    assert [(name, at - T0, chat_id) for name, at, chat_id, *_ in told[3:]] == [
        ("credits.exhausted", 50, None), ("chat.suspended", 50, "a"),
        ("credits.exhausted", 60, None), ("chat.suspended", 60, "b"),
        ("chat.ended", 60, "a"), ("chat.ended", 70, "b"),
    ]  # fmt: skip


def test_a_chat_that_stopped_in_free_time_wakes_for_what_is_left_of_it() -> None:
    """It stopped since another would use the last; that one ended in the same millisecond."""
    policy = Policy(at_zero="suspend", grace_ms=50, warn_ms=())
    start = {"type": "start", "user_id": "u1", "advisor_id": "v", "rate": "1.2"}
    start |= {"free_ms": "5", "free_scope": "user"}
    commands = [
        (0, start | {"id": "1", "chat_id": "a", "max_ms": "2"}),
        (0, start | {"id": "2", "chat_id": "b"}),
        (10, {"type": "top_up", "id": "3", "user_id": "u1", "amount": "0.000001"}),
    ]
    stream = Stream(
        policy, [Entry(f"{T0 + at}-{at}{n}", flat(f)) for n, (at, f) in enumerate(commands)]
    )
    _check_like_the_clock(stream)
    told = _told(fold(policy, settled(stream, AFTER_MS).entries))
    assert [(name, at - T0, chat_id) for name, at, chat_id, *_ in told[2:]] == [
        ("credits.exhausted", 2, None), ("chat.suspended", 2, "b"), ("chat.ended", 2, "a"),
        ("wallet.topped_up", 10, None), ("chat.resumed", 10, "b"),
        ("credits.exhausted", 11, None), ("chat.suspended", 11, "b"), ("chat.ended", 61, "b"),
    ]  # fmt: skip


def test_the_simulator_itself_does_what_is_easily_seen() -> None:
    """One chat at a micro-credit a millisecond, 60 of them, suspended, ended after the grace."""
    policy = Policy(at_zero="suspend", grace_ms=40, warn_ms=(30, 10))
    start = {"type": "start", "id": "2", "user_id": "u1", "chat_id": "a", "advisor_id": "v"}
    commands = [
        {"type": "top_up", "id": "1", "user_id": "u1", "amount": "0.00006"},
        start | {"rate": "0.06"},
    ]
    simulator = Simulator(policy, T0)
    simulator.run([(T0, fields) for fields in commands], T0 + 200)
    assert [(name, at - T0) for name, at, *_ in simulator.events] == [
        ("wallet.topped_up", 0), ("chat.started", 0), ("credits.low", 30), ("credits.low", 50),
        ("credits.exhausted", 60), ("chat.suspended", 60), ("chat.ended", 100),
    ]  # fmt: skip
    chat = simulator.chats["a"]
    assert (chat.active_ms, chat.paused_ms, chat.charged) == (60, 40, 60)
    entries = [Entry(f"{T0}-{n}", flat(fields)) for n, fields in enumerate(commands)]
    run = fold(policy, [*entries, settle("u1", f"{T0 + 200}-0")])
    assert _told(run) == simulator.events


def _check_wallet(run: Run, simulator: Simulator) -> None:
    account = run.world.accounts.get("u1", Account("u1"))
    assert available(account, simulator.at) == simulator.available
    seen = simulator.zero_at(FAR_MS)
    if seen is None:
        assert account.zero_at_ms is None or account.zero_at_ms >= simulator.at + FAR_MS
    else:
        assert account.zero_at_ms == seen


def _told(run: Run) -> list[Told]:
    return [
        (event.event, event.at_ms, event.chat_id, event.reason, event.threshold_ms)
        for result in run.results
        for event in result.events
    ]


def _record(chat: Timer) -> Record:
    return (
        (chat.status, chat.started_at, chat.ended_at, chat.end_reason, chat.pause_reason),
        (chat.active_ms, chat.paused_ms, chat.billed_ms(chat.paid_ms)),
        (chat.carried_cost + chat.charged, chat.refunded, chat.rate),
        _free_used_ms(chat),
    )


def _free_used_ms(chat: Timer) -> tuple[int, ...]:
    """What a chat that shares free time has used of it, once it can't get more."""
    return (
        () if chat.tariff.free_scope == "chat" or chat.status == "running" else (chat.free_used_ms,)
    )


def _records(run: Run, at: int) -> dict[str, Record]:
    records: dict[str, Record] = {}
    for chat_id in run.world.owner:
        chat = run.world.chat(chat_id)
        assert chat is not None
        s = chat_snapshot(chat, at)
        records[chat_id] = (
            (s["status"], s["started_at"], s["ended_at"], s["end_reason"], s["pause_reason"]),
            (s["active_ms"], s["paused_ms"], s["billed_ms"]),
            tuple(int(s[name].replace(".", "")) for name in ("cost", "refunded", "rate")),
            () if s["free_scope"] == "chat" or s["status"] == "running" else (s["free_ms"],),
        )
    return records
