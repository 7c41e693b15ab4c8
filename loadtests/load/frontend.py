"""What frontends do: read snapshots of chats and wallets."""

import time
from typing import Any, Final, Protocol

from loadtests.load.client import Report
from meterd import Meter, MeterError

WALLETS: Final = 4
"""One read in so many is of a wallet."""


class MissingError(Exception):
    """A chat that is open was told as never started, or an account as empty."""


class Reader(Protocol):
    """Where snapshots are read; HTTP will be another one."""

    def snapshot(self, chat_id: str) -> Any:
        """A chat."""

    def wallet(self, user_id: str) -> Any:
        """An account."""


def direct(meter: Meter) -> Reader:
    """From Redis, with the client."""
    return meter


class Frontend:
    """Reads one snapshot after the other and reports how long each took."""

    def __init__(self, reader: Reader, report: Report) -> None:
        """Nothing is read yet."""
        self._reader = reader
        self._report = report
        self._count = 0

    def read(self, chat_id: str, user_id: str) -> None:
        """Read the chat, or now and then the account."""
        self._count += 1
        if self._count % WALLETS == 0:
            self._timed("wallet", lambda: self._reader.wallet(user_id).as_of)
        else:
            self._timed("snapshot", lambda: self._reader.snapshot(chat_id).as_of)

    def _timed(self, name: str, read: Any) -> None:
        began_s = time.perf_counter()
        error: Exception | None = None
        try:
            if read() is None:
                error = MissingError(f"the {name} is not there")
        except MeterError as failed:
            error = failed
        self._report("read", name, (time.perf_counter() - began_s) * 1000, error)
