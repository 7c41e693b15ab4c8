"""What actors and the supervisor raise, and how it is told."""

from typing import Final

SUMMARY_MAX: Final = 300
"""Characters of an error that are kept."""


class UnreadableStateError(Exception):
    """The stored state of an account can't be read: nothing can be decided for it."""


class ActorFencedError(Exception):
    """Another process has this actor's name: every write of this one is refused."""


class OutOfTurnError(Exception):
    """A batch before this one was lost or failed; handling this one would skip that one."""


class CommitError(Exception):
    """Redis cannot do what a commit asks for, now or later."""


class UndecidedError(Exception):
    """An account kept changing while the actor decided; the batch is to be tried again."""


class HungError(Exception):
    """A process exists and does not answer."""


class StartTimeoutError(Exception):
    """A process has not started within its limit."""


class ProcessEndedError(Exception):
    """A process is not there any more."""


_SENTENCES: Final = (HungError, StartTimeoutError, ProcessEndedError)
"""Errors whose message is complete: the name of the Python class adds nothing."""


def error_summary(error: BaseException) -> str:
    """What is known of an end, in one line of bounded length: for status, logs and dead letters."""
    lines = str(error).strip().splitlines() or [""]
    name = "" if isinstance(error, _SENTENCES) else f"{type(error).__name__}: "
    return f"{name}{lines[-1].strip()}"[:SUMMARY_MAX]
