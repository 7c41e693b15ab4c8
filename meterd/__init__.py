"""What a backend imports: send commands to meterd, read snapshots and events.

``Meter`` is for threads, ``AsyncMeter`` for asyncio; both have the same methods.
``docs/clients.md`` tells the whole story.
"""

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
)
from meterd._fields import Amount
from meterd._results import ChatSnapshot, Event, Reply, Sent, Snapshot, WalletSnapshot
from meterd._threads import Events, Meter
from persistence.legacy.names import LegacyNames

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
    "LegacyNames",
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
]
