"""The machine and the gateway's callers: no core is free, connections that say nothing."""

import contextlib
import os
import random
import socket
import subprocess
import sys
from typing import Final
from urllib.parse import urlsplit

from loadtests.common.watchdog import end_with_us
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.faults.fault import Blow, Fault, NothingThereError

BUSY_S: Final = (10.0, 10.0)
SOCKETS: Final = 1_000
_SPIN: Final = "while True: pass"


def _busy(_environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    """Twice as many processes that only compute as there are cores."""
    number = 2 * (os.cpu_count() or 1)
    spinning = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(number)]
    for process in spinning:
        end_with_us(process.pid)
    return Blow(lambda: _end(spinning), what=f"{number} busy processes")


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def _silent(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    """Connections to the gateway that send nothing."""
    url = urlsplit(str(environment.status().get("http_url") or ""))
    if not url.port:
        raise NothingThereError
    opened: list[socket.socket] = []
    with contextlib.suppress(OSError):
        while len(opened) < SOCKETS:
            opened += [socket.create_connection((url.hostname, url.port), timeout=2)]
    return Blow(lambda: _close(opened), what=f"{len(opened)} connections")


def _close(opened: list[socket.socket]) -> None:
    for one in opened:
        one.close()


MACHINE = (
    Fault("machine busy", _busy, BUSY_S, weight=1),
    Fault("silent connections at the gateway", _silent, (1.0, 5.0), weight=1),
)
