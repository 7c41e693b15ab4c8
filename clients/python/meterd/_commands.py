"""The methods that ``Meter`` and ``AsyncMeter`` share: one for each command of the contract.

Each exists once. What differs is what comes back: the result itself for threads, an awaitable of
it for asyncio. That is what the type parameters say.
"""

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from typing import Any, Generic, Literal, Required, TypedDict, TypeVar, Unpack, overload

from meterd._core import Core
from meterd._fields import Amount

ChatReplyT = TypeVar("ChatReplyT")
WalletReplyT = TypeVar("WalletReplyT")
SentT = TypeVar("SentT")
ChatT = TypeVar("ChatT")
WalletT = TypeVar("WalletT")


class Sending(TypedDict, total=False):
    """How a command is sent; every command takes these."""

    id: str | None
    """The idempotency key; made by the client if you give none. Give the same to try again."""
    wait: bool
    """Wait for the reply (the default), or only until the command is in the queue."""
    timeout_s: float
    """How long to wait, 10 by default."""


class Asking(TypedDict, total=False):
    """``Sending`` and waiting for the reply."""

    id: str | None
    wait: Literal[True]
    timeout_s: float


class Telling(TypedDict, total=False):
    """``Sending`` and not waiting for the reply."""

    id: str | None
    wait: Required[Literal[False]]
    timeout_s: float


