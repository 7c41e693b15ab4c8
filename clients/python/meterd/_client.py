"""What ``Meter`` and ``AsyncMeter`` share: commands with and without replies, and snapshots.

Each method exists once, and runs a coroutine of the core; how, the two drivers say.
"""

from abc import abstractmethod
from collections.abc import Coroutine, Mapping
from typing import Any, Generic, TypeVar

from meterd._commands import ChatResultT, Commands, Sending, WalletResultT
from meterd._core import Core

SentT = TypeVar("SentT")
ChatT = TypeVar("ChatT")
WalletT = TypeVar("WalletT")


class Client(
    Commands[ChatResultT, WalletResultT],
    Generic[ChatResultT, WalletResultT, SentT, ChatT, WalletT],
):
    """Commands that are waited for, commands that are not, and snapshots."""

    @property
    def enqueue(self) -> Commands[SentT, SentT]:
        """The same commands without waiting for replies.

        Each method returns ``Sent``, the command's id and its place in the queue, as soon as Redis
        has confirmed it. What the daemon makes of it is seen in the events and the journal only.
        """
        return _Enqueue(self)

    def snapshot(self, chat_id: str) -> ChatT:
        """The chat as it is, or was; ``not_started`` if it never was.

        A day after its end a chat leaves Redis. A client with a ``postgres_url`` then reads its
        record; **a client without answers** ``not_started`` **as if it had never been.**

        Raises:
            UnavailableError: Redis or Postgres did not answer.
            ClosedError: the client was closed.
        """
        chat: ChatT = self._run(self._core.chat(chat_id))
        return chat

    def wallet(self, user_id: str) -> WalletT:
        """The account as of its last change; zeros if it never had a credit.

        Raises:
            UnavailableError: Redis did not answer.
            ClosedError: the client was closed.
        """
        wallet: WalletT = self._run(self._core.wallet(user_id))
        return wallet

    def _send(self, fields: Mapping[str, object], sending: Sending) -> Any:
        return self._run(self._core.command(fields, **sending))

    @property
    @abstractmethod
    def _core(self) -> Core:
        """The core that the driver made."""

    @abstractmethod
    def _run(self, steps: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine of the core in the driver's way."""


class _Enqueue(Commands[SentT, SentT]):
    """The commands of a client that waits for no reply."""

    def __init__(self, client: Client[Any, Any, SentT, Any, Any]) -> None:
        self._client = client

    def _send(self, fields: Mapping[str, object], sending: Sending) -> Any:
        client = self._client
        return client._run(client._core.enqueue(fields, **sending))
