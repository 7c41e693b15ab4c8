"""What gets into the queue, however bad the connection."""

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import redis

from meterd import (
    BusyError,
    ClosedError,
    InvalidCommandError,
    NoReplyError,
    NotConfirmedError,
    Sent,
)
from meterd.rules.commands import SHAPES
from tests.client.by_hand import answering, commands, until
from tests.client.either import Make
from tests.proxy import Proxy
from tests.servers import redis_server

pytestmark = pytest.mark.redis

COMMANDS: list[tuple[Callable[[Any], Any], dict[str, str]]] = [
    (
        lambda m: m.enqueue.start("c", "u", "a", id="i"),
        {"type": "start", "chat_id": "c", "user_id": "u", "advisor_id": "a"},
    ),
    (
        lambda m: m.enqueue.start(
            "c", "u", "a", rate="1.50", free_ms=1, min_ms=2, increment_ms=3, idle_ms=4,
            free_scope="user", increment_due="end", abandon_ms=5, max_ms=6, id="i",
        ),
        {
            "type": "start", "chat_id": "c", "user_id": "u", "advisor_id": "a", "rate": "1.50",
            "free_ms": "1", "min_ms": "2", "increment_ms": "3", "idle_ms": "4",
            "free_scope": "user", "increment_due": "end", "abandon_ms": "5", "max_ms": "6",
        },
    ),
    (
        lambda m: m.enqueue.adopt(
            "c", "u", "a", started_at=5, carried_ms=6, carried_cost=Decimal("0.70"),
            carried_free_ms=4, id="i",
        ),
        {
            "type": "adopt", "chat_id": "c", "user_id": "u", "advisor_id": "a",
            "started_at": "5", "carried_ms": "6", "carried_cost": "0.7", "carried_free_ms": "4",
        },
    ),
    (lambda m: m.enqueue.pause("c", id="i"), {"type": "pause", "chat_id": "c"}),
    (
        lambda m: m.enqueue.resume("c", user_id="u", id="i"),
        {"type": "resume", "chat_id": "c", "user_id": "u"},
    ),
    (lambda m: m.enqueue.heartbeat("c", id="i"), {"type": "heartbeat", "chat_id": "c"}),
    (
        lambda m: m.enqueue.set_rate("c", 2, id="i"),
        {"type": "set_rate", "chat_id": "c", "rate": "2"},
    ),
    (lambda m: m.enqueue.end("c", id="i"), {"type": "end", "chat_id": "c"}),
    (
        lambda m: m.enqueue.end("c", "left", id="i"),
        {"type": "end", "chat_id": "c", "reason": "left"},
    ),
    (
        lambda m: m.enqueue.top_up("u", Decimal("1E+2"), id="i"),
        {"type": "top_up", "user_id": "u", "amount": "100"},
    ),
    (
        lambda m: m.enqueue.refund("c", "0.000001", reason="sorry", id="i"),
        {"type": "refund", "chat_id": "c", "amount": "0.000001", "reason": "sorry"},
    ),
    (
        lambda m: m.enqueue.adjust("u", Decimal("-2.50"), "typo", partial=True, id="i"),
        {"type": "adjust", "user_id": "u", "amount": "-2.5", "reason": "typo", "partial": "1"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "fields"), COMMANDS)
def test_a_command_is_the_entry_of_the_contract(
    meter: Any, queue: redis.Redis, call: Callable[[Any], Any], fields: dict[str, str]
) -> None:
    """Nothing but the fields that were given, and the id."""
    sent = call(meter)
    assert commands(queue) == [(sent.entry, {**fields, "id": "i"})]
    assert sent == Sent("i", sent.entry)


def test_every_command_of_the_contract_has_a_method() -> None:
    """A type that backends may send is a method of both clients, and is tested above."""
    assert {fields["type"] for _, fields in COMMANDS} == set(SHAPES) - {"settle"}


def test_an_id_is_made_for_each_command(meter: Any, queue: redis.Redis) -> None:
    """Commands without an id get one of their own."""
    ids = {meter.enqueue.heartbeat("c").id for _ in range(5)}
    assert len(ids) == 5
    assert {fields["id"] for _, fields in commands(queue)} == ids


def test_a_reply_is_asked_for_only_where_it_is_waited_for(meter: Any, queue: redis.Redis) -> None:
    """What nobody reads is not written."""
    meter.enqueue.pause("c")
    with pytest.raises(NoReplyError):
        meter.pause("c", timeout_s=0.01)
    told, asked = (fields for _, fields in commands(queue))
    assert "reply_to" not in told
    assert asked["reply_to"]


def test_two_clients_have_two_reply_streams(make: Make, server: str) -> None:
    """Nobody reads another's replies."""
    assert make(server).core.reply_to != make(server).core.reply_to


@pytest.mark.parametrize("rate", [0.1, 1.0, True, b"1", [1]])
def test_credits_are_exact_or_a_type_error(meter: Any, queue: redis.Redis, rate: object) -> None:
    """Whoever sends a float is told what to send instead; nothing is sent."""
    with pytest.raises(TypeError, match=r"rate: .*send"):
        meter.set_rate("c", rate)
    assert commands(queue) == []


@pytest.mark.parametrize("idle_ms", [1.5, "1000", True])
def test_milliseconds_are_ints_or_a_type_error(meter: Any, idle_ms: object) -> None:
    """Half a millisecond is a mistake of the caller."""
    with pytest.raises(TypeError, match="idle_ms: send milliseconds as an int"):
        meter.start("c", "u", "a", idle_ms=idle_ms)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.pause("no blanks"), "chat_id: 'no blanks' is not an identifier"),
        (lambda m: m.pause("x" * 129), "chat_id"),
        (lambda m: m.pause("\ud800"), "not UTF-8"),
        (lambda m: m.pause("c", id=""), "id: "),
        (lambda m: m.top_up("u", 0), "amount: must be more than 0"),
        (lambda m: m.top_up("u", -1), "amount: '-1' is not an amount"),
        (lambda m: m.top_up("u", Decimal("NaN")), "amount: 'NaN' is not an amount"),
        (lambda m: m.top_up("u", Decimal("0.0000001")), "amount: '0.0000001' is not"),
        (lambda m: m.top_up("u", "1e3"), "amount: '1e3' is not"),
        (lambda m: m.start("c", "u", "a", increment_ms=0), "increment_ms: must be at least 1"),
        (lambda m: m.end("c", reason="x" * 65), "reason: "),
    ],
)
def test_what_the_daemon_would_refuse_is_refused_here(
    meter: Any, queue: redis.Redis, call: Callable[[Any], Any], words: str
) -> None:
    """In the daemon's words, before anything is sent."""
    with pytest.raises(InvalidCommandError, match=words) as caught:
        call(meter)
    assert caught.value.outcome == "invalid_command"
    assert caught.value.reply is None
    assert commands(queue) == []


