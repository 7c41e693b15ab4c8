"""SIGSTOP for longer than any time-out, then SIGCONT: what wakes up may not do harm."""

import random
import signal
import time
from collections.abc import Callable, Sequence

from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import scaled
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.faults.fault import Blow, Fault, NothingThereError
from tests.chaos.faults.kills import CHAT, ENGINE, GCS, RAYLET, RECORDER, SUPERVISOR, actors
from tests.chaos.processes import send

HANG_S = (5.5, 16.0)
"""Longer than the lease (3 s), the answer of a server (2 s) and of an actor (4 s)."""

SILENCE_S = (5.5, 30.0)
"""At most longer than an engine may be silent (20 s)."""

TAKEN_OVER_S_MAX = scaled(60)


def freeze(pids: Sequence[int]) -> Blow:
    """SIGSTOP to all of these; healing is SIGCONT."""
    if not pids:
        raise NothingThereError
    for pid in pids:
        send(pid, signal.SIGSTOP)
    return Blow(lambda: _thaw(pids), what=f"pids {list(pids)}")


def _thaw(pids: Sequence[int]) -> None:
    for pid in pids:
        send(pid, signal.SIGCONT)


def _titled(*titles: str) -> Callable[[ChaosEnvironment, random.Random], Blow]:
    def strike(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
        return freeze([process.pid for process in environment.titled(*titles)])

    return strike


def _one_actor(environment: ChaosEnvironment, draw: random.Random) -> Blow:
    return freeze(draw.sample(sorted(actors(environment)), 1) if actors(environment) else [])


def _own(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    """The process that keeps the others, and only that."""
    return freeze([process.pid for process in environment.family()[:1]])


def _pair(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    """A standby starts; the daemon, all of its processes, hangs; the standby takes over.

    When the first one wakes up, it may write nothing more. Then it is stopped, and the
    second one is the daemon from there on.
    """
    second = environment.new_daemon()
    second.launch()
    first = environment.daemon
    _until_up(environment, second)
    frozen = [process.pid for process in environment.family(first)]
    environment.daemon = second
    freeze(frozen)
    return Blow(lambda: _wake_and_stop(environment, first, frozen), what=f"{len(frozen)} processes")


def _until_up(environment: ChaosEnvironment, daemon: LiveDaemon) -> None:
    """Wait until the standby has a supervisor, and a moment for its first bid."""
    deadline = time.monotonic() + TAKEN_OVER_S_MAX
    while not any(SUPERVISOR in process.title for process in environment.family(daemon)):
        assert time.monotonic() < deadline, f"no standby: {daemon.output()}"
        time.sleep(0.05)


def _wake_and_stop(environment: ChaosEnvironment, first: LiveDaemon, frozen: Sequence[int]) -> None:
    _thaw(frozen)
    family = environment.family(first)
    assert first.process is not None
    if first.process.poll() is None:
        first.process.send_signal(signal.SIGTERM)
        first.process.wait(timeout=scaled(60))
    environment.wait_gone(family)


HANGS = (
    Fault("chat actor hung", _one_actor, HANG_S, weight=3),
    Fault("all chat actors hung", _titled(CHAT), HANG_S, weight=1),
    Fault("supervisor hung", _titled(SUPERVISOR), HANG_S, weight=3),
    Fault("recorder hung", _titled(RECORDER), HANG_S, weight=1),
    Fault("raylet hung", _titled(RAYLET), HANG_S, weight=1),
    Fault("GCS hung", _titled(GCS), HANG_S, weight=1),
    Fault("engine hung", _titled(ENGINE), SILENCE_S, weight=1),
    Fault("daemon's own process hung", _own, (1.0, 8.0), weight=1),
    Fault("daemon hung, standby there", _pair, HANG_S, weight=2, alone=True),
)
