"""Keys as they are pressed, without Enter, while a screen is shown."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def keyboard() -> Iterator[Callable[[float], str]]:
    """Give a function that waits up to so many seconds for a key; empty if there was none.

    Without a terminal to type at, it only waits. Ctrl-C works as always.
    """
    if not sys.stdin.isatty():
        yield _pause
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield lambda timeout_s: _key(terminal, timeout_s)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _pause(timeout_s: float) -> str:
    time.sleep(timeout_s)
    return ""


def _key(terminal: int, timeout_s: float) -> str:
    ready, _, _ = select.select([terminal], [], [], timeout_s)
    return os.read(terminal, 1).decode(errors="replace") if ready else ""
