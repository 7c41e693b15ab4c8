"""What the daemon's processes take of CPU and memory, by what they are.

CPU is user and system time; time at a low priority (Ray's workers are nice) counts like any other.
Memory is PSS: a page that several processes share counts in parts, so that the figures of all may
be added up. Where the PSS of another user's process may not be read, its resident memory counts
instead, which is more.
"""

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import psutil

from daemon.process.engine_client import MARK
from daemon.process.ray_processes import marked_processes

UP: Final = "meterd up"
ENGINE: Final = "engine"
GATEWAY: Final = "gateway"
SUPERVISOR: Final = "supervisor"
RECORDER: Final = "recorder"
CHAT_ACTOR: Final = "chat actor"
RAY: Final = "raylet, gcs, other Ray"
REDIS: Final = "Redis"
POSTGRES: Final = "Postgres"
OTHER: Final = "other"

MIB: Final = 1024 * 1024

MEMORY_EVERY: Final = 5
"""A sample of memory for so many of CPU: adding up a process's pages takes milliseconds."""

_ACTORS: Final = {
    "ray::ChatActor": CHAT_ACTOR,
    "ray::SupervisorActor": SUPERVISOR,
    "ray::RecorderActor": RECORDER,
}
_WORDS: Final = (
    ("daemon.process.engine", ENGINE),
    ("daemon.gateway", GATEWAY),
    ("valkey-server", REDIS),
    ("redis-server", REDIS),
    ("postgres", POSTGRES),
    ("/ray/", RAY),
    ("ray::", RAY),
)


class ProcessInfo(NamedTuple):
    """A living process; ``birth_s`` tells it from a later one with the same pid."""

    pid: int
    birth_s: float
    role: str
    cpu_s: float
    memory_bytes: int
    """0 if it was not asked for."""


class UsageSample(NamedTuple):
    """What all processes had used up to a moment, those that have ended included."""

    at_s: float
    """Seconds since 1970."""
    cpu_s: dict[str, float]
    memory_bytes: dict[str, int]
    """Of those alive; empty if it was not asked for."""
    processes: dict[str, int]


def role_of(title: str) -> str:
    """What a process is, by its command line; each chat actor is one of ``chat actor``."""
    for prefix, role in _ACTORS.items():
        if title.startswith(prefix):
            return role
    command = title.split(" ", 1)[0]
    for word, role in _WORDS:
        if word in (title if role in (ENGINE, GATEWAY, RAY) else command):
            return role
    return OTHER


def look(
    root: int | None, others: Mapping[str, int] | None = None, *, with_memory: bool = False
) -> list[ProcessInfo]:
    """The daemon's processes and those of other trees.

    Args:
        root: the pid of ``meterd up``; None if it runs elsewhere.
        others: role → pid of a process that counts with all below it, such as a load generator.
        with_memory: whether memory is looked at, too.
    """
    found: dict[int, ProcessInfo] = {}
    for pid in [] if root is None else _tree(root):
        _add(found, pid, UP if pid == root else None, with_memory)
    for role, top in (others or {}).items():
        for pid in _tree(top):
            _add(found, pid, role, with_memory)
    return list(found.values())


def _tree(root: int) -> list[int]:
    """A process, all below it, and what its engines have started, whoever their parent is now."""
    with contextlib.suppress(psutil.Error):
        top = psutil.Process(root)
        pids = [root, *(child.pid for child in top.children(recursive=True))]
        marked = [pid for mark in _marks(pids) for pid in marked_processes(mark)]
        return list(dict.fromkeys([*pids, *marked]))
    return []


def _marks(pids: Iterable[int]) -> set[bytes]:
    marks = set()
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if role_of(_title(process)) == ENGINE:
                value = process.environ().get(MARK)
                marks |= {f"{MARK}={value}".encode()} if value else set()
    return marks


def _title(process: Any) -> str:
    return " ".join(process.cmdline()).strip()


def _add(found: dict[int, ProcessInfo], pid: int, role: str | None, with_memory: bool) -> None:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        name = role or _named(process)
        times = process.cpu_times()
        memory = _memory_bytes(process) if with_memory else 0
        found[pid] = ProcessInfo(
            pid=pid,
            birth_s=process.create_time(),
            role=name,
            cpu_s=times.user + times.system,
            memory_bytes=memory,
        )


