"""SIGKILL: chat actors, warm actors, the supervisor, the recorder, Ray's processes, the daemon."""

import contextlib
import random
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from loadtests.common.timeouts import scaled
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.faults.fault import Blow, Fault, NothingThereError, nothing
from tests.chaos.processes import send

CHAT, SUPERVISOR, RECORDER = "ray::ChatActor", "ray::SupervisorActor", "ray::RecorderActor"
MURDER_S = 4.0
FALL_S = 5.0
"""How long it may take until what hung on the killed process has ended, too."""

RAYLET, GCS, ENGINE = "/raylet ", "/gcs_server ", "daemon.process.engine"


def shoot(pids: Sequence[int]) -> Blow:
    """SIGKILL to all of these at once."""
    if not pids:
        raise NothingThereError
    for pid in pids:
        send(pid, signal.SIGKILL)
    return Blow(nothing, kills=len(pids), what=f"pids {list(pids)}")


def by_title(title: str) -> Callable[[ChaosEnvironment, random.Random], Blow]:
    """A fault that kills the one process with this title."""

    def strike(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
        return shoot([process.pid for process in environment.titled(title)])

    return strike


def actors(environment: ChaosEnvironment, *, spare: bool = False) -> list[int]:
    """Processes of chat actors with chats, or of those without."""
    told: list[dict[str, Any]] = environment.status().get("actors", [])
    return [a["pid"] for a in told if a["pid"] and bool(a["chats"]) != spare]


def _one(environment: ChaosEnvironment, draw: random.Random) -> Blow:
    return shoot(_some(actors(environment), 1, draw))


def _several(environment: ChaosEnvironment, draw: random.Random) -> Blow:
    return shoot(_some(actors(environment), 2, draw))


def _all(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    return shoot([process.pid for process in environment.titled(CHAT)])


def _again_and_again(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    """As soon as one is back: no command may be taken for the one that kills them."""
    killed: set[int] = set()
    deadline = time.monotonic() + MURDER_S
    while time.monotonic() < deadline:
        pids = {process.pid for process in environment.titled(CHAT)}
        for pid in pids - killed:
            send(pid, signal.SIGKILL)
        killed |= pids
        time.sleep(0.3)
    return Blow(nothing, kills=len(killed))


def _spare(environment: ChaosEnvironment, draw: random.Random) -> Blow:
    return shoot(_some(actors(environment, spare=True), 1, draw))


def _some(pids: list[int], number: int, draw: random.Random) -> list[int]:
    return draw.sample(sorted(pids), min(number, len(pids)))


def _daemon(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    """The daemon's own process; the harness does what a service manager does, and at once."""
    family = environment.family()
    if not family:
        raise NothingThereError
    environment.daemon.kill()
    return Blow(lambda: _again(environment), kills=1, what=f"{len(family)} processes")


def _everything(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    """All processes of the daemon at once, as when the machine runs out of memory."""
    family = environment.family()
    blow = shoot([process.pid for process in family])
    _reap(environment)
    return blow._replace(heal=lambda: _again(environment))


def _reap(environment: ChaosEnvironment) -> None:
    assert environment.daemon.process is not None
    environment.daemon.process.wait(timeout=scaled(30))


def _again(environment: ChaosEnvironment) -> None:
    environment.daemon.launch()


def _then_an_actor(title: str) -> Callable[[ChaosEnvironment, random.Random], Blow]:
    """Kills what starts actors, and then an actor: it must be replaced all the same."""

    def strike(environment: ChaosEnvironment, draw: random.Random) -> Blow:
        blow = by_title(title)(environment, draw)
        return blow._replace(heal=lambda: _maybe_one(environment, draw), kills=2)

    return strike


def _maybe_one(environment: ChaosEnvironment, draw: random.Random) -> None:
    with contextlib.suppress(NothingThereError):
        _one(environment, draw)


KILLS = (
    Fault("chat actor killed", _one, weight=6),
    Fault("several chat actors killed", _several, weight=3),
    Fault("all chat actors killed", _all, weight=2),
    Fault("actors killed again and again", _again_and_again, weight=1),
    Fault("spare killed", _spare, weight=1),
    Fault("supervisor killed", by_title(SUPERVISOR), weight=4),
    Fault("recorder killed", by_title(RECORDER), weight=3),
    Fault("engine killed", by_title(ENGINE), weight=2, settle_s=FALL_S),
    Fault("raylet killed, then an actor", _then_an_actor(RAYLET), (2.0, 6.0), settle_s=FALL_S),
    Fault("GCS killed, then an actor", _then_an_actor(GCS), (2.0, 6.0), settle_s=FALL_S),
    Fault("daemon killed", _daemon, weight=3, settle_s=FALL_S),
    Fault("all of the daemon killed", _everything, weight=2, settle_s=FALL_S),
)
