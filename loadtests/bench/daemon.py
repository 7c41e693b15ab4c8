"""The daemon under measurement: a real one, all of whose actors have work, audited at the end."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from daemon.embedded.processes import find_marked, mark_of
from loadtests.bench.wire import blast
from loadtests.bench.workload_model import EncodedWorkload
from loadtests.common.code import own_code
from loadtests.common.live import KEYS, LiveDaemon
from loadtests.common.processes import ProcessInfo, look
from loadtests.common.servers import folder
from loadtests.common.statistics import ProgressSample

EVERY_S: Final = 0.01
HANDLED_S_MAX: Final = 300.0
AUDIT_S_MAX: Final = 600.0
STATUS_S_MAX: Final = 10.0
ACTORS_S_MAX: Final = 120.0


class BooksDifferError(Exception):
    """After a run, the audit found what should not be."""


class RefusedCommandsError(Exception):
    """Some of the commands of a measurement did not end well: its figures mean nothing."""


class BenchDaemon(LiveDaemon):
    """The daemon, with what the measurements do to it."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        """As its base; the code is this benchmark's own."""
        super().__init__(home, {"PYTHONPATH": own_code()["PYTHONPATH"], **env})

    def wait_for_actors(self, count: int, name: str = "warm") -> None:
        """Open some chats, so that all actors start, and wait until each has one."""
        blast(self.redis_url, EncodedWorkload(name).open(2 * count))
        self.until(lambda: self.actors_up() >= count, ACTORS_S_MAX)
        self.until_handled()
        self.until(lambda: self.open_chats() >= 2 * count, STATUS_S_MAX)

    def actors_up(self) -> int:
        """How many chat actors work, as the daemon says."""
        actors: Sequence[Mapping[str, Any]] = self.published().get("actors", ())
        return sum(1 for actor in actors if actor["up"])

    def open(self, workload: EncodedWorkload, count: int) -> None:
        """Open chats, and wait until all of them are in Postgres as well, and counted as open."""
        blast(self.redis_url, workload.open(count))
        self.until_handled(HANDLED_S_MAX)
        self.until(lambda: self.open_chats() >= len(workload), STATUS_S_MAX)

    def open_chats(self) -> int:
        """How many chats are open, as the daemon said last."""
        return int(self.published().get("open_chats", 0))

    def resume_all(self, workload: EncodedWorkload) -> None:
        """Let all chats run again."""
        blast(self.redis_url, workload.resumes())
        self.until_handled(HANDLED_S_MAX)

    def watch(self, total: int, done_before: int = 0) -> list[ProgressSample]:
        """How many of so many new commands are handled, again and again until all are."""
        samples: list[ProgressSample] = []
        with self.client() as client:
            end_s = time.monotonic() + HANDLED_S_MAX
            while not samples or samples[-1].done < total:
                assert time.monotonic() < end_s, f"not handled in time: {self.output()}"
                done = _handled(client.xinfo_groups(KEYS.commands)) - done_before
                samples.append(ProgressSample(time.perf_counter(), done))
                time.sleep(EVERY_S)
        return samples

    def handled(self) -> int:
        """How many commands have been handled so far."""
        with self.client() as client:
            return _handled(client.xinfo_groups(KEYS.commands))

    def check(self) -> None:
        """All went well and the books are right.

        Raises:
            RefusedCommandsError: some outcome is not ``ok``.
            BooksDifferError: the audit says so.
        """
        self.until_handled(HANDLED_S_MAX)
        wanted = self.handled()
        with contextlib.suppress(AssertionError):  # it is published now and then only
            self.until(lambda: sum(self._outcomes().values()) >= wanted, STATUS_S_MAX)
        bad = {k: v for k, v in self._outcomes().items() if k != "ok"}
        if bad:
            raise RefusedCommandsError(f"outcomes that should not be: {bad}")
        self.audit()

    def audit(self) -> None:
        """Raises BooksDifferError if the books are not right."""
        audited = self.run("audit", timeout_s=AUDIT_S_MAX)
        if audited.returncode:
            raise BooksDifferError((audited.stdout + audited.stderr)[-800:])

    def end(self) -> None:
        """Stop it, by force if need be; nothing of it is left."""
        if self.process is None:
            return
        family = look(self.process.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.process.poll() is None:
                self.stop()
        kill([one for one in family if one.pid != self.process.pid])
        self.process.kill()
        self.process.wait(timeout=30)
        kill_servers(self.home)

    def _outcomes(self) -> Mapping[str, int]:
        found: Mapping[str, int] = self.published().get("outcomes", {})
        return found


def _handled(groups: Any) -> int:
    """Commands read from the stream and acknowledged."""
    return sum((group["entries-read"] or 0) - group["pending"] for group in groups)


def kill(processes: Iterable[ProcessInfo]) -> None:
    """SIGKILL for each that still runs; a pid that is somebody else's by now is passed over."""
    for one in processes:
        with contextlib.suppress(psutil.Error):
            found = psutil.Process(one.pid)
            if found.create_time() == one.birth_s:
                found.kill()


def kill_servers(home: Path) -> None:
    """SIGKILL for the servers of a home that have outlived their daemon."""
    for name, command in (("valkey", "valkey-server"), ("postgres", "postgres")):
        data = home / name
        for pid in find_marked(mark_of(data), command) if data.exists() else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def running(env: Mapping[str, str] | None = None) -> Iterator[BenchDaemon]:
    """A daemon on servers of its own that is ready; nothing of it is left afterwards."""
    with folder() as place:
        daemon = BenchDaemon(place / "home", env or {})
        try:
            daemon.start()
            yield daemon
        finally:
            daemon.end()


def wait(holds: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Wait until something holds that no daemon has a part in."""
    end_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end_s:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(EVERY_S)