def _named(process: Any) -> str:
    role = role_of(_title(process))
    return f"{role} {process.pid}" if role == CHAT_ACTOR else role


def _memory_bytes(process: Any) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)


class CpuTotals:
    """Adds up CPU by role over time; what a process used before its end or its new role stays."""

    def __init__(self) -> None:
        self._cpu_s: dict[str, float] = {}
        self._last: dict[tuple[int, float], float] = {}

    def take(
        self, processes: Iterable[ProcessInfo], at_s: float, *, with_memory: bool
    ) -> UsageSample:
        """Take in what was seen at one moment."""
        memory: dict[str, int] = {}
        count: dict[str, int] = {}
        for one in processes:
            self._grow(one)
            count[one.role] = count.get(one.role, 0) + 1
            memory[one.role] = memory.get(one.role, 0) + one.memory_bytes
        return UsageSample(at_s, dict(self._cpu_s), memory if with_memory else {}, count)

    def _grow(self, one: ProcessInfo) -> None:
        key = one.pid, one.birth_s
        grown_s = max(0.0, one.cpu_s - self._last.get(key, 0.0))
        self._last[key] = one.cpu_s
        self._cpu_s[one.role] = self._cpu_s.get(one.role, 0.0) + grown_s


class Usage(NamedTuple):
    """What one role took between two moments."""

    cpu_percent: float
    """Of one core."""
    memory_bytes: int
    """The last sample of it."""
    processes: int


def usage(samples: Iterable[UsageSample], begin_s: float, end_s: float) -> dict[str, Usage]:
    """CPU and memory by role from the samples nearest to two moments; nothing without two."""
    taken = list(samples)
    if len(taken) < 2:
        return {}
    first = min(taken, key=lambda sample: abs(sample.at_s - begin_s))
    last = min(taken, key=lambda sample: abs(sample.at_s - end_s))
    if last.at_s <= first.at_s:
        return {}
    memory = next(
        (s.memory_bytes for s in reversed(taken) if s.memory_bytes and s.at_s <= last.at_s), {}
    )
    return {
        role: Usage(_percent(first, last, role), memory.get(role, 0), last.processes.get(role, 0))
        for role in last.cpu_s
    }


def _percent(first: UsageSample, last: UsageSample, role: str) -> float:
    grown_s = last.cpu_s[role] - first.cpu_s.get(role, 0.0)
    return 100.0 * grown_s / (last.at_s - first.at_s)


def grouped(roles: Mapping[str, Usage]) -> dict[str, Usage]:
    """All chat actors as one."""
    found: dict[str, Usage] = {}
    for role, used in roles.items():
        name = CHAT_ACTOR + "s" if role.startswith(CHAT_ACTOR) else role
        before = found.get(name, Usage(0.0, 0, 0))
        found[name] = Usage(
            before.cpu_percent + used.cpu_percent,
            before.memory_bytes + used.memory_bytes,
            before.processes + used.processes,
        )
    return found


class Sampler:
    """Looks at the processes every so often, in a thread of its own, until stopped.

    Between two points: ``usage(sampler.samples, begin_s, end_s)``, times as of ``time.time()``.
    """

    def __init__(
        self, root: int | None, others: Mapping[str, int] | None = None, every_s: float = 1.0
    ) -> None:
        """``root`` and ``others`` as of ``look``; more may be put into ``others`` later."""
        self.samples: list[UsageSample] = []
        self.others = dict(others or {})
        self._root = root
        self._every_s = every_s
        self._tally = CpuTotals()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="processes", daemon=True)

    def __enter__(self) -> "Sampler":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample, and no more; may be called again."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._thread.join()
            self.take(with_memory=True)

    def take(self, *, with_memory: bool = False) -> UsageSample:
        """Look once."""
        processes = look(self._root, dict(self.others), with_memory=with_memory)
        sample = self._tally.take(processes, time.time(), with_memory=with_memory)
        self.samples.append(sample)
        return sample

    def between(self, begin_s: float, end_s: float) -> dict[str, Usage]:
        """CPU and memory by role between two moments."""
        return usage(self.samples, begin_s, end_s)

    def _run(self) -> None:
        count = 0
        while not self._stopped.is_set():
            self.take(with_memory=count % MEMORY_EVERY == 0)
            count += 1
            self._stopped.wait(self._every_s)
