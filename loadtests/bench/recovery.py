"""kill -9 of everything with many open chats: how long until commands are handled again."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import redis

from loadtests.bench.daemon import BenchDaemon, kill
from loadtests.bench.figures import BenchFigures
from loadtests.bench.plan import BenchPlan
from loadtests.bench.servers import Servers
from loadtests.bench.throughput import ACTORS
from loadtests.bench.usage import pid_of
from loadtests.bench.wire import blast
from loadtests.bench.workload_model import EncodedWorkload
from loadtests.common.live import KEYS
from loadtests.common.processes import look
from loadtests.common.servers import folder
from persistence.redis.client import connect
from persistence.redis.published_status import read_status

BACK_S_MAX: Final = 180.0
EVERY_S: Final = 0.02
SETTINGS: Final = {"METERD_ACTORS__CHATS_PER_ACTOR": "200000"}


def measure(plan: BenchPlan, figures: BenchFigures) -> None:
    """Open the chats, then kill and start everything, round by round."""
    with _everything() as (servers, daemon):
        daemon.start()
        daemon.wait_for_actors(ACTORS)
        workload = EncodedWorkload("r")
        plan.say(f"opening {plan.sizes.recovery_chats:,} chats")
        daemon.open(workload, plan.sizes.recovery_chats)
        figures.add("chats", daemon.open_chats(), "")
        for number in range(1, plan.rounds + 1):
            plan.say(f"round {number}: kill -9 of everything")
            _round(servers, daemon, workload, figures)
        daemon.until_handled()
        plan.say("the audit")
        daemon.audit()


@contextlib.contextmanager
def _everything() -> Iterator[tuple[Servers, BenchDaemon]]:
    """Servers that run and a daemon that does not yet; nothing of them is left afterwards."""
    with folder() as place:
        servers = Servers(place / "servers")
        try:
            urls = servers.start()
            found = {"REDIS": urls.redis_url or "", "POSTGRES": urls.postgres_url or ""}
            env = {f"METERD_{name}__URL": url for name, url in found.items()}
            daemon = BenchDaemon(place / "home", {**env, **SETTINGS})
            with contextlib.closing(_Ending(daemon)):
                yield servers, daemon
        finally:
            servers.kill()


class _Ending:
    """Ends the daemon when it is closed."""

    def __init__(self, daemon: BenchDaemon) -> None:
        self._daemon = daemon

    def close(self) -> None:
        """End it."""
        self._daemon.end()


def _round(
    servers: Servers, daemon: BenchDaemon, workload: EncodedWorkload, figures: BenchFigures
) -> None:
    family = look(pid_of(daemon))
    kill(family)
    servers.kill()
    assert daemon.process is not None, "it has been started"
    daemon.process.wait(timeout=30)
    killed_s = time.monotonic()
    urls = servers.start()
    up_s = time.monotonic()
    assert urls.redis_url, "a server was asked for"
    stream = f"recovery-{time.monotonic_ns()}"
    blast(urls.redis_url, workload.toggles(1, reply_to=stream))
    daemon.launch()
    figures.add("servers_s", up_s - killed_s, "s")
    _watch(urls.redis_url, KEYS.reply(stream), up_s, figures)


def _watch(url: str, stream: str, up_s: float, figures: BenchFigures) -> None:
    """Note when the daemon says that it is ready, and when the command has its reply."""
    wanted: dict[str, Callable[[redis.Redis], bool]] = {
        "ready_s": _is_ready,
        "first_reply_s": lambda client: bool(client.exists(stream)),
    }
    with connect(url) as client:
        while wanted:
            if time.monotonic() - up_s > BACK_S_MAX:
                raise TimeoutError(f"not back within {BACK_S_MAX:.0f} s")
            for name in [name for name, holds in wanted.items() if holds(client)]:
                figures.add(name, time.monotonic() - up_s, "s")
                del wanted[name]
            time.sleep(EVERY_S)


def _is_ready(client: redis.Redis) -> bool:
    status: dict[str, Any] | None = read_status(client, KEYS)
    return status is not None and status["state"] == "ready"