class Commands(ABC, Generic[ChatReplyT, WalletReplyT, SentT, ChatT, WalletT]):
    """Commands and snapshots.

    Credits are ``str``, ``Decimal`` or ``int``, never ``float``; times are milliseconds. A command
    that is refused raises ``CommandRefusedError``; one whose fate is not known, ``UncertainError``,
    whose ``id`` makes it safe to send the command again.
    """

    @overload
    def start(
        self,
        chat_id: str,
        user_id: str,
        advisor_id: str,
        *,
        rate: Amount | None = None,
        free_ms: int | None = None,
        min_ms: int | None = None,
        increment_ms: int | None = None,
        idle_ms: int | None = None,
        **sending: Unpack[Asking],
    ) -> ChatReplyT: ...
    @overload
    def start(
        self,
        chat_id: str,
        user_id: str,
        advisor_id: str,
        *,
        rate: Amount | None = None,
        free_ms: int | None = None,
        min_ms: int | None = None,
        increment_ms: int | None = None,
        idle_ms: int | None = None,
        **sending: Unpack[Telling],
    ) -> SentT: ...
    def start(  # noqa: PLR0913 - the contract's fields
        self,
        chat_id: str,
        user_id: str,
        advisor_id: str,
        *,
        rate: Amount | None = None,
        free_ms: int | None = None,
        min_ms: int | None = None,
        increment_ms: int | None = None,
        idle_ms: int | None = None,
        **sending: Unpack[Sending],
    ) -> ChatReplyT | SentT:
        """Open a chat, running. What is not given of its tariff is as configured."""
        return self._chat_command(
            {
                "type": "start",
                "chat_id": chat_id,
                "user_id": user_id,
                "advisor_id": advisor_id,
                "rate": rate,
                "free_ms": free_ms,
                "min_ms": min_ms,
                "increment_ms": increment_ms,
                "idle_ms": idle_ms,
            },
            **sending,
        )

    @overload
    def adopt(
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
        min_ms: int | None = None,
        increment_ms: int | None = None,
        idle_ms: int | None = None,
        **sending: Unpack[Asking],
    ) -> ChatReplyT: ...
    @overload
    def adopt(
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
        min_ms: int | None = None,
        increment_ms: int | None = None,
        idle_ms: int | None = None,
        **sending: Unpack[Telling],
    ) -> SentT: ...
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
        min_ms: int | None = None,
        increment_ms: int | None = None,
        idle_ms: int | None = None,
        **sending: Unpack[Sending],
    ) -> ChatReplyT | SentT:
        """Open a chat that ran in another system until now: ``carried_ms`` active and paid."""
        return self._chat_command(
            {
                "type": "adopt",
                "chat_id": chat_id,
                "user_id": user_id,
                "advisor_id": advisor_id,
                "started_at": started_at,
                "carried_ms": carried_ms,
                "carried_cost": carried_cost,
                "rate": rate,
                "free_ms": free_ms,
                "min_ms": min_ms,
                "increment_ms": increment_ms,
                "idle_ms": idle_ms,
            },
            **sending,
        )

    @overload
    def pause(
        self, chat_id: str, *, user_id: str | None = None, **sending: Unpack[Asking]
    ) -> ChatReplyT: ...
    @overload
    def pause(
        self, chat_id: str, *, user_id: str | None = None, **sending: Unpack[Telling]
    ) -> SentT: ...
    def pause(
        self, chat_id: str, *, user_id: str | None = None, **sending: Unpack[Sending]
    ) -> ChatReplyT | SentT:
        """Stop the timer of a running chat."""
        return self._chat_command(
            {"type": "pause", "chat_id": chat_id, "user_id": user_id}, **sending
        )

    @overload
    def resume(
        self, chat_id: str, *, user_id: str | None = None, **sending: Unpack[Asking]
    ) -> ChatReplyT: ...
    @overload
    def resume(
        self, chat_id: str, *, user_id: str | None = None, **sending: Unpack[Telling]
    ) -> SentT: ...
    def resume(
        self, chat_id: str, *, user_id: str | None = None, **sending: Unpack[Sending]
    ) -> ChatReplyT | SentT:
        """Run the timer of a paused or suspended chat again."""
        return self._chat_command(
            {"type": "resume", "chat_id": chat_id, "user_id": user_id}, **sending
        )

    @overload
    def heartbeat(
        self, chat_id: str, *, user_id: str | None = None, **sending: Unpack[Asking]
    ) -> ChatReplyT: ...
    @overload
    def heartbeat(
        self, chat_id: str, *, user_id: str | None = None, **sending: Unpack[Telling]
    ) -> SentT: ...
    def heartbeat(
        self, chat_id: str, *, user_id: str | None = None, **sending: Unpack[Sending]
    ) -> ChatReplyT | SentT:
        """The user is still there; resumes a chat that was paused as idle."""
        return self._chat_command(
            {"type": "heartbeat", "chat_id": chat_id, "user_id": user_id}, **sending
        )

    @overload
    def set_rate(
        self, chat_id: str, rate: Amount, *, user_id: str | None = None, **sending: Unpack[Asking]
    ) -> ChatReplyT: ...
    @overload
    def set_rate(
        self, chat_id: str, rate: Amount, *, user_id: str | None = None, **sending: Unpack[Telling]
    ) -> SentT: ...
    def set_rate(
        self, chat_id: str, rate: Amount, *, user_id: str | None = None, **sending: Unpack[Sending]
    ) -> ChatReplyT | SentT:
        """Credits a minute from now on."""
        return self._chat_command(
            {"type": "set_rate", "chat_id": chat_id, "rate": rate, "user_id": user_id}, **sending
        )

    @overload
    def end(
        self,
        chat_id: str,
        reason: str | None = None,
        *,
        user_id: str | None = None,
        **sending: Unpack[Asking],
    ) -> ChatReplyT: ...
    @overload
    def end(
        self,
        chat_id: str,
        reason: str | None = None,
        *,
        user_id: str | None = None,
        **sending: Unpack[Telling],
    ) -> SentT: ...
    def end(
        self,
        chat_id: str,
        reason: str | None = None,
        *,
        user_id: str | None = None,
        **sending: Unpack[Sending],
    ) -> ChatReplyT | SentT:
        """Close the chat's record, for ever."""
        return self._chat_command(
            {"type": "end", "chat_id": chat_id, "reason": reason, "user_id": user_id}, **sending
        )

    @overload
    def top_up(self, user_id: str, amount: Amount, **sending: Unpack[Asking]) -> WalletReplyT: ...
    @overload
    def top_up(self, user_id: str, amount: Amount, **sending: Unpack[Telling]) -> SentT: ...
    def top_up(
        self, user_id: str, amount: Amount, **sending: Unpack[Sending]
    ) -> WalletReplyT | SentT:
        """Add credits to an account; resumes its suspended chats."""
        return self._wallet_command(
            {"type": "top_up", "user_id": user_id, "amount": amount}, **sending
        )

    @overload
    def refund(
        self,
        chat_id: str,
        amount: Amount,
        reason: str | None = None,
        *,
        user_id: str | None = None,
        **sending: Unpack[Asking],
    ) -> ChatReplyT: ...
    @overload
    def refund(
        self,
        chat_id: str,
        amount: Amount,
        reason: str | None = None,
        *,
        user_id: str | None = None,
        **sending: Unpack[Telling],
    ) -> SentT: ...
    def refund(
        self,
        chat_id: str,
        amount: Amount,
        reason: str | None = None,
        *,
        user_id: str | None = None,
        **sending: Unpack[Sending],
    ) -> ChatReplyT | SentT:
        """Give credits of an ended chat back, at most its cost in all."""
        return self._chat_command(
            {
                "type": "refund",
                "chat_id": chat_id,
                "amount": amount,
                "reason": reason,
                "user_id": user_id,
            },
            **sending,
        )

    def command(
        self, fields: Mapping[str, object], **sending: Unpack[Sending]
    ) -> ChatReplyT | WalletReplyT | SentT:
        """Send a command whose type stands in ``fields``, next to the others: for who passes on.

        Whoever knows what to send is better served by the method of that name.
        """
        result: ChatReplyT | WalletReplyT | SentT = self._run(self._core.command(fields, **sending))
        return result

    def snapshot(self, chat_id: str) -> ChatT:
        """The chat as it is, or was; ``not_started`` if it never was.

        A day after its end a chat leaves Redis. A client with a ``postgres_url`` then reads its
        record; **a client without answers** ``not_started`` **as if it had never been.**
        """
        chat: ChatT = self._run(self._core.chat(chat_id))
        return chat

    def wallet(self, user_id: str) -> WalletT:
        """The account as of its last change; zeros if it never had a credit."""
        wallet: WalletT = self._run(self._core.wallet(user_id))
        return wallet

    def _chat_command(
        self, fields: Mapping[str, object], **sending: Unpack[Sending]
    ) -> ChatReplyT | SentT:
        result: ChatReplyT | SentT = self._run(self._core.command(fields, **sending))
        return result

    def _wallet_command(
        self, fields: Mapping[str, object], **sending: Unpack[Sending]
    ) -> WalletReplyT | SentT:
        result: WalletReplyT | SentT = self._run(self._core.command(fields, **sending))
        return result

    @property
    @abstractmethod
    def _core(self) -> Core:
        """The core that the driver made."""

    @abstractmethod
    def _run(self, steps: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine of the core in the driver's way."""
