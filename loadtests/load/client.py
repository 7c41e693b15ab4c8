"""One command as a backend sends it, timed; and what to do when nobody knows what came of it."""

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from meterd import (
    AlreadyEndedError,
    CommandRefusedError,
    Meter,
    MeterError,
    UncertainError,
    UnknownChatError,
)

OK: Final = "ok"
REFUSED: Final = "refused"
GONE: Final = "gone"
"""Refused, because the chat has ended."""
LOST: Final = "lost"
"""Without a reply, in several attempts."""

ATTEMPTS_AGAIN: Final = 3
"""A command without a reply is sent again with its id, which asks what came of it."""

Report = Callable[[str, str, float, Exception | None], None]
"""Takes kind (command or read), name, milliseconds, and what went wrong."""


class Answer(NamedTuple):
    """What came of a command."""

    outcome: str
    reply: Any = None
    """As ``Meter`` gives it, if the outcome is ``ok``."""


class TimedClient:
    """Sends commands through the public client and reports each one."""

    def __init__(self, meter: Meter, report: Report) -> None:
        """``report`` hears of every command once, as of its first attempt."""
        self._meter = meter
        self._report = report

    def ask(self, type_: str, fields: dict[str, Any], planned_s: float | None = None) -> Answer:
        """Send a command, wait for its reply.

        Args:
            type_: as the contract calls it.
            fields: what the client's method takes.
            planned_s: the moment from which its latency counts, by the steady clock; None: now.
        """
        began_s = time.monotonic() if planned_s is None else planned_s
        asked, error = self._attempt(type_, fields)
        self._report("command", type_, (time.monotonic() - began_s) * 1000, error)
        for _ in range(ATTEMPTS_AGAIN):
            if not isinstance(error, UncertainError):
                break
            asked, error = self._attempt(type_, {**fields, "id": error.id})
        return asked

    def _attempt(self, type_: str, fields: dict[str, Any]) -> tuple[Answer, Exception | None]:
        try:
            # The client's methods and their arguments are called as the contract's commands are.
            return Answer(OK, getattr(self._meter, type_)(**fields)), None
        except (AlreadyEndedError, UnknownChatError) as error:
            return Answer(GONE), error
        except CommandRefusedError as error:
            return Answer(REFUSED), error
        except MeterError as error:
            return Answer(LOST if isinstance(error, UncertainError) else REFUSED), error
