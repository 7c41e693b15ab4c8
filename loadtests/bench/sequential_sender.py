"""One command after the other, each sent when the reply to the one before has come."""

import time
from typing import Any, Final

from loadtests.bench.wire import Wire, encode, encode_command
from loadtests.common.live import KEYS

REPLY_MS_MAX: Final = 50_000


class SenderError(Exception):
    """A command had no reply, or another one than success."""


class SequentialSender:
    """Sends a command and waits for its reply."""

    def __init__(self, url: str, name: str) -> None:
        """Replies come to a stream of that name."""
        self._name = name
        self._count = 0
        self._after: bytes | str = "0"
        self._sender = Wire(url)
        self._reader = Wire(url)

    def __enter__(self) -> "SequentialSender":
        return self

    def __exit__(self, *_: object) -> None:
        self._sender.close()
        self._reader.close()

    def call(self, type_: str, **fields: str) -> float:
        """Send a command; milliseconds until its reply.

        Raises:
            SenderError: none came in time, or it was refused.
        """
        self._count += 1
        named = {"type": type_, "id": f"{self._name}{self._count}", "reply_to": self._name}
        command = encode_command((named | fields).items())
        self._reader.say([self._wait()])
        began_ns = time.monotonic_ns()
        self._sender.say([command])
        reply = self._reader.hear(1)[0]
        took_ms = (time.monotonic_ns() - began_ns) / 1e6
        self._sender.hear(1)
        self._take(reply, type_)
        return took_ms

    def _wait(self) -> bytes:
        stream = KEYS.reply(self._name)
        return encode("XREAD", "BLOCK", REPLY_MS_MAX, "STREAMS", stream, self._after)

    def _take(self, reply: Any, type_: str) -> None:
        if not reply:
            raise SenderError(f"no reply to a {type_} within {REPLY_MS_MAX} ms")
        ((self._after, fields),) = reply[0][1]
        if fields[3] != b"ok":
            raise SenderError(f"a {type_} was refused: {fields[3].decode()}")
