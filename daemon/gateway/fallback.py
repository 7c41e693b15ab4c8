"""Where the gateway looks for a chat that meterd has no record of."""

from typing import Protocol

from meterd.rules.model import Chat


class ChatFallback(Protocol):
    """Another source of chats, asked last."""

    async def chat(self, chat_id: str) -> Chat | None:
        """Return the chat; None if this source does not know it. Raises ProblemError."""

    async def probe(self) -> None:
        """Ask for any chat at the start, and log what readers would be refused with."""

    def close(self) -> None:
        """Close the source's connections."""
