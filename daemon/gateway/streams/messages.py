"""What a stream says: events with the chat and the wallet as they are now."""

from typing import Final, NamedTuple

from fastapi.sse import format_sse_event

from meterd import Event

KEEP_ALIVE: Final = b":\n\n"


class Message(NamedTuple):
    """An event and what it is about, ready to be put together for whoever may see what."""

    place: tuple[int, int]
    """Where the event stands in its stream."""
    event: Event
    advisor_id: str | None
    """Of the chat, if the event is about one."""
    head: bytes
    chat: bytes
    wallet: bytes

    def frame(self, with_chat: bool, with_wallet: bool) -> bytes:
        """As a server-sent event."""
        chat = self.chat if with_chat else b"null"
        wallet = self.wallet if with_wallet else b"null"
        data = b'%s,"chat":%s,"wallet":%s}' % (self.head, chat, wallet)
        return sse(self.event.event, data, self.event.id)


def sse(event: str, data: bytes, id_: str | None = None) -> bytes:
    """A server-sent event; ``data`` is JSON, so it has no line ends."""
    return format_sse_event(event=event, data_str=data.decode(), id=id_)


def end(reason: str) -> bytes:
    """The last words of a stream: no id, so that whoever comes back goes on where it was."""
    return sse("end", b'{"reason":"%s"}' % reason.encode())
