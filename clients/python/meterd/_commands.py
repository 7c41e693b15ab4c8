"""The commands that ``Meter`` and ``AsyncMeter`` share: a method for each one of the contract.

Each method exists once. Only what it returns differs: the result itself for threads, an awaitable
of it for asyncio; a reply if the caller waits for one, else the command's place in the queue. The
type parameters name these results.
"""

import difflib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypedDict, TypeVar, Unpack

from meterd._fields import Amount
from meterd.rules.model import FreeScope, IncrementDue

ChatResultT = TypeVar("ChatResultT")
WalletResultT = TypeVar("WalletResultT")


class Sending(TypedDict, total=False):
    """How a command is sent; every command takes these."""

    id: str | None
    """The idempotency key; made by the client if you give none. Give the same to try again."""
    timeout_s: float
    """How long the call may take in seconds, 10 by default."""


class Commands(ABC, Generic[ChatResultT, WalletResultT]):
    """A method for each command.

    Every method takes ``id`` and ``timeout_s``, see ``Sending``. Those about a chat take
    ``user_id``: the daemon then refuses the chat of another user. Credits are ``str``, ``Decimal``
    or ``int``; names that end in ``_ms`` are integer milliseconds; ``started_at`` is in
    milliseconds since 1970.

    Raises:
        TypeError: a value of a wrong type, such as a float for credits. Nothing was sent.
        InvalidCommandError: a value that the daemon would refuse. Nothing was sent.
        CommandRefusedError: the command had no effect. Its subclass tells why; each method names
            its own. Any may raise ``IdConflictError`` and ``InternalError``. Not raised by
            ``enqueue``, which waits for no reply.
        UncertainError: it is not known whether the command takes effect. Send it again with
            ``id=error.id``.
        BusyError: too many commands were waiting for replies. Nothing was sent.
        ClosedError: the client was closed. Nothing was sent.
    """

    def start(  # noqa: PLR0913 - the contract's fields
        self,
        chat_id: str,
        user_id: str,
        advisor_id: str,
        *,
        rate: Amount | None = None,
        free_ms: int | None = None,
        free_scope: FreeScope | None = None,
        min_ms: int | None = None,
        increment_ms: int | None = None,
        increment_due: IncrementDue | None = None,
        idle_ms: int | None = None,
        abandon_ms: int | None = None,
        max_ms: int | None = None,
        **sending: Unpack[Sending],
    ) -> ChatResultT:
        """Open a chat, running. What is not given of its tariff is as configured.

        Args:
            chat_id: the new chat; an id is used once.
            user_id: who pays.
            advisor_id: who is paid.
            rate: credits a minute.
            free_ms: active time that costs nothing.
            free_scope: whether ``free_ms`` is this chat's (``chat``), or one allowance for all of
                the user's chats with this ``advisor``, or for all of the ``user``.
            min_ms: the least that is billed of what comes after the free time.
            increment_ms: time is billed in whole increments of this length; 1 is exact.
            increment_due: an increment is owed as soon as it begins (``begin``), or once it is
                complete (``end``).
            idle_ms: the chat pauses after this time without a sign of life; 0: never.
            abandon_ms: the chat ends after this time without a sign of life; 0: never.
            max_ms: the chat ends when it has been active for so long; 0: never.
            sending: see ``Sending``.

        Raises:
            AlreadyStartedError, AlreadyEndedError, UserMismatchError: the chat exists.
            InsufficientCreditsError: the account can't pay for the first millisecond.
            AtCapacityError: the operator's limit on open chats is reached, in all or of this
                account.
        """
        return self._chat_command(
            {
                "type": "start",
                "chat_id": chat_id,
                "user_id": user_id,
                "advisor_id": advisor_id,
                "rate": rate,
                "free_ms": free_ms,
                "free_scope": free_scope,
                "min_ms": min_ms,
                "increment_ms": increment_ms,
                "increment_due": increment_due,
                "idle_ms": idle_ms,
                "abandon_ms": abandon_ms,
                "max_ms": max_ms,
            },
            sending,
        )

    def adopt(  # noqa: PLR0913 - the contract's fields
        self,
        chat_id: str,
        user_id: str,
        advisor_id: str,
        *,
        started_at: int,
        carried_ms: int,
        carried_cost: Amount,
        rate: Amount | None = None,
        free_ms: int | None = None,
        free_scope: FreeScope | None = None,
        min_ms: int | None = None,
        increment_ms: int | None = None,
        increment_due: IncrementDue | None = None,
        idle_ms: int | None = None,
        abandon_ms: int | None = None,
        max_ms: int | None = None,
        carried_free_ms: int | None = None,
        **sending: Unpack[Sending],
    ) -> ChatResultT:
        """Open a chat that ran in another system until now.

        Args:
            chat_id: the chat, as for ``start``.
            user_id: who pays.
            advisor_id: who is paid.
            started_at: when the chat began there, in milliseconds since 1970.
            carried_ms: the time for which it was active there.
            carried_cost: the credits that were paid there.
            rate: credits a minute.
            free_ms: as for ``start``, and likewise below.
            free_scope: which chats share the free time.
            min_ms: the least that is billed.
            increment_ms: the length of an increment.
            increment_due: when an increment is owed.
            idle_ms: pause after this time without a sign of life.
            abandon_ms: end after this time without a sign of life.
            max_ms: end after being active for so long.
            carried_free_ms: how much of ``carried_ms`` was free; if not given, the lesser of
                ``carried_ms`` and ``free_ms``.
            sending: see ``Sending``.

        Raises:
            AlreadyStartedError, AlreadyEndedError, UserMismatchError: the chat exists here.
            InsufficientCreditsError: the account can't pay for the first millisecond here.
            AtCapacityError: the operator's limit on open chats is reached, in all or of this
                account.
        """
        return self._chat_command(
            {
                "type": "adopt",
                "chat_id": chat_id,
                "user_id": user_id,
                "advisor_id": advisor_id,
                "started_at": started_at,
                "carried_ms": carried_ms,
                "carried_cost": carried_cost,
                "carried_free_ms": carried_free_ms,
                "rate": rate,
                "free_ms": free_ms,
                "free_scope": free_scope,
                "min_ms": min_ms,
                "increment_ms": increment_ms,
                "increment_due": increment_due,
                "idle_ms": idle_ms,
                "abandon_ms": abandon_ms,
                "max_ms": max_ms,
            },
            sending,
        )

    def pause(
        self, chat_id: str, *, user_id: str | None = None, **sending: Unpack[Sending]
    ) -> ChatResultT:
        """Stop the timer of a running chat.

        Raises:
            UnknownChatError, AlreadyEndedError, UserMismatchError: there is no such open chat.
            NotRunningError: it is paused or suspended.
        """
        return self._chat_command(
            {"type": "pause", "chat_id": chat_id, "user_id": user_id}, sending
        )

    def resume(
        self, chat_id: str, *, user_id: str | None = None, **sending: Unpack[Sending]
    ) -> ChatResultT:
        """Run the timer of a paused or suspended chat again.

        Raises:
            UnknownChatError, AlreadyEndedError, UserMismatchError: there is no such open chat.
            NotPausedError: it runs.
            InsufficientCreditsError: the account can't pay for the next millisecond.
        """
        return self._chat_command(
            {"type": "resume", "chat_id": chat_id, "user_id": user_id}, sending
        )

    def heartbeat(
        self, chat_id: str, *, user_id: str | None = None, **sending: Unpack[Sending]
    ) -> ChatResultT:
        """Tell that the user is still there; resumes a chat that was paused as idle.

        Raises:
            UnknownChatError, AlreadyEndedError, UserMismatchError: there is no such open chat.
            InsufficientCreditsError: it was idle, and the account can't pay for it.
        """
        return self._chat_command(
            {"type": "heartbeat", "chat_id": chat_id, "user_id": user_id}, sending
        )

    def set_rate(
        self, chat_id: str, rate: Amount, *, user_id: str | None = None, **sending: Unpack[Sending]
    ) -> ChatResultT:
        """Bill ``rate`` credits a minute from now on.

        Raises:
            UnknownChatError, AlreadyEndedError, UserMismatchError: there is no such open chat.
            InsufficientCreditsError: the account can't pay the new rate; the old one stays.
        """
        return self._chat_command(
            {"type": "set_rate", "chat_id": chat_id, "rate": rate, "user_id": user_id}, sending
        )

    def end(
        self,
        chat_id: str,
        reason: str | None = None,
        *,
        user_id: str | None = None,
        **sending: Unpack[Sending],
    ) -> ChatResultT:
        """Close the chat's record, for ever.

        Args:
            chat_id: an open chat.
            reason: stays in the record; ``ended`` if you give none.
            user_id: the chat's user, to be sure.
            sending: see ``Sending``.

        Raises:
            UnknownChatError, AlreadyEndedError, UserMismatchError: there is no such open chat.
        """
        return self._chat_command(
            {"type": "end", "chat_id": chat_id, "reason": reason, "user_id": user_id}, sending
        )

    def top_up(self, user_id: str, amount: Amount, **sending: Unpack[Sending]) -> WalletResultT:
        """Add ``amount`` credits to an account; resumes its suspended chats.

        Use an ``id`` made of the payment's: then a repeated call adds nothing, for 30 days.
        """
        return self._wallet_command(
            {"type": "top_up", "user_id": user_id, "amount": amount}, sending
        )

    def refund(
        self,
        chat_id: str,
        amount: Amount,
        reason: str | None = None,
        *,
        user_id: str | None = None,
        **sending: Unpack[Sending],
    ) -> ChatResultT:
        """Give credits of an ended chat back.

        Args:
            chat_id: an ended chat.
            amount: credits; all refunds of a chat together are at most its cost.
            reason: stays in the journal.
            user_id: the chat's user, to be sure.
            sending: see ``Sending``.

        Raises:
            UnknownChatError, UserMismatchError: there is no such chat.
            NotEndedError: it is still open.
            ExceedsCostError: more than was paid.
        """
        return self._chat_command(
            {
                "type": "refund",
                "chat_id": chat_id,
                "amount": amount,
                "reason": reason,
                "user_id": user_id,
            },
            sending,
        )

    def adjust(
        self,
        user_id: str,
        amount: Amount,
        reason: str | None = None,
        *,
        partial: bool | None = None,
        **sending: Unpack[Sending],
    ) -> WalletResultT:
        """Correct an account by hand: a chargeback, a typo, goodwill.

        Args:
            user_id: whose account.
            amount: credits, more than 0 to give, less than 0 to take. Giving resumes suspended
                chats; chats that can't be paid any more stop.
            reason: stays in the journal.
            partial: take what is there, if that is less than ``amount``.
            sending: see ``Sending``; use an ``id`` of the correction's, as for ``top_up``.

        Raises:
            InsufficientCreditsError: less is there than is to be taken, and not ``partial``.
        """
        return self._wallet_command(
            {
                "type": "adjust",
                "user_id": user_id,
                "amount": amount,
                "reason": reason,
                "partial": partial,
            },
            sending,
        )

    def command(
        self, fields: Mapping[str, object], **sending: Unpack[Sending]
    ) -> ChatResultT | WalletResultT:
        """Send a command of which ``fields`` has the ``type``: for programs that pass commands on.

        Use the method of the command's name where the type is known.
        """
        _check_arguments("command", sending)
        result: ChatResultT | WalletResultT = self._send(fields, sending)
        return result

    def _chat_command(self, fields: Mapping[str, object], sending: Sending) -> ChatResultT:
        _check_arguments(str(fields["type"]), sending)
        result: ChatResultT = self._send(fields, sending)
        return result

    def _wallet_command(self, fields: Mapping[str, object], sending: Sending) -> WalletResultT:
        _check_arguments(str(fields["type"]), sending)
        result: WalletResultT = self._send(fields, sending)
        return result

    @abstractmethod
    def _send(self, fields: Mapping[str, object], sending: Sending) -> Any:
        """Send a command, in this object's way."""


def _check_arguments(method: str, sending: Mapping[str, object]) -> None:
    """Refuse a misspelt argument. Raises TypeError: with the method and the nearest argument."""
    options = Sending.__annotations__
    wrong = next((name for name in sending if name not in options), None)
    if wrong is None:
        return
    parameters = inspect.signature(getattr(Commands, method)).parameters
    known = [*(name for name in parameters if name not in ("self", "sending")), *options]
    near = difflib.get_close_matches(wrong, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known)}"
    raise TypeError(f"{method}() got an unexpected argument {wrong!r}; {hint}")
