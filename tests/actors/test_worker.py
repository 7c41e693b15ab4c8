"""A chat actor's worker against a real server: what it tells of batches that come again."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from actors.chat.commit_builder import CommitContext
from actors.chat.timer_service import TimerService
from actors.chat.worker import ChatWorker
from actors.messages import Task
from meterd.rules.commands import Command, parse_entry
from meterd.rules.model import Policy
from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.client import connect
from persistence.redis.commit import Limits
from persistence.redis.functions import function_name, load_functions
from tests.servers import redis_server

KEYS = Keys()


def _task(client: redis.Redis, **fields: str) -> Task:
    entry: Any = client.xadd(KEYS.commands, fields)  # type: ignore[arg-type]
    client.xreadgroup(GROUP, "meterd", {KEYS.commands: ">"})
    flat = [part.encode() for pair in fields.items() for part in pair]
    found = parse_entry(entry.decode(), flat)
    return Task("u", found) if isinstance(found, Command) else Task("", None, invalid=found)


def _worker(client: redis.Redis, epoch: str) -> ChatWorker:
    client.hset(KEYS.epochs, "a", epoch)
    writer = CommitContext("a", epoch, Policy(), "p", Limits())
    return ChatWorker(client, KEYS, writer, TimerService(lambda due: [0] * len(due)))


@contextlib.contextmanager
def _leading() -> Iterator[redis.Redis]:
    """A server on which somebody leads."""
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        load_functions(client)
        client.xgroup_create(KEYS.commands, GROUP, id="0", mkstream=True)
        _, epoch, _ = client.fcall(function_name("acquire_lease"), 1, KEYS.commands, "t", 60_000)
        client.fcall(function_name("confirm_integrity"), 1, KEYS.commands, "t", epoch, "m")
        yield client


@pytest.mark.redis
def test_what_had_its_effect_before_is_not_counted_again() -> None:
    """Whose answer was lost is sent again; a repeated id has no effect of its own either."""
    with _leading() as client:
        top_up = _task(client, type="top_up", id="k", user_id="u", amount="5")
        taken = _task(client, type="adjust", id="a", user_id="u", amount="-1.5")
        nonsense = _task(client, type="nonsense")
        stats = _worker(client, "7").handle(1, [top_up, taken, nonsense]).stats
        assert stats.credits_micro == {"topped_up": 5_000_000, "adjusted_down": 1_500_000}
        assert stats.events == {"wallet.topped_up": 1, "wallet.adjusted": 1}
        assert stats.dead == {"invalid_command": 1}
        replay = _task(client, type="top_up", id="k", user_id="u", amount="5")
        stats = _worker(client, "8").handle(1, [top_up, taken, nonsense, replay]).stats
        assert stats.commands == {"top_up": {"ok": 1}}, "the replay alone"
        assert (stats.credits_micro, stats.events, stats.dead) == ({}, {}, {})


@pytest.mark.redis
def test_the_time_of_a_batch_is_divided_into_deciding_and_committing() -> None:
    """What waits in the commit function is no time of the rules."""
    stalled_ms = 100
    with _leading() as client:
        worker, task = _worker(client, "7"), _top_up(client, 1)
        client.client_pause(stalled_ms, all=False)
        began_ns = time.perf_counter_ns()
        stats = worker.handle(1, [task]).stats
        took_us = (time.perf_counter_ns() - began_ns) // 1_000
        assert stats.committed_us >= 500 * stalled_ms, "it was stalled for the rest before"
        assert 0 < stats.decided_us <= took_us - stats.committed_us
        assert 0 <= time.time_ns() // 1_000 - stats.ended_at_us < 60_000_000


def test_a_start_whose_answer_was_lost_is_told_of_though_another_command_came_with_it() -> None:
    """Else the supervisor gives up the chat's place, and nobody keeps its timer."""
    with _leading() as client:
        top_up = _task(client, type="top_up", id="k", user_id="u", amount="5")
        start = _task(client, type="start", id="s", chat_id="c", user_id="u", advisor_id="v")
        assert _worker(client, "7").handle(1, [top_up, start]).open_chats == {"u": ["c"]}
        beat = _task(client, type="heartbeat", id="h", chat_id="c", user_id="u")
        again = _worker(client, "8").handle(1, [top_up, start, beat])
        assert again.open_chats == {"u": ["c"]}


@pytest.mark.redis
@pytest.mark.parametrize("handled", range(7))
@pytest.mark.parametrize("in_flight", range(1, 4))
def test_what_is_read_again_behind_what_is_in_flight_has_one_effect_in_stream_order(
    handled: int, in_flight: int
) -> None:
    """The group is made again while entries are on their way: one call brings both."""
    with _leading() as client:
        worker = _worker(client, "7")
        done = [_top_up(client, n) for n in range(handled)]
        if done:
            worker.handle(1, done)
        waiting = [_top_up(client, handled + n) for n in range(in_flight)]
        nonsense = _task(client, type="nonsense", reply_to="r")
        client.xgroup_destroy(KEYS.commands, GROUP)
        client.xgroup_create(KEYS.commands, GROUP, id="0")
        client.xreadgroup(GROUP, "meterd", {KEYS.commands: ">"})
        behind = _top_up(client, handled + in_flight)
        worker.handle(2 if done else 1, [*waiting, nonsense, *done, *waiting, nonsense, behind])
        letters: Any = client.xrange(KEYS.dead)
        assert [fields[b"outcome"] for _, fields in letters] == [b"invalid_command"]
        wallet: Any = client.get(KEYS.wallet("u"))
        assert json.loads(wallet)["balance"] == f"{(1 << (handled + in_flight + 1)) - 1}.000000"
        assert client.xlen(KEYS.events) == handled + in_flight + 1
        assert client.xpending(KEYS.commands, GROUP)["pending"] == 0


def _top_up(client: redis.Redis, number: int) -> Task:
    """Each with a bit of its own: the sum shows which had their effect, and how often."""
    return _task(client, type="top_up", id=f"k{number}", user_id="u", amount=str(1 << number))
