"""An hour of samples: bounded, in its steps, whoever wrote them, and with gaps where nobody did."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
import redis

from actors.messages import BatchStats
from actors.supervisor.gauges import Gauges
from actors.supervisor.sampling import StatusSampler
from actors.supervisor.stats import SupervisorStats
from meterd.redis_servers import RedisServers
from meterd.rules.redis_keys import Keys
from persistence.redis.client import AsyncRedisClients, connect, connect_async
from persistence.redis.status_history import (
    SAMPLES_MAX,
    SERIES,
    STEP_MS,
    StatusSample,
    add_sample,
    read_history,
)
from tests.actors.test_counts import a_task
from tests.servers import redis_server

pytestmark = pytest.mark.redis

KEYS = Keys()
NOW_MS = 1_700_000_004_321
FROM_MS = (NOW_MS // STEP_MS - SAMPLES_MAX + 1) * STEP_MS


def _told(url: str, now_ms: int) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        async with contextlib.aclosing(AsyncRedisClients(RedisServers(url))) as clients:
            return await read_history(clients, [KEYS], now_ms)

    return asyncio.run(read())


def _write(client: redis.Redis, at_ms: int, **sample: Any) -> None:
    client.xadd(KEYS.history, {"sample": json.dumps(sample)}, id=f"{at_ms}-0")


def test_each_sample_stands_in_its_step_and_nothing_where_none_was_written() -> None:
    """One of another version may have fields more, or fewer; one too old or too new is left out."""
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        assert set(_told(url, NOW_MS)["series"]["dead"]) == {None}
        _write(client, FROM_MS - 1, dead=9)
        _write(client, FROM_MS, dead=1)
        _write(client, FROM_MS + 2 * STEP_MS - 1, dead=2, another=7)
        _write(client, NOW_MS, outbox=5)
        _write(client, NOW_MS + 2 * STEP_MS, dead=9)
        told = _told(url, NOW_MS)
    assert (told["from"], told["step_ms"]) == (FROM_MS, STEP_MS)
    assert list(told["series"]) == list(SERIES)
    assert told["series"]["dead"] == [1, 2, *[None] * (SAMPLES_MAX - 2)]
    assert told["series"]["outbox"] == [*[None] * (SAMPLES_MAX - 1), 5]


def test_there_are_never_more_samples_than_an_hour_has() -> None:
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        for number in range(SAMPLES_MAX + 5):
            _write(client, FROM_MS + number, dead=number)

        async def add() -> None:
            async with contextlib.aclosing(connect_async(url)) as writer:
                await add_sample(writer, KEYS, StatusSample())

        asyncio.run(add())
        assert client.xlen(KEYS.history) == SAMPLES_MAX


def test_a_supervisor_writes_once_in_a_step_what_came_in_it() -> None:
    """However often it is asked; of a step without commands there is no latency."""
    stats = SupervisorStats(lambda: 1_050)

    async def play(url: str) -> list[StatusSample]:
        async with contextlib.aclosing(connect_async(url)) as client:
            sampler = StatusSampler(client, KEYS, stats)
            written = []
            for step in (1, 1, 2, 1, 2, 3):
                if step == 2:
                    stats.add([a_task(1_000, "pause")] * 10, BatchStats(dues={900: 1}))
                await sampler.sample_if_due(step * STEP_MS, Gauges(lag=step), 4, 2_000)
                written.append(sampler.last)
            return written

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        first, same, second, *rest, third = asyncio.run(play(url))
        assert client.xlen(KEYS.history) == 3
    assert first is same
    assert rest == [second, second], "a step back writes nothing"
    assert (first.queue_lag, second.queue_lag, second.open_chats) == (1, 2, 4)
    assert second.memory_bytes == 2_000
    assert (first.latency_p50_ms, first.lateness_p99_ms) == (None, None)
    assert (second.latency_p50_ms, second.latency_p99_ms, second.lateness_p99_ms) == (35, 50, 200)
    assert second.commands_per_s == 10
    assert third.latency_p99_ms == 50, "what came meanwhile, in another step, too"


def test_a_server_that_takes_no_sample_holds_nothing_up() -> None:
    """The sample is lost, and stands in the status all the same."""

    async def play(url: str) -> StatusSample:
        async with contextlib.aclosing(connect_async(url)) as client:
            sampler = StatusSampler(client, KEYS, SupervisorStats(lambda: 0))
            await sampler.sample_if_due(STEP_MS, Gauges(dead=3), 0, 2_000)
            return sampler.last

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        client.config_set("maxmemory", 1)
        assert asyncio.run(play(url)).dead == 3
        assert not client.exists(KEYS.history)
