"""Snapshots over HTTP from one gateway process, and the streams that it carries."""

import asyncio
import contextlib
import resource
import time
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import uvloop

from daemon.gateway.tokens import mint
from loadtests.bench.daemon import BenchDaemon, running
from loadtests.bench.figures import BenchFigures
from loadtests.bench.http import ask_on_and_on, ask_steadily, get
from loadtests.bench.plan import BenchPlan
from loadtests.bench.throughput import ACTORS, PER_S
from loadtests.bench.wire import Wire
from loadtests.bench.workload_model import EncodedWorkload
from loadtests.common.processes import GATEWAY, ProcessInfo, look
from loadtests.common.statistics import percentile

CONNECTIONS: Final = 16
STEADY_PER_S: Final = 2_000
STREAM_COMMANDS_PER_S: Final = 400
TOKEN_S: Final = 86_400
IDLE_S: Final = 5.0
LIMITS: Final = {
    "METERD_HTTP__PORT": "0",
    "METERD_HTTP__REQUESTS_PER_S": "100000",
    "METERD_HTTP__REQUESTS_BURST": "100000",
}


class Gateway(NamedTuple):
    """Where it is, and how to ask it as each of the users."""

    daemon: BenchDaemon
    port: int
    token: Callable[[str], str]


def measure(plan: BenchPlan, figures: BenchFigures) -> None:
    """Reads at full speed and at a steady pace, in turn; then streams."""
    with running(LIMITS) as daemon:
        daemon.wait_for_actors(ACTORS)
        workload = EncodedWorkload("h")
        daemon.open(workload, plan.sizes.chats)
        gateway = _gateway(daemon)
        names = [workload.names(chat) for chat in range(len(workload))]
        requests = [get(f"/v1/chats/{chat}", gateway.token(user)) for chat, user in names]
        for number in range(1, plan.rounds + 1):
            plan.say(f"round {number}: reads")
            uvloop.run(_reads(plan, gateway, requests, figures))
        for number in range(1, plan.rounds + 1):
            plan.say(f"round {number}: {plan.sizes.streams} streams")
            uvloop.run(_streams(plan, gateway, workload, figures))
        daemon.check()


def _gateway(daemon: BenchDaemon) -> Gateway:
    secret = (daemon.home / "http-secret").read_text().strip()
    port = urlsplit(daemon.status()["http_url"]).port
    assert port is not None, "the daemon says where its gateway is"
    return Gateway(daemon, port, lambda user: mint(secret, "meterd", user, ["user"], TOKEN_S))


async def _reads(
    plan: BenchPlan, gateway: Gateway, requests: list[bytes], figures: BenchFigures
) -> None:
    seconds = plan.sizes.reads_s
    took = await ask_on_and_on(gateway.port, requests, CONNECTIONS, seconds)
    figures.add("reads_per_s", len(took) / seconds, PER_S)
    figures.add("full_p99_ms", percentile(took, 99), "ms")
    steady = await ask_steadily(gateway.port, requests, STEADY_PER_S, CONNECTIONS, seconds)
    for percent in (50, 99):
        figures.add(f"steady_p{percent}_ms", percentile(steady, percent), "ms")


async def _streams(
    plan: BenchPlan, gateway: Gateway, workload: EncodedWorkload, figures: BenchFigures
) -> None:
    count = plan.sizes.streams
    _allow_sockets(2 * count + 500)
    before = _process(gateway.daemon)
    late_ms: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        begun = asyncio.Event()
        for number in range(count):
            user = workload.names(number % len(workload))[1]
            opened = await _open(gateway, user)
            stack.callback(opened[1].close)
            task = asyncio.create_task(_hear(opened[0], late_ms, begun))
            stack.callback(task.cancel)
        await asyncio.sleep(1)
        quiet = _process(gateway.daemon)
        await asyncio.sleep(IDLE_S)
        cpu_s = _process(gateway.daemon).cpu_s - quiet.cpu_s
        begun.set()
        await asyncio.to_thread(_send, gateway.daemon, workload, plan.sizes.stream_commands)
        await asyncio.sleep(1)
    figures.add("streams", count, "")
    if figures.get("stream_bytes") is None:  # later rounds take what earlier ones have given back
        figures.add("stream_bytes", (quiet.memory_bytes - before.memory_bytes) / count, "B")
    figures.add("streams_cpu_percent", 100 * cpu_s / IDLE_S, "%")
    for percent in (50, 99):
        figures.add(f"message_p{percent}_ms", percentile(late_ms, percent), "ms")


async def _open(gateway: Gateway, user: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(get(f"/v1/users/{user}/stream", gateway.token(user)))
    await reader.readuntil(b"event: snapshot")
    return reader, writer


async def _hear(reader: asyncio.StreamReader, late_ms: list[float], begun: asyncio.Event) -> None:
    """From the event's place in the queue's events, which is when it was committed, to here."""
    while line := await reader.readline():
        if line.startswith(b"id: ") and begun.is_set():
            late_ms.append(time.time() * 1_000 - int(line[4:].split(b"-")[0]))


def _send(daemon: BenchDaemon, workload: EncodedWorkload, count: int) -> None:
    with Wire(daemon.redis_url) as wire:
        began_s = time.perf_counter()
        for number, command in enumerate(workload.toggles(count)):
            ahead_s = began_s + number / STREAM_COMMANDS_PER_S - time.perf_counter()
            if ahead_s > 0:
                time.sleep(ahead_s)
            wire.say([command])
        wire.hear(count)
    daemon.until_handled()


def _process(daemon: BenchDaemon) -> ProcessInfo:
    assert daemon.process is not None, "it runs"
    return next(one for one in look(daemon.process.pid, with_memory=True) if one.role == GATEWAY)


def _allow_sockets(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
