"""A connection to Redis that was cut fails alike, whatever runs the event loop."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis
import redis.asyncio
import uvloop

from meterd.redis_connections import connection_options, connection_options_async

pytestmark = pytest.mark.timeout(60)

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2",
        "redis://u:hunter2@h:port",
        "redis://u:hunter2@h:99999",
        "redis://u:hunter2@a,b",
        "redis://u:hunter2@h?db=hunter2",
        "redis://u:hunter2\u2100@h",
        "unix://",
        "http://u:hunter2@h",
    ],
)
@pytest.mark.parametrize("options_of", [connection_options, connection_options_async])
def test_a_url_that_can_not_be_one_is_refused_without_its_password(
    options_of: Callable[[str], Any], url: str
) -> None:
    """Threads and asyncio refuse alike; the message has the form that is wanted."""
    with pytest.raises(ValueError, match="want") as caught:
        options_of(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.redis
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_writing_to_a_cut_connection_raises_an_error_of_redis(run: Run, server: str) -> None:
    """Its reader retries those; uvloop raises a RuntimeError. The next command connects again."""

    async def play() -> None:
        pool = redis.asyncio.ConnectionPool(**connection_options_async(server))
        async with contextlib.aclosing(pool):
            connection: Any = await pool.get_connection()  # type: ignore[no-untyped-call]
            connection._writer.transport.abort()
            while connection._reader.exception() is None and not connection._reader.at_eof():
                await asyncio.sleep(0)
            with pytest.raises(redis.ConnectionError):
                await connection.send_command("PING")
            await connection.send_command("PING")
            assert await connection.read_response() == b"PONG"

    run(play())
