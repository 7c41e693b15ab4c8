"""What processes take over a window: CPU in percent of a core, memory in bytes."""

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from loadtests.bench.daemon import BenchDaemon
from loadtests.common.live import KEYS
from loadtests.common.processes import CHAT_ACTOR, RECORDER, SUPERVISOR, Sampler, Usage, grouped

CHAT_ACTORS: Final = CHAT_ACTOR + "s"
EMPTY: Final = "empty actors"


class Window(NamedTuple):
    """What all roles took together, and each."""

    roles: dict[str, Usage]

    @property
    def cpu_percent(self) -> float:
        """Of one core."""
        return sum(used.cpu_percent for used in self.roles.values())

    @property
    def memory_bytes(self) -> int:
        """Of all processes."""
        return sum(used.memory_bytes for used in self.roles.values())

    @property
    def actors(self) -> int:
        """How many Ray actors the daemon has."""
        named = (CHAT_ACTORS, SUPERVISOR, RECORDER)
        return sum(self.roles[role].processes for role in named if role in self.roles)


def watch(root: int | None, seconds: float, others: Mapping[str, int] | None = None) -> Window:
    """Look at the processes below ``root`` (or below others, by role) at both ends of a window."""
    sampler = Sampler(root, others)
    first = sampler.take()
    time.sleep(seconds)
    last = sampler.take()
    memory = sampler.take(with_memory=True)  # apart: adding up pages takes its time
    used = grouped(sampler.between(first.at_s, last.at_s))
    held = _grouped_memory(memory.memory_bytes)
    return Window({role: u._replace(memory_bytes=held.get(role, 0)) for role, u in used.items()})


def _grouped_memory(by_role: Mapping[str, int]) -> dict[str, int]:
    roles = {role: Usage(0.0, held, 0) for role, held in by_role.items()}
    return {role: used.memory_bytes for role, used in grouped(roles).items()}


def pid_of(daemon: BenchDaemon) -> int:
    """The process at the top of a daemon."""
    assert daemon.process is not None, "it has been started"
    return daemon.process.pid


def redis_bytes(daemon: BenchDaemon) -> int:
    """What Redis says that its data take."""
    with daemon.client() as client:
        return int(client.info("memory")["used_memory"])


def own_keys_bytes(daemon: BenchDaemon, chat: str, user: str) -> int:
    """What is kept of one open chat and its account for as long as it is open."""
    with daemon.client() as client:
        names = (KEYS.chat(chat), KEYS.wallet(user), KEYS.account(user))
        return sum(int(client.memory_usage(name) or 0) for name in names)
