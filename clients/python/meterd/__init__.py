"""The client of meterd: send commands, read snapshots and events.

``Meter`` is for threads, ``AsyncMeter`` for asyncio; both have the same methods.
``docs/clients.md`` describes them. ``meterd.rules`` is the contract as code.

Names are loaded when first used: whoever imports ``meterd.rules`` needs the standard library only.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meterd._aio import AsyncEvents, AsyncMeter
    from meterd._commands import Sending
    from meterd._errors import (
        AlreadyEndedError,
        AlreadyStartedError,
        AtCapacityError,
        BusyError,
        ClosedError,
        CommandRefusedError,
        EventsLostError,
        ExceedsCostError,
        IdConflictError,
        InsufficientCreditsError,
        InternalError,
        InvalidCommandError,
        MeterError,
        NoReplyError,
        NotConfirmedError,
        NotEndedError,
        NotPausedError,
        NotRunningError,
        UnavailableError,
        UncertainError,
        UnknownChatError,
        UserMismatchError,
        WrongPartitionError,
    )
    from meterd._fields import Amount
    from meterd._results import ChatSnapshot, Event, Reply, Sent, Snapshot, WalletSnapshot
    from meterd._threads import Events, Meter

__all__ = [
    "AlreadyEndedError",
    "AlreadyStartedError",
    "Amount",
    "AsyncEvents",
    "AsyncMeter",
    "AtCapacityError",
    "BusyError",
    "ChatSnapshot",
    "ClosedError",
    "CommandRefusedError",
    "Event",
    "Events",
    "EventsLostError",
    "ExceedsCostError",
    "IdConflictError",
    "InsufficientCreditsError",
    "InternalError",
    "InvalidCommandError",
    "Meter",
    "MeterError",
    "NoReplyError",
    "NotConfirmedError",
    "NotEndedError",
    "NotPausedError",
    "NotRunningError",
    "Reply",
    "Sending",
    "Sent",
    "Snapshot",
    "UnavailableError",
    "UncertainError",
    "UnknownChatError",
    "UserMismatchError",
    "WalletSnapshot",
    "WrongPartitionError",
]

_MODULES = ("_fields", "_results", "_errors", "_commands", "_threads", "_aio")
"""Where the names are; those that need least come first."""


def __getattr__(name: str) -> object:
    """Load a public name; see PEP 562."""
    for module in _MODULES if name in __all__ else ():
        found: object = getattr(import_module(f"meterd.{module}"), name, None)
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
