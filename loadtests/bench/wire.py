"""Commands as bytes on a socket of our own: the sender must not be what is measured."""

import itertools
import select
import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import hiredis
from redis.connection import parse_url

from meterd.rules.redis_keys import Keys

TIMEOUT_S: Final = 60.0
PAGE: Final = 2_000
"""Commands sent before their answers are awaited."""
READ_BYTES: Final = 1 << 20


_COMMANDS: Final = Keys().commands


class RefusedError(Exception):
    """The server took a command for wrong, or could not do it."""


def encode(*words: str | bytes | int) -> bytes:
    """One command as the server reads it."""
    raw = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in raw)


def encode_command(fields: Iterable[tuple[str, str]], stream: str = _COMMANDS) -> bytes:
    """A command for meterd, on its way into its stream."""
    return encode("XADD", stream, "*", *(part for field in fields for part in field))


class Wire:
    """A connection that says and hears bytes."""

    def __init__(self, url: str) -> None:
        """Connect to a server at ``redis://…``."""
        where: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        address = where["host"], where["port"]
        self._socket = socket.create_connection(address, timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = hiredis.Reader()
        if where.get("password"):
            self.ask([encode("AUTH", where["password"])])

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def say(self, commands: Sequence[bytes]) -> None:
        """Send commands; their answers are to be heard later."""
        self._socket.sendall(b"".join(commands))

    def hear(self, count: int) -> list[Any]:
        """The next answers.

        Raises:
            RefusedError: one of them is an error.
        """
        heard: list[Any] = []
        while True:
            heard += itertools.islice(self._whole(), count - len(heard))
            if len(heard) == count:
                return heard
            self._answers.feed(self._more())

    def hear_now(self) -> int:
        """How many more answers have come by now; waits for none of them."""
        count = 0
        while select.select([self._socket], [], [], 0)[0]:
            self._answers.feed(self._more())
            count += sum(1 for _ in self._whole())
        return count

    def ask(self, commands: Sequence[bytes]) -> list[Any]:
        """Send commands and hear their answers."""
        self.say(commands)
        return self.hear(len(commands))

    def blast(self, commands: Sequence[bytes]) -> None:
        """Send any number of commands as fast as they are taken."""
        for first in range(0, len(commands), PAGE):
            self.ask(commands[first : first + PAGE])

    def _whole(self) -> Iterator[Any]:
        """Answers that have come in full."""
        while (answer := self._answers.gets()) is not False:
            if isinstance(answer, Exception):
                raise RefusedError(str(answer))
            yield answer

    def _more(self) -> bytes:
        got = self._socket.recv(READ_BYTES)
        if not got:
            raise ConnectionError("the server has closed the connection")
        return got


def blast(url: str, commands: Sequence[bytes]) -> None:
    """Send commands over a connection of their own."""
    with Wire(url) as wire:
        wire.blast(commands)
