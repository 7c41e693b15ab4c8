"""The client against the real daemon, as a backend uses it."""

import time
from collections.abc import Callable
from decimal import Decimal
from itertools import count, islice
from typing import Any

import psycopg2
import pytest
import redis

from loadtests.common.live import LiveDaemon
from meterd import (
    AlreadyEndedError,
    AlreadyStartedError,
    ChatSnapshot,
    CommandRefusedError,
    ExceedsCostError,
    IdConflictError,
    InsufficientCreditsError,
    Meter,
    NoReplyError,
    NotEndedError,
    NotPausedError,
    NotRunningError,
    Reply,
    UnknownChatError,
    UserMismatchError,
)
from meterd.rules.commands import SHAPES
from tests.client.by_hand import KEYS, until
from tests.client.either import Make
from tests.client.played import CASES, Client, play_case
from tests.proxy import Proxy, proxy_to

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]

_NUMBERS = count()


@pytest.fixture
def meter(make: Make, live: LiveDaemon) -> Any:
    return make(live.redis_url, live.postgres_url)


def test_a_chat_from_beginning_to_end(meter: Any, name: str) -> None:
    """Replies, snapshots and the account agree, to the micro-credit."""
    assert meter.top_up(name, "10").snapshot.balance == 10
    started = meter.start(name, name, "a", rate=Decimal(60))
    assert started.snapshot.status == "running"
    assert started.snapshot.started_at == started.at
    paused = meter.pause(name)
    assert paused.snapshot.active_ms == paused.at - started.at
    assert meter.resume(name).snapshot.is_running
    assert meter.heartbeat(name).is_ok
    assert meter.set_rate(name, 0).snapshot.rate == 0
    ended = meter.end(name, "left", user_id=name)
    chat = meter.snapshot(name)
    assert chat == ended.snapshot
    assert (chat.end_reason, chat.ended_at) == ("left", ended.at)
    assert meter.wallet(name).balance == 10 - chat.cost
    assert meter.refund(name, chat.cost, "sorry").snapshot.refunded == chat.cost
    assert meter.wallet(name).balance == 10


def test_a_running_clock_is_drawn_from_one_snapshot(meter: Any, name: str) -> None:
    """What it says for a later moment is what the daemon finds then."""
    meter.top_up(name, 100)
    meter.start(name, name, "a", rate=60)
    before: ChatSnapshot = meter.snapshot(name)
    time.sleep(0.2)
    ended = meter.end(name)
    assert before.active_ms_at(ended.at) == ended.snapshot.active_ms
    assert 0 <= ended.snapshot.cost - before.cost_at(ended.at) <= Decimal("0.000001")


def test_an_adopted_chat_brings_its_time(meter: Any, name: str) -> None:
    """Carried time and cost are in its record."""
    meter.top_up(name, 5)
    now_ms = int(time.time() * 1000)
    adopted = meter.adopt(
        name, name, "a", started_at=now_ms - 60_000, carried_ms=1_000, carried_cost="0.5"
    )
    assert (adopted.snapshot.active_ms, adopted.snapshot.cost) == (1_000, Decimal("0.5"))


Call = Callable[[Any, str], Any]
REFUSED: list[tuple[type[CommandRefusedError], Call]] = [
    (UnknownChatError, lambda m, n: m.pause(f"never-{n}")),
    (AlreadyStartedError, lambda m, n: m.start(n, n, "a")),
    (NotPausedError, lambda m, n: m.resume(n)),
    (NotEndedError, lambda m, n: m.refund(n, 1)),
    (UserMismatchError, lambda m, n: m.pause(n, user_id="somebody")),
    (InsufficientCreditsError, lambda m, n: m.start(f"poor-{n}", f"poor-{n}", "a", rate=1)),
    (NotRunningError, lambda m, n: (m.pause(n), m.pause(n))[1]),
    (AlreadyEndedError, lambda m, n: m.end(f"over-{n}")),
    (ExceedsCostError, lambda m, n: m.refund(f"over-{n}", 1)),
    (IdConflictError, lambda m, n: m.top_up(n, 7, id=f"used-{n}")),
]


@pytest.mark.parametrize(("error", "call"), REFUSED)
def test_each_refusal_has_its_name(
    live: LiveDaemon, name: str, error: type[CommandRefusedError], call: Call
) -> None:
    """With the daemon's reply in it."""
    with Meter(live.redis_url) as meter:
        meter.top_up(name, 1, id=f"used-{name}")
        meter.start(name, name, "a", rate="0.000001")
        meter.start(f"over-{name}", name, "a", rate=0)
        meter.end(f"over-{name}")
        with pytest.raises(error) as caught:
            call(meter, name)
    assert caught.value.reply is not None
    assert caught.value.outcome == caught.value.reply.outcome == error.outcome