REQUIRED: dict[str, dict[str, object]] = {
    "start": {"chat_id": "c", "user_id": "u", "advisor_id": "a"},
    "adopt": {
        "chat_id": "c", "user_id": "u", "advisor_id": "a", "started_at": 1, "carried_ms": 1,
        "carried_cost": 1,
    },
    "set_rate": {"chat_id": "c", "rate": 1},
    "top_up": {"user_id": "u", "amount": 1},
    "refund": {"chat_id": "c", "amount": 1},
    "adjust": {"user_id": "u", "amount": 1},
    "command": {"fields": {"type": "pause", "chat_id": "c"}},
    **{name: {"chat_id": "c"} for name in ("pause", "resume", "heartbeat", "end")},
}  # fmt: skip
"""Each method that sends a command, with what it needs."""


def test_every_command_has_its_method_above() -> None:
    assert REQUIRED.keys() == SHAPES.keys() - {"settle"} | {"command"}


@pytest.mark.parametrize("is_enqueued", [False, True])
@pytest.mark.parametrize("name", REQUIRED)
def test_an_unknown_argument_is_a_type_error_that_names_the_method(
    meter: Any, queue: redis.Redis, name: str, is_enqueued: bool
) -> None:
    """With the nearest argument, or all that there are; nothing is sent."""
    method = getattr(meter.enqueue if is_enqueued else meter, name)
    with pytest.raises(TypeError) as misspelt:
        method(**REQUIRED[name], timeout=3)
    told = str(misspelt.value)
    assert told == f"{name}() got an unexpected argument 'timeout'; did you mean timeout_s?"
    with pytest.raises(TypeError) as unlike:
        method(**REQUIRED[name], qqq=3)
    told, _, listed = str(unlike.value).partition("; it takes ")
    assert told == f"{name}() got an unexpected argument 'qqq'"
    assert set(listed.split(", ")) >= {*REQUIRED[name], "id", "timeout_s"}
    assert commands(queue) == []


def test_an_unknown_argument_is_compared_with_those_of_the_method(meter: Any) -> None:
    """Its own are as near as those that every method has."""
    with pytest.raises(TypeError, match=r"'free_mss'; did you mean free_ms\?"):
        meter.start("c", "u", "a", free_mss=1)
    with pytest.raises(TypeError, match=r"'price'; it takes chat_id, .*rate, "):
        meter.start("c", "u", "a", price="2")


@pytest.mark.parametrize("losses", [1, 3])
def test_a_lost_answer_is_one_command_by_its_id(
    make: Make, proxy: Proxy, queue: redis.Redis, losses: int
) -> None:
    """The queue has it once per attempt, all with the same id and content: one effect."""
    meter = make(proxy.url)
    proxy.lose(losses, b"XADD")
    sent = meter.enqueue.top_up("u", 5)
    found = commands(queue)
    assert proxy.lost == losses
    assert len(found) == losses + 1
    assert {tuple(fields.items()) for _, fields in found} == {
        (("type", "top_up"), ("user_id", "u"), ("amount", "5"), ("id", sent.id))
    }
    assert sent.entry == found[-1][0]


