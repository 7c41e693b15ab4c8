"""What can go wrong, by what the caller can do about it."""

from typing import Final

from meterd._results import Reply, Snapshot
from meterd.rules import outcomes


class MeterError(Exception):
    """Everything that this package raises, except for arguments of a wrong type or form."""


class ClosedError(MeterError):
    """The client was closed before; make a new one."""


class UnavailableError(MeterError):
    """Redis or Postgres didn't answer, in several attempts. Nothing was asked to change."""


class BusyError(MeterError, TimeoutError):
    """``in_flight_max`` commands were waiting for replies all the time; nothing was sent."""


class EventsLostError(MeterError):
    """The events stream no longer holds everything after ``after``, so some may be missing.

    Read the snapshots of the chats you follow, then go on with ``events(after="0")``.
    """

    def __init__(self, after: str) -> None:
        """``after`` is the last event that was read."""
        super().__init__(
            f"events after {after} have left the stream: read the snapshots of what you follow, "
            'then go on with events(after="0")'
        )
        self.after = after


class UncertainError(MeterError):
    """The command may take effect, now or later. Send it again with ``id=error.id`` to find out.

    The same id with the same content has one effect, however often it is sent.
    """

    def __init__(self, message: str, id: str) -> None:  # noqa: A002 - the contract's name
        """``id`` is the command's."""
        super().__init__(message)
        self.id = id


class NotConfirmedError(UncertainError):
    """Redis did not confirm that the command is in the queue; it may be there."""


class NoReplyError(UncertainError, TimeoutError):
    """The command is in the queue as ``entry``, but no reply came in time.

    It stays there and takes effect as of the millisecond in ``entry`` when the daemon gets to it.
    """

    def __init__(self, id: str, entry: str, timeout_s: float) -> None:  # noqa: A002 - as above
        """``entry`` is the command's place in the queue."""
        super().__init__(
            f"no reply to command {id} within {timeout_s:g} s; it is in the queue as {entry} and "
            "may still take effect: to learn what came of it, send it again with the same id",
            id,
        )
        self.entry = entry


class CommandRefusedError(MeterError):
    """The command had no effect; ``outcome`` says why in the contract's words."""

    outcome: str = ""

    def __init__(self, message: str, id: str, reply: Reply[Snapshot] | None = None) -> None:  # noqa: A002 - as above
        """``reply`` is None where the client itself refused."""
        super().__init__(message)
        self.id = id
        self.reply = reply


class InvalidCommandError(CommandRefusedError, ValueError):
    """A field is missing, unknown or of a wrong form. Raised before sending where possible."""

    outcome: str = outcomes.INVALID_COMMAND


class IdConflictError(CommandRefusedError):
    """The id was used before with other content."""

    outcome: str = outcomes.ID_CONFLICT


class UnknownChatError(CommandRefusedError):
    """No start has been accepted for this chat."""

    outcome: str = outcomes.UNKNOWN_CHAT


class UserMismatchError(CommandRefusedError):
    """The chat belongs to another user."""

    outcome: str = outcomes.USER_MISMATCH


class AlreadyStartedError(CommandRefusedError):
    """The chat was started before."""

    outcome: str = outcomes.ALREADY_STARTED


class AlreadyEndedError(CommandRefusedError):
    """The chat has ended."""

    outcome: str = outcomes.ALREADY_ENDED


class NotRunningError(CommandRefusedError):
    """``pause`` wants a running chat."""

    outcome: str = outcomes.NOT_RUNNING


class NotPausedError(CommandRefusedError):
    """``resume`` wants a paused or suspended chat."""

    outcome: str = outcomes.NOT_PAUSED


class NotEndedError(CommandRefusedError):
    """``refund`` wants an ended chat."""

    outcome: str = outcomes.NOT_ENDED


class InsufficientCreditsError(CommandRefusedError):
    """The account can't pay for it: for the next millisecond, or for what an ``adjust`` takes."""

    outcome: str = outcomes.INSUFFICIENT_CREDITS


class ExceedsCostError(CommandRefusedError):
    """A refund of more than was paid."""

    outcome: str = outcomes.EXCEEDS_COST


class AtCapacityError(CommandRefusedError):
    """The operator's limit on open chats, in all or of this user, is reached.

    Try later, with a new id.
    """

    outcome: str = outcomes.AT_CAPACITY


class WrongPartitionError(CommandRefusedError):
    """The user's account is in another partition; the message names it."""

    outcome: str = outcomes.WRONG_PARTITION


class InternalError(CommandRefusedError):
    """The daemon failed on this entry again and again and set it aside."""

    outcome: str = outcomes.INTERNAL_ERROR


REFUSALS: Final[dict[str, type[CommandRefusedError]]] = {
    refusal.outcome: refusal for refusal in CommandRefusedError.__subclasses__() if refusal.outcome
}
"""The error of each outcome."""


def refusal(reply: Reply[Snapshot]) -> CommandRefusedError:
    """The error that a reply with an outcome other than ``ok`` stands for."""
    kind = REFUSALS.get(reply.outcome, CommandRefusedError)
    error = kind(f"{reply.outcome}: {reply.message}", reply.id, reply)
    error.outcome = reply.outcome
    return error
