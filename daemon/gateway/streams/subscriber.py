"""One reader of a stream: what waits for it, within bounds."""

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Final

from daemon.gateway.authorization import WHOLE, Caller
from daemon.gateway.streams.messages import Message, MovedChats, end
from daemon.gateway.streams.places import EventPlace, FeedPlace
from meterd import Event

SLOW: Final = "slow"
TOKEN_EXPIRED: Final = "token_expired"  # noqa: S105 - a reason
SHUTDOWN: Final = "shutdown"
LOST: Final = "lost"


class Subscriber:
    """A caller who follows a user, or chats."""

    def __init__(
        self,
        caller: Caller,
        user_id: str | None,
        chat_ids: Collection[str],
        messages_max: int,
        advisor_id: str | None = None,
    ) -> None:
        """Follow a user or an advisor, or these chats and, once known, their users' accounts."""
        self.caller = caller
        self.advisor_id = advisor_id
        """Whose chats are told of, whatever users they are of; None: not an advisor's stream."""
        self.chat_ids = frozenset(chat_ids)
        """Empty: all chats of the user, or of the advisor."""
        self.accounts = {} if user_id is None else {user_id: True}
        """By user, as soon as it is known whose the chats are: whether to tell of the account."""
        self.ended_at_s: float | None = None
        self.spoken_at_s = 0.0
        self.skip_to: FeedPlace | None = None
        """Messages up to here have been told, by the snapshot or before."""
        self._messages_max = messages_max
        self._waiting: deque[tuple[EventPlace | None, bytes]] = deque()
        self._wake = asyncio.Event()

    def offer(self, message: Message | MovedChats) -> bool:
        """Queue a message if this reader may and wants to see it; whether it does."""
        if self.ended_at_s is not None or not self._is_news(message.place):
            return False
        frame = self.frame(message)
        if frame is None:
            return False
        self._put(message.place, frame)
        return True

    def concerns(self, event: Event) -> bool:
        """Whether an event may change what this reader sees; whose a chat is, it does not say."""
        if self.advisor_id is not None:
            return event.chat_id is not None
        return event.user_id in self.accounts or event.chat_id in self.chat_ids

    def end(self, reason: str) -> None:
        """Say why, and nothing more. What waits is dropped: whoever comes back gets it then."""
        if self.ended_at_s is None:
            self._waiting.clear()
            self._waiting.append((None, end(reason)))
            self.ended_at_s = asyncio.get_running_loop().time()
            self._wake.set()

    def keep_alive(self, comment: bytes) -> None:
        """Say that nothing happens, to a reader that waits."""
        if self.ended_at_s is None and not self._waiting:
            self._put(None, comment)

    async def next(self) -> bytes:
        """All that waits, as soon as there is something; empty at the end."""
        while True:
            taken = [frame for place, frame in self._waiting if self._is_news(place)]
            self._waiting.clear()
            if taken or self.ended_at_s is not None:
                return b"".join(taken)
            self._wake.clear()
            await self._wake.wait()

    def _is_news(self, place: EventPlace | None) -> bool:
        """The snapshot may have been later than what waited for it."""
        return place is None or self.skip_to is None or not self.skip_to.has(place)

    def _put(self, place: EventPlace | None, frame: bytes) -> None:
        if len(self._waiting) >= self._messages_max:
            self.end(SLOW)
            return
        self._waiting.append((place, frame))
        self._wake.set()

    def frame(self, message: Message | MovedChats) -> bytes | None:
        """What this reader is told of a message; None if nothing."""
        if isinstance(message, MovedChats):
            return self._moved(message)
        event = message.event
        if self.advisor_id is not None:
            return self._of_advisor(message)
        if not self.chat_ids:
            return message.frame(with_chat=True, with_wallet=True)
        is_mine = event.chat_id in self.chat_ids
        view = self._view(message) if is_mine else WHOLE
        if view is None or not (is_mine or self.accounts.get(event.user_id)):
            return None
        return message.frame(with_chat=is_mine, with_wallet=view == WHOLE)

    def _of_advisor(self, message: Message) -> bytes | None:
        if message.advisor_id != self.advisor_id:
            return None
        return message.frame(with_chat=True, with_wallet=self._view(message) == WHOLE)

    def _moved(self, message: MovedChats) -> bytes | None:
        if self.advisor_id is not None:
            chats = message.chats.values()
            return b"".join(c.frame for c in chats if c.advisor_id == self.advisor_id) or None
        if not self.chat_ids:
            return b"".join(chat.frame for chat in message.chats.values())
        seen = [
            chat.frame
            for chat_id, chat in message.chats.items()
            if chat_id in self.chat_ids
            and self.caller.view(message.user_id, chat.advisor_id) is not None
        ]
        return b"".join(seen) or None

    def _view(self, message: Message) -> str | None:
        return self.caller.view(message.event.user_id, message.advisor_id)
