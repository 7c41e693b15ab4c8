"""The feed of all events by itself, on a queue that the test writes to: its bounds and ends."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
import redis
from starlette.types import Message

from daemon.gateway.authorization import Caller
from daemon.gateway.errors import ProblemError
from daemon.gateway.streams import event_feed
from daemon.gateway.streams.event_feed import EventFeed
from daemon.gateway.streams.messages import KEEP_ALIVE
from daemon.gateway.streams.stream import EventStream
from loadtests.common.live import KEYS
from loadtests.common.timeouts import scaled
from meterd import AsyncMeter
from persistence.redis.client import connect
from tests.proxy import Proxy, proxy_to
from tests.servers import redis_server

pytestmark = pytest.mark.redis

CALLER: Final = Caller("b", frozenset({"backend"}), float("inf"))
KEEP_ALIVE_S: Final = 0.5


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def queue(server: str) -> Iterator[redis.Redis]:
    """A queue with one event."""
    with contextlib.closing(connect(server)) as client:
        client.delete(KEYS.events)
        _happens(client)
        yield client


def _happens(client: redis.Redis) -> str:
    """Something that happens; its id."""
    entry: Any = client.xadd(
        KEYS.events, {"event": "wallet.topped_up", "at": 1, "user_id": "u", "seq": 1}
    )
    return str(entry.decode())


@contextlib.asynccontextmanager
async def _feed(url: str) -> AsyncIterator[EventFeed]:
    async with AsyncMeter(url) as meter:
        yield EventFeed(meter, KEEP_ALIVE_S)


async def _until(frames: AsyncIterator[bytes], part: bytes) -> bytes:
    """Read on until a frame has this in it; what was read."""
    heard = b""
    async with asyncio.timeout(scaled(20)):
        async for frame in frames:
            heard += frame
            if part in frame:
                break
    return heard


def test_a_word_comes_while_nothing_happens(server: str, queue: redis.Redis) -> None:
    """Proxies close a connection on which nothing is said."""

    async def heard() -> list[bytes]:
        async with _feed(server) as feed:
            frames = feed._frames(CALLER, "$", None)
            return [await anext(frames) for _ in range(3)]

    assert asyncio.run(heard()) == [KEEP_ALIVE] * 3


def test_a_stream_that_has_lost_events_ends_and_says_so(server: str, queue: redis.Redis) -> None:
    """Never a gap that nobody hears of: what was trimmed unread is told."""

    async def heard() -> bytes:
        async with _feed(server) as feed:
            frames = feed._frames(CALLER, "$", None)
            await anext(frames)
            pipeline = queue.pipeline(transaction=True)
            for _ in range(3):
                pipeline.xadd(KEYS.events, {"event": "e", "at": 1, "user_id": "u", "seq": 1})
            pipeline.xtrim(KEYS.events, maxlen=1, approximate=False)
            pipeline.execute()
            return await _until(frames, b"event: end")

    assert b'"reason":"lost"' in asyncio.run(heard())


def test_a_long_poll_and_a_stream_end_with_the_gateway(server: str, queue: redis.Redis) -> None:
    """Soon, though nothing has happened: it would be waited for otherwise."""

    async def ended() -> tuple[list[object], bytes, float]:
        async with _feed(server) as feed:
            page = asyncio.create_task(feed.page("$", None, 10, 30.0))
            frames = feed._frames(CALLER, "$", None)
            await anext(frames)
            begun_s = time.monotonic()
            feed.close()
            heard = await _until(frames, b"event: end")
            events = (await page).events
            return list(events), heard, time.monotonic() - begun_s

    events, heard, seconds = asyncio.run(ended())
    assert events == []
    assert b'"reason":"shutdown"' in heard
    assert seconds < scaled(5)


def test_so_many_may_follow_and_no_more(
    server: str, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever leaves makes room."""
    monkeypatch.setattr(event_feed, "FOLLOWERS_MAX", 2)

    async def codes() -> list[str]:
        async with _feed(server) as feed:
            place = await asyncio.to_thread(_happens, queue)
            waiting = [asyncio.create_task(feed.page(place, None, 1, 30.0)) for _ in range(2)]
            await asyncio.sleep(0)  # both have begun
            told = []
            for question in (
                lambda: feed.page("$", None, 1, 0),
                lambda: asyncio.to_thread(feed.stream, CALLER, "$", None),
            ):
                with pytest.raises(ProblemError) as raised:
                    await question()
                told.append(raised.value.code)
            await asyncio.to_thread(_happens, queue)
            assert all(page.events for page in await asyncio.gather(*waiting))
            assert (await feed.page("0", None, 1, 0)).events
            return told

    assert asyncio.run(codes()) == ["too_many_streams"] * 2


def test_a_stream_ends_with_its_reader_though_a_cancellation_gets_lost() -> None:
    """Python 3.11's wait_for, in which redis-py writes, may swallow one; a place would be kept."""
    lost: list[str] = []

    async def frames() -> AsyncIterator[bytes]:
        yield KEEP_ALIVE
        while True:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost.append("the first one")

    async def leaves() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def nothing(_: Message) -> None: ...

    async def ended() -> None:
        stream = EventStream(contextlib.nullcontext(), frames())
        async with asyncio.timeout(scaled(10)):
            await stream({"type": "http"}, leaves, nothing)

    begun_s = time.monotonic()
    asyncio.run(ended())
    assert time.monotonic() - begun_s < scaled(5)


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    with proxy_to(server) as proxy:
        yield proxy


def test_a_stream_outlives_a_redis_that_is_away(
    server: str, queue: redis.Redis, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For longer than the client waits for it; then it goes on where it was."""
    monkeypatch.setattr("meterd._events.TIMEOUT_S", 0.2)

    async def heard() -> tuple[bytes, str]:
        async with _feed(proxy.url) as feed:
            frames = feed._frames(CALLER, "$", None)
            await anext(frames)
            reading = asyncio.create_task(_until(frames, b"wallet.topped_up"))
            proxy.refuse()
            missed = await asyncio.to_thread(_happens, queue)
            await asyncio.sleep(1)  # away for longer than the client's time limit
            proxy.admit()
            return await reading, missed

    told, missed = asyncio.run(heard())
    assert f"id: {missed}\n".encode() in told
    assert b"event: end" not in told
