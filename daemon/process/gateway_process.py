"""The gateway as the daemon sees it: a process on a socket that outlives it.

The daemon listens, its gateways answer one after the other: while one is restarted, callers
wait instead of being refused.
"""

import contextlib
import json
import signal
import subprocess
import sys
import time
from typing import Final

import structlog

from daemon.discovery.runfile import Addresses
from daemon.gateway.key_source import keys_of
from daemon.gateway.server import bind, url_of
from daemon.settings.settings import Settings

log = structlog.get_logger()

RESTART_S: Final = 1.0
"""At most one start in so long."""
STOP_S: Final = 5.0


class GatewaySupervisor:
    """Keeps one gateway running."""

    def __init__(self, settings: Settings, config: str | None) -> None:
        """Listen, where nobody answers yet.

        Raises:
            KeysError: there are no keys to check tokens with.
            BindError: nobody can listen there.
        """
        keys_of(settings)
        self._config = config
        self._socket = bind(settings.http)
        self._process: subprocess.Popen[str] | None = None
        self._started_s = 0.0
        self.url = url_of(self._socket)
        self.restarts = 0

    def start(self, addresses: Addresses) -> None:
        """Start the gateway."""
        descriptor = self._socket.fileno()
        self._started_s = time.monotonic()
        # A session of its own: the terminal's Ctrl-C is for the daemon, which stops the gateway.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "daemon.gateway"],
            stdin=subprocess.PIPE,
            text=True,
            pass_fds=(descriptor,),
            start_new_session=True,
        )
        order = {"addresses": addresses._asdict(), "config": self._config, "socket": descriptor}
        assert self._process.stdin is not None, "it was started with a pipe"
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()

    def restart_if_ended(self, addresses: Addresses) -> None:
        """Start another one if it has ended."""
        if self._process is None or self._process.poll() is None:
            return
        if time.monotonic() - self._started_s >= RESTART_S:
            log.error("gateway.ended", code=self._process.returncode)
            self.restarts += 1
            self.start(addresses)

    def stop(self) -> None:
        """End it, and listen no more."""
        self._socket.close()
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self._process.kill()
        self._process.wait()
