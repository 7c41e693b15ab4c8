"""Reads that ask whether anything has changed: ETag, If-None-Match, and HEAD (RFC 9110)."""

import hashlib
import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NOW: Final = re.compile(rb'\A\{"now":[0-9]+,')
"""What every document begins with, and what alone is no change."""
_DIGEST_BYTES: Final = 12
_NEVER_WHOLE: Final = ("/stream", "/v1/events")
"""Answers that may have no end: HEAD of them is not allowed."""


class Conditional:
    """Gives documents their ETag, and answers 304 to who has that already."""

    def __init__(self, app: ASGIApp) -> None:
        """Pass every request on to ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD" and not scope["path"].endswith(_NEVER_WHOLE)
        if is_head:
            scope["method"] = "GET"  # until there is an answer
        await self._app(scope, receive, _Answer(scope, send, is_head).send)


class _Answer:
    """One answer: its start is kept until it is known what comes."""

    def __init__(self, scope: Scope, send: Send, is_head: bool) -> None:
        self._scope = scope
        self._asked = dict(scope["headers"]).get(b"if-none-match")
        self._send = send
        self._is_head = is_head
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        if self._is_head:
            self._scope["method"] = "HEAD"  # so it is sent and counted
        if message["type"] == "http.response.start" and _is_document(message):
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None and not message.get("more_body"):
            await self._send_document(start, message)
            return
        if start is not None:
            await self._send(start)
        if self._is_head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)

    async def _send_document(self, start: Message, body: Message) -> None:
        etag = _etag(body.get("body", b""))
        headers = [*start["headers"], (b"etag", etag)]
        if self._asked is not None and _matches(self._asked, etag):
            headers = [(name, v) for name, v in headers if name not in _OF_A_BODY]
            start, body = {**start, "status": 304}, {**body, "body": b""}
        elif self._is_head:
            body = {**body, "body": b""}
        await self._send({**start, "headers": headers})
        await self._send(body)


_OF_A_BODY: Final = (b"content-length", b"content-type")


def _is_document(start: Message) -> bool:
    return start["status"] == 200 and (b"content-type", b"application/json") in start["headers"]  # noqa: PLR2004


def _etag(body: bytes) -> bytes:
    """Weak: but for ``now`` the same bytes."""
    digest = hashlib.blake2b(_NOW.sub(b"{", body), digest_size=_DIGEST_BYTES)
    return b'W/"%s"' % digest.hexdigest().encode()


def _matches(asked: bytes, etag: bytes) -> bool:
    """By the weak comparison; ``*`` is anything that is there."""
    names = [name.strip().removeprefix(b"W/") for name in asked.split(b",")]
    return asked.strip() == b"*" or etag.removeprefix(b"W/") in names
