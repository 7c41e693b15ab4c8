"""A command in a terminal, as a person sees it."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping

from loadtests.common.live import METERD
from loadtests.common.timeouts import scaled

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """What a command has drawn, and its keyboard."""

    def __init__(self, process: "subprocess.Popen[bytes]", ours: int, side: int) -> None:
        self.process = process
        self.side = side
        """The command's side, open here too: its settings can be read afterwards."""
        self._ours = ours
        self._drawn = b""

    def press(self, key: str) -> None:
        """Press a key; what was drawn before is forgotten."""
        self._drawn = b""
        os.write(self._ours, key.encode())

    def read_until(self, pattern: str, timeout_s: float = 20) -> str:
        """Wait until the text drawn since the last key, without sequences, has this."""
        deadline = time.monotonic() + scaled(timeout_s)
        while True:
            text = _SEQUENCE.sub("", self._drawn.decode(errors="replace")).replace("\r", "")
            if re.search(pattern, text):
                return text
            ended = self.process.poll()
            assert time.monotonic() < deadline, f"exit {ended}, drawn: {_last_screen(text)!r}"
            if select.select([self._ours], [], [], 0.1)[0]:
                self._drawn += os.read(self._ours, 65_536)


def _last_screen(text: str) -> str:
    """The lines that are not blank, of the last screen or so."""
    return "\n".join(line.rstrip() for line in text[-20_000:].splitlines() if line.strip())


@contextlib.contextmanager
def in_terminal(env: Mapping[str, str], *args: str) -> Iterator[Terminal]:
    """Run a command of meterd's in a terminal of 160 columns, whatever the tests run in."""
    ours, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
    env = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [METERD, *args], env={**env, "TERM": "xterm"}, stdin=side, stdout=side, stderr=side
    )
    try:
        yield Terminal(process, ours, side)
    finally:
        process.kill()
        process.wait(timeout=scaled(10))
        os.close(ours)
        os.close(side)
