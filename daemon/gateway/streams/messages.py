"""What a stream says: events with the chat and the wallet as they are now. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fastapi.sse import format_sse_event

from daemon.gateway.streams.places import EventPlace, place_of
from daemon.gateway.views import owner_of, pack, readable_account, record_snapshot, wallet_of
from meterd import Event
from meterd.rules.free_time import shares
from meterd.rules.model import RUNNING, Account, Chat

KEEP_ALIVE: Final = b":\n\n"
CHAT_SNAPSHOT: Final = "chat.snapshot"
"""What a chat's new snapshot is called that comes without an event of the chat's own."""


class Message(NamedTuple):
    """An event and what it is about, ready to be put together for whoever may see what."""

    place: EventPlace
    event: Event
    advisor_id: str | None
    """Of the chat, if the event is about one."""
    head: bytes
    chat: bytes
    wallet: bytes

    @property
    def user_id(self) -> str:
        """Whose account it is about."""
        return self.event.user_id

    def frame(self, with_chat: bool, with_wallet: bool) -> bytes:
        """As a server-sent event."""
        chat = self.chat if with_chat else b"null"
        wallet = self.wallet if with_wallet else b"null"
        data = b'%s,"chat":%s,"wallet":%s}' % (self.head, chat, wallet)
        return sse(self.event.event, data, self.event.id)


class MovedChat(NamedTuple):
    """A chat's new snapshot as a server-sent event."""

    advisor_id: str
    frame: bytes


class MovedChats(NamedTuple):
    """A user's chats whose shared free time has moved because another chat has changed.

    Their events have no id: whoever comes back in between gets them again with the event that
    moved them, which is told after them.
    """

    place: EventPlace
    """Of the last event that may have moved them."""
    user_id: str
    chats: Mapping[str, MovedChat]


class StoredWallet(NamedTuple):
    """A user's wallet and account as Redis has them."""

    wallet: bytes | None
    account: bytes | None


def messages_of(
    now_ms: int,
    partitions: int,
    events: Sequence[Event],
    chats: Mapping[str, bytes | None],
    wallets: Mapping[str, StoredWallet],
) -> list[Message | MovedChats]:
    """What is to be told of events, in this order.

    Args:
        now_ms: the queue's clock.
        partitions: how many there are.
        events: in their order.
        chats: the snapshots of the chats that they are about, by chat_id.
        wallets: what belongs to their users, by user_id.
    """
    accounts = {name: readable_account(each.account, name) for name, each in wallets.items()}
    packed = {name: wallet_of(each.wallet, accounts[name], name) for name, each in wallets.items()}
    by_user: dict[str, list[Event]] = {}
    for event in events:
        by_user.setdefault(event.user_id, []).append(event)
    moved = [
        found
        for name, of_user in by_user.items()
        if (account := accounts[name]) is not None
        and (found := _moved_chats(now_ms, place_of(of_user[-1], partitions), of_user, account))
    ]
    told = [
        _message(
            now_ms,
            place_of(event, partitions),
            event,
            chats.get(event.chat_id or ""),
            packed[event.user_id],
        )
        for event in events
    ]
    return [*moved, *told]


def _message(
    now_ms: int, place: EventPlace, event: Event, chat: bytes | None, wallet: bytes
) -> Message:
    fields: dict[str, Any] = {"event": event.event, "at": event.at, "user_id": event.user_id}
    more = {
        "chat_id": event.chat_id,
        "seq": event.seq,
        "reason": event.reason,
        "threshold_ms": event.threshold_ms,
    }
    fields |= {name: value for name, value in more.items() if value is not None}
    return Message(
        place=place,
        event=event,
        advisor_id=owner_of(chat).advisor_id if chat else None,
        head=_head(now_ms, fields),
        chat=chat or b"null",
        wallet=wallet,
    )


def _moved_chats(
    now_ms: int, place: EventPlace, events: Sequence[Event], account: Account
) -> MovedChats | None:
    """The chats that have new snapshots since the first of a user's events, and no event here.

    Free time moves in the millisecond of an event, so a chat that changed earlier is told already.
    """
    told = {event.chat_id for event in events}
    since_ms = min(event.at for event in events)
    moved = {
        chat.chat_id: MovedChat(chat.advisor_id, _snapshot_frame(now_ms, chat))
        for chat in _sharing(account.chats.values())
        if chat.as_of_ms >= since_ms and chat.chat_id not in told
    }
    return MovedChats(place, account.user_id, moved) if moved else None


def _sharing(chats: Iterable[Chat]) -> list[Chat]:
    return sorted(chat for chat in chats if chat.status == RUNNING and shares(chat))


def _snapshot_frame(now_ms: int, chat: Chat) -> bytes:
    fields = {
        "event": CHAT_SNAPSHOT,
        "at": chat.as_of_ms,
        "user_id": chat.user_id,
        "chat_id": chat.chat_id,
        "seq": chat.seq,
    }
    snapshot = pack(record_snapshot(chat))
    return sse(CHAT_SNAPSHOT, b'%s,"chat":%s,"wallet":null}' % (_head(now_ms, fields), snapshot))


def _head(now_ms: int, fields: Mapping[str, Any]) -> bytes:
    return b'{"now":%d,%s' % (now_ms, pack(fields)[1:-1])


def sse(event: str, data: bytes, id_: str | None = None) -> bytes:
    """A server-sent event; ``data`` is JSON, so it has no line ends."""
    return format_sse_event(event=event, data_str=data.decode(), id=id_)


def end(reason: str) -> bytes:
    """The last words of a stream: no id, so that whoever comes back goes on where it was."""
    return sse("end", b'{"reason":"%s"}' % reason.encode())