def test_nothing_is_sent_twice_silently(make: Make, proxy: Proxy, queue: redis.Redis) -> None:
    """One entry for each attempt that the client knows of: the library repeats nothing."""
    meter = make(proxy.url)
    proxy.lose(1_000, b"XADD")
    with pytest.raises(NotConfirmedError) as caught:
        meter.enqueue.top_up("u", 5, id="mine", timeout_s=0.5)
    assert len(commands(queue)) == proxy.lost
    assert 2 <= proxy.lost <= 6  # 0, 50, 100, 200 ms after one another, then the time is up
    assert caught.value.id == "mine"
    assert "same id" in str(caught.value)


def test_with_a_lost_answer_the_reply_still_comes(
    make: Make, proxy: Proxy, server: str, queue: redis.Redis
) -> None:
    """The reply that counts is that of the entry the client knows."""
    meter = make(proxy.url)
    proxy.lose(2, b"XADD")
    with answering(server):
        reply = meter.pause("c")
    assert reply.entry == commands(queue)[-1][0]
    assert len(commands(queue)) == 3


def test_cut_connections_are_made_anew(make: Make, proxy: Proxy, server: str, queue: Any) -> None:
    """Commands and replies go on over new connections; nobody notices."""
    meter = make(proxy.url)
    with answering(server):
        for _ in range(5):
            meter.pause("c")
            proxy.cut_all()
    assert len(commands(queue)) == 5


def test_a_reader_cut_off_in_the_middle_misses_nothing(
    make: Make, proxy: Proxy, server: str, queue: redis.Redis
) -> None:
    """A reply written while the reader had no connection is read when it has one again."""
    meter = make(proxy.url)
    with answering(server):
        meter.pause("c")
    proxy.lose(3, b"XREAD")
    with answering(server):
        started = time.monotonic()
        assert meter.resume("c").is_ok
    assert proxy.lost == 3
    assert time.monotonic() - started < 5


def test_a_server_that_is_away_for_a_moment_costs_time_only(make: Make) -> None:
    """The client waits for it within timeout_s."""
    with redis_server() as url:
        meter = make(url)
        meter.enqueue.pause("c")
        port = int(url.rpartition(":")[2].partition("/")[0])
    late = threading.Timer(0.7, _serve_again, args=(port, stop := threading.Event()))
    late.start()
    try:
        assert meter.enqueue.pause("c").entry
    finally:
        stop.set()
        late.join()


def _serve_again(port: int, stop: threading.Event) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.servers.free_port", lambda: port)
        with redis_server():
            stop.wait(10)


def test_no_server_is_an_error_in_time(make: Make) -> None:
    """The error carries the id, since nobody can know what a lost connection has done."""
    meter = make("redis://127.0.0.1:1/0")
    started = time.monotonic()
    with pytest.raises(NotConfirmedError) as caught:
        meter.pause("c", timeout_s=0.4)
    assert time.monotonic() - started < 2
    assert len(caught.value.id) == 32


def test_a_refusal_of_the_server_is_not_repeated(
    make: Make, queue: redis.Redis, server: str
) -> None:
    """What can't get better is told at once."""
    queue.set("meterd:{0}:commands", "not a stream")
    started = time.monotonic()
    with pytest.raises(NotConfirmedError, match="WRONGTYPE"):
        make(server).enqueue.pause("c")
    assert time.monotonic() - started < 0.5


def test_the_url_can_not_switch_our_needs_off(make: Make, server: str, queue: redis.Redis) -> None:
    """Whatever a URL says, answers are bytes, of RESP2, and nothing is repeated silently."""
    meter = make(f"{server}?protocol=3&decode_responses=true&socket_timeout=0.01")
    with answering(server):
        assert meter.pause("c").is_ok


def test_at_most_so_many_wait_at_once(make: Make, server: str, queue: redis.Redis) -> None:
    """Beyond in_flight_max a command waits for its turn, then nothing of it is sent."""
    meter = make(server, in_flight_max=2)
    first = threading.Thread(target=lambda: results.extend(meter.gather(calls)))
    calls = [lambda m: m.pause("c", timeout_s=1)] * 2
    results: list[Any] = []
    first.start()
    until(lambda: len(meter.core.pending) == 2)
    late = meter.gather([lambda m: m.pause("late", timeout_s=0.3)])
    first.join()
    results += late
    assert [type(result) for result in results] == [NoReplyError, NoReplyError, BusyError]
    assert {fields["chat_id"] for _, fields in commands(queue)} == {"c"}


def test_a_closed_client_says_so(make: Make, server: str, queue: redis.Redis) -> None:
    """Closing twice is fine; calling afterwards is an error with its own name."""
    meter = make(server)
    meter.close()
    meter.close()
    for call in (meter.pause, meter.snapshot, meter.wallet):
        with pytest.raises(ClosedError):
            call("c")


def test_closing_wakes_who_waits(make: Make, server: str, queue: redis.Redis) -> None:
    """Nobody waits for a reply that no one will read."""
    meter = make(server)
    timer = threading.Timer(0.3, meter.close)
    timer.start()
    started = time.monotonic()
    with pytest.raises(NoReplyError):
        meter.pause("c", timeout_s=30)
    timer.join()
    assert time.monotonic() - started < 5
    until(lambda: len(meter.core.pending) == 0)