def test_the_same_id_again_has_no_second_effect(meter: Any, name: str) -> None:
    """It gets the first outcome."""
    first, again = (meter.top_up(name, 5, id=f"id-{name}") for _ in range(2))
    assert (first.replayed, again.replayed) == (False, True)
    assert meter.wallet(name).balance == 5


def test_after_no_reply_the_same_id_is_safe(make: Make, live: LiveDaemon, name: str) -> None:
    """What the error says to do gives the outcome, and one effect."""
    with proxy_to(live.redis_url) as proxy:
        meter = make(proxy.url)
        proxy.lose(10**6, b"XREAD")
        with pytest.raises(NoReplyError) as caught:
            meter.top_up(name, 5, timeout_s=1)
        proxy.lose(0, b"")
        assert meter.top_up(name, 5, id=caught.value.id).is_ok
        assert meter.wallet(name).balance == 5


def test_lost_answers_of_redis_cost_nobody_anything(
    make: Make, live: LiveDaemon, name: str
) -> None:
    """Every third answer is lost on the way; every top-up counts once."""
    with proxy_to(live.redis_url) as proxy:
        meter = make(proxy.url)
        for number in range(20):
            proxy.lose(number % 3, b"XADD")
            meter.top_up(name, 1)
        proxy.lose(0, b"")
        assert proxy.lost == 19
        assert meter.wallet(name).balance == 20


def test_many_at_once(meter: Any, name: str) -> None:
    """A hundred chats of ten users from a hundred threads or tasks over one client."""
    for user in range(10):
        meter.top_up(f"{name}-{user}", 100)
    for steps in (_start, _pause, _end):
        results = meter.gather([steps(f"{name}-{n % 10}", f"{name}.{n}") for n in range(100)])
        assert {type(result) for result in results} == {Reply}, results
        assert [result.snapshot.chat_id for result in results] == [
            f"{name}.{n}" for n in range(100)
        ]
    assert len(meter.core.pending) == 0


def _start(user: str, chat: str) -> Any:
    return lambda meter: meter.start(chat, user, "a", rate=1)


def _pause(user: str, chat: str) -> Any:
    return lambda meter: meter.pause(chat, user_id=user)


def _end(user: str, chat: str) -> Any:
    return lambda meter: meter.end(chat)


def test_a_users_events_in_order(meter: Any, name: str) -> None:
    """Everything of one user, from the beginning of the block on."""
    with meter.events(user_id=name) as events:
        meter.top_up(name, 100)
        meter.start(name, name, "a", rate=1)
        meter.pause(name)
        meter.end(name)
        seen = list(islice(events, 4))
    assert [event.event for event in seen] == [
        "wallet.topped_up",
        "chat.started",
        "chat.paused",
        "chat.ended",
    ]
    assert seen[-1].seq == meter.snapshot(name).seq


def test_a_chat_of_long_ago_is_read_from_postgres(
    make: Make, meter: Any, live: LiveDaemon, name: str
) -> None:
    """A day after the end Redis has it no more; the record gives the same snapshot."""
    meter.top_up(name, 10)
    meter.start(name, name, "a", rate=60, free_ms=1, min_ms=2, increment_ms=3, idle_ms=60_000)
    meter.end(name)
    before = meter.snapshot(name)
    until(lambda: _is_final(live, name))
    with redis.Redis.from_url(live.redis_url) as queue:
        queue.delete(KEYS.chat(name))
    assert meter.snapshot(name) == before
    assert make(live.redis_url).snapshot(name).status == "not_started"
    assert meter.snapshot(f"never-{name}").status == "not_started"


def _is_final(live: LiveDaemon, chat_id: str) -> bool:
    connection = psycopg2.connect(live.postgres_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT ended_at IS NOT NULL FROM chat_time_records WHERE chat_id = %s", (chat_id,)
            )
            row = cursor.fetchone()
            return bool(row and row[0])
    finally:
        connection.close()


@pytest.mark.parametrize("case", CASES)
def test_a_case_of_the_table(
    live: LiveDaemon, live_proxy: Proxy, client: Client, case: str
) -> None:
    """Whatever the language, the same requests and faults have the same results."""
    play_case(case, live, live_proxy, client, f"case-{next(_NUMBERS)}")


def test_each_command_is_in_the_table() -> None:
    """A method that no case calls is not known to be the same in both languages."""
    called = {step.get("do") for steps in CASES.values() for step in steps}
    assert called >= (set(SHAPES) - {"settle"}) | {"snapshot", "wallet", "command"}
