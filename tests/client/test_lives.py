"""What a client holds, and what is left of it: threads, connections, processes, loops."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from loadtests.common.timeouts import scaled
from meterd import AsyncMeter, Meter, MeterError, NoReplyError, NotConfirmedError
from tests.client.by_hand import answering, commands, until
from tests.client.either import Make
from tests.proxy import Proxy

pytestmark = pytest.mark.redis
ROOT = Path(__file__).resolve().parents[2]


def readers() -> int:
    return sum(thread.name == "meterd-replies" for thread in threading.enumerate())


def connections(queue: redis.Redis) -> int:
    return len(queue.client_list())


def test_nothing_is_connected_before_the_first_call(
    server: str, queue: redis.Redis, make: Make
) -> None:
    """Making a client can't fail for want of a server."""
    before = connections(queue)
    make(server)
    assert connections(queue) == before


def test_closing_leaves_no_connection(server: str, queue: redis.Redis, make: Make) -> None:
    """Nor a reader."""
    before = connections(queue)
    meter = make(server)
    with answering(server):
        meter.gather([lambda m: m.pause("c")] * 20)
    meter.close()
    until(lambda: connections(queue) == before)
    assert readers() == 0


def test_closing_is_quick(server: str, queue: redis.Redis, make: Make) -> None:
    """Nobody waits for a read to time out after an answered command."""
    meter = make(server)
    with answering(server):
        meter.pause("c")
        started = time.monotonic()
        meter.close()
        assert time.monotonic() - started < 0.5


def test_a_client_at_rest_asks_nothing(server: str, queue: redis.Redis, make: Make) -> None:
    """While nobody waits for a reply, the reader does not read."""
    meter = make(server)
    with answering(server):
        meter.pause("c")
    time.sleep(0.1)
    before = queue.info("commandstats")["cmdstat_xread"]["calls"]
    time.sleep(1.5)
    assert queue.info("commandstats")["cmdstat_xread"]["calls"] - before <= 1


def test_commands_share_few_connections(server: str, queue: redis.Redis, make: Make) -> None:
    """A command holds a connection for its XADD, not until its reply."""
    before = connections(queue)
    meter = make(server)
    most = []
    with answering(server, lambda *_: None):
        timer = threading.Timer(0.5, lambda: most.append(connections(queue)))
        timer.start()
        meter.gather([lambda m: m.pause("c", timeout_s=1)] * 200)
        timer.join()
    assert most[0] - before <= 34  # 32 for commands, the reader, the answering one


def test_a_client_nobody_holds_ends_its_thread(server: str, queue: redis.Redis) -> None:
    """Forgetting to close leaves nothing behind."""
    meter = Meter(server)
    with answering(server):
        meter.pause("c")
    assert readers() == 1
    del meter
    gc.collect()
    until(lambda: readers() == 0)


def test_a_block_closes(server: str, queue: redis.Redis) -> None:
    """``with`` and ``async with``."""
    with Meter(server) as meter:
        meter.enqueue.heartbeat("c")
    with pytest.raises(MeterError, match="closed"):
        meter.enqueue.heartbeat("c")

    async def block() -> None:
        async with AsyncMeter(server) as meter:
            await meter.enqueue.heartbeat("c")
        with pytest.raises(MeterError, match="closed"):
            await meter.enqueue.heartbeat("c")

    asyncio.run(block())


def test_a_client_of_asyncio_belongs_to_one_loop(server: str, queue: redis.Redis) -> None:
    """Another loop gets a clear error instead of a riddle."""
    meter = AsyncMeter(server)

    async def use() -> None:
        await meter.enqueue.heartbeat("c")

    async def use_and_close() -> None:
        await meter.enqueue.heartbeat("c")
        with pytest.raises(MeterError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, use())
        await meter.close()

    asyncio.run(use_and_close())


def test_a_cancelled_task_leaves_nothing_behind(server: str, queue: redis.Redis) -> None:
    """Neither in the table nor in the slots; the command stays in the queue."""

    async def cancel() -> None:
        async with AsyncMeter(server, in_flight_max=1) as meter:
            task = asyncio.create_task(meter.pause("c"))
            await asyncio.sleep(0.2)
            assert len(meter._core.pending) == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(meter._core.pending) == 0
            with pytest.raises(NoReplyError):  # not BusyError: the slot is free again
                await meter.pause("c", timeout_s=0.05)

    asyncio.run(cancel())
    assert len(commands(queue)) == 2


def test_closing_while_a_command_is_unconfirmed_reports_nothing_behind_its_back(
    proxy: Proxy, queue: redis.Redis
) -> None:
    """The caller gets its error; the event loop has none left that nobody asked for."""
    reported: list[dict[str, Any]] = []

    async def close_in_the_middle() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context)
        )
        async with AsyncMeter(proxy.url) as meter:
            await meter.wallet("u")  # there is a connection
            proxy.stall()
            task = asyncio.create_task(meter.pause("c"))
            while not len(meter._core.pending):
                await asyncio.sleep(0.01)
        with pytest.raises(NotConfirmedError):
            await task

    asyncio.run(close_in_the_middle())
    gc.collect()
    proxy.flow()
    assert reported == []


FORKING = """
import os, sys
from meterd import Meter
meter = Meter(sys.argv[1])
assert meter.pause("parent", timeout_s=10).is_ok
streams = {meter._core.reply_to}
for _ in range(2):
    ours, theirs = os.pipe()
    if os.fork() == 0:
        for n in range(5):
            assert meter.pause(f"child-{n}", timeout_s=10).is_ok
        os.write(theirs, meter._core.reply_to.encode())
        meter.close()
        os._exit(0)
    _, status = os.wait()
    assert status == 0, status
    streams.add(os.read(ours, 100).decode())
    assert meter.pause("parent", timeout_s=10).is_ok
assert len(streams) == 3, streams
print("fine")
"""


def test_a_forked_process_has_replies_of_its_own(server: str, queue: redis.Redis) -> None:
    """A client made before a web server forks its workers works in each of them."""
    with answering(server):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", FORKING, server],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=scaled(60), check=False,
        )  # fmt: skip
    assert done.stdout == "fine\n", done.stderr


def test_the_package_loads_no_driver_of_postgres(server: str, tmp_path: Path) -> None:
    """Only who names a postgres_url needs psycopg2."""
    program = (
        "import sys\nfrom meterd import Meter\n"
        "Meter('redis://h')\nassert 'psycopg2' not in sys.modules\n"
        "Meter('redis://h', 'postgresql://h')\nassert 'psycopg2' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=scaled(60))


def test_threads_and_tasks_have_the_same_methods() -> None:
    """What one client can, the other can."""

    def names(kind: type[Any]) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert names(Meter) == names(AsyncMeter)
