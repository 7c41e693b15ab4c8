"""The machine and the gateway's callers: no core is free, connections that say nothing."""

import contextlib
import os
import random
import socket
import subprocess
import sys
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit
from urllib.request import urlopen

from daemon.discovery.runfile import RunFile
from loadtests.common.timeouts import scaled
from loadtests.common.watchdog import end_with_us
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.faults.fault import Blow, Fault, NothingThereError

BUSY_S: Final = (10.0, 10.0)
SOCKETS: Final = 1_000
ANSWER_S_MAX: Final = scaled(10)
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
    """Connections to the gateway that send nothing; before they end, somebody else is answered."""
    addresses = RunFile(environment.daemon.home).read()
    if addresses is None or not addresses.http_url:
        raise NothingThereError
    url = urlsplit(addresses.http_url)
    opened: list[socket.socket] = []
    with contextlib.suppress(OSError):
        while len(opened) < SOCKETS:
            opened += [socket.create_connection((url.hostname, url.port), timeout=2)]
    what = f"{len(opened)} connections"
    return Blow(lambda: _close(opened, addresses.http_url), what=what)


def _close(opened: list[socket.socket], http_url: str) -> None:
    with urlopen(f"{http_url}/healthz", timeout=ANSWER_S_MAX) as answer:
        assert answer.status == HTTPStatus.OK, "silent connections keep others from an answer"
    for one in opened:
        one.close()


MACHINE = (
    Fault("machine busy", _busy, BUSY_S, weight=1),
    Fault("silent connections at the gateway", _silent, (1.0, 5.0), weight=1, alone=True),
)
