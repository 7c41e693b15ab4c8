"""Connections of the gateway, with limits that its HTTP server does not have.

A connection that says nothing, or takes for ever to say it, holds its place for some seconds only;
where places are short, the one that has been idle for longest gives up its own. A head that is too
long is refused while it comes in: nothing of it is kept.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_S_MAX: Final = 20.0
"""From the begin of a connection, or of a later request, to the last byte of the request."""
HEAD_BYTES_MAX: Final = 32 * 1024
"""Request line and headers of one request."""

_TOO_LONG: Final = b"The request's head is too long: send at most 32 KiB of path and headers."
_REFUSAL: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_TOO_LONG), _TOO_LONG)
)


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _idle: dict["BoundedProtocol", None] = {}  # noqa: RUF012 - of all connections, oldest first

    def __init__(self, *args: Any, **options: Any) -> None:
        """As the HTTP server makes it."""
        super().__init__(*args, **options)
        self._is_in_head = True
        self._received = 0
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; another one that is idle makes room if it has to be."""
        super().connection_made(transport)
        limit = self.limit_concurrency
        if limit is not None and len(self.connections) >= limit and self._idle:
            next(iter(self._idle)).drop()
        self._idle[self] = None
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came, unless the head of the request is too long by now."""
        if self._deadline is None:
            self._await_request()
        self._received += len(data)
        super().data_received(data)
        if self._is_too_long() or (self._is_in_head and self._received > HEAD_BYTES_MAX):
            self.transport.write(_REFUSAL)
            self.transport.close()

    def on_url(self, url: bytes) -> None:
        """Keep a part of the path, unless it is too long."""
        self._head_bytes += len(url)
        if not self._is_too_long():
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, unless there are too many."""
        self._head_bytes += len(name) + len(value)
        if not self._is_too_long():
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: begin to answer."""
        self._is_in_head = False
        if not self._is_too_long():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if not self._is_too_long():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole: the answer may take as long as it takes."""
        if self._is_too_long():
            return
        super().on_message_complete()
        self._forget()
        self._is_in_head, self._received, self._head_bytes = True, 0, 0

    def on_response_complete(self) -> None:
        """The answer is out: the connection is idle, if it is kept."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._idle[self] = None

    def drop(self) -> None:
        """Give up the connection: nobody waits for an answer on it."""
        self._forget()
        self.connections.discard(self)  # its place is free now, not when the loop has closed it
        if not self.transport.is_closing():
            self.transport.abort()

    def _is_too_long(self) -> bool:
        return self._head_bytes > HEAD_BYTES_MAX

    def _await_request(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_S_MAX, self.drop)

    def _forget(self) -> None:
        """It is not idle, and nothing is awaited from it."""
        self._idle.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
