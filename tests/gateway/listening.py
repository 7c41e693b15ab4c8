"""Somebody who reads a stream, in a thread of their own."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx

from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import scaled
from tests.gateway.conftest import Gateway
from tests.gateway.stored_events import own_id
from tests.shared_daemon import keys_of

WAIT_S = 20.0


class Heard(NamedTuple):
    """One server-sent event."""

    event: str
    id: str | None
    data: Any


class Listener:
    """Reads messages until told to stop, or until the stream ends."""

    def __init__(self, response: httpx.Response) -> None:
        self.heard: list[Heard] = []
        self.comments = 0
        self.has_ended = False
        self._response = response
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def until(self, holds: Callable[[list[Heard]], bool], timeout_s: float = WAIT_S) -> list[Heard]:
        """Wait for something among what was heard, which is given."""
        deadline = time.monotonic() + scaled(timeout_s)
        with self._changed:
            while not holds(self.heard):
                left_s = deadline - time.monotonic()
                assert left_s > 0, f"not within {timeout_s} s; heard: {self.heard[-3:]}"
                self._changed.wait(left_s)
            return list(self.heard)

    def until_event(self, event: str, times: int = 1) -> Heard:
        """Wait for an event's name; the last of them."""
        heard = self.until(lambda all_: sum(one.event == event for one in all_) >= times)
        return [one for one in heard if one.event == event][times - 1]

    def until_ended(self) -> Heard:
        """Wait for the stream's end; its last message."""
        self.until(lambda _: self.has_ended)
        return self.heard[-1]

    def until_comment(self) -> None:
        """Wait for a word that nothing happens."""
        self.until(lambda _: self.comments > 0)

    def close(self) -> None:
        """Read no more. A socket that a thread is reading closes with a shutdown only."""
        connection = self._response.extensions["network_stream"].get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(scaled(WAIT_S))
        self._response.close()

    def _read(self) -> None:
        with contextlib.suppress(httpx.HTTPError, httpx.StreamError, OSError, ValueError):
            for block in _blocks(self._response.iter_lines()):
                self._take(block)
        with self._changed:
            self.has_ended = True
            self._changed.notify_all()

    def _take(self, block: list[str]) -> None:
        fields = dict(line.split(": ", 1) for line in block if not line.startswith(":"))
        with self._changed:
            self.comments += any(line.startswith(":") for line in block)
            if fields:
                data = json.loads(fields["data"])
                self.heard.append(Heard(fields["event"], fields.get("id"), data))
            self._changed.notify_all()


def _blocks(lines: Iterator[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lines:
        if line:
            block.append(line)
        elif block:
            yield block
            block = []


@contextlib.contextmanager
def listening(gateway: Gateway, path: str, token: str, last_id: str = "") -> Iterator[Listener]:
    """A stream that has begun."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    if last_id:
        headers["Last-Event-ID"] = last_id
    timeout = httpx.Timeout(10, read=scaled(WAIT_S))
    with httpx.Client(base_url=gateway.url, timeout=timeout) as http:
        request = http.build_request("GET", path, headers=headers)
        response = http.send(request, stream=True)
        assert response.status_code == 200, response.read()
        listener = Listener(response)
        try:
            yield listener
        finally:
            listener.close()


def follow(gateway: Gateway, user: str, last_id: str = "") -> Any:
    """The user's own stream."""
    return listening(gateway, f"/v1/users/{user}/stream", gateway.token(user), last_id)


def told_of(live: LiveDaemon, user: str) -> list[str]:
    """The IDs of all that happened to a user, as Redis has them."""
    with live.client() as client:
        entries: Any = client.xrange(keys_of(user).events)
    return [entry.decode() for entry, fields in entries if fields[b"user_id"] == user.encode()]


def event_ids(heard: list[Heard]) -> list[str]:
    """The IDs in their streams of the events among the messages."""
    events = (one for one in heard if one.event not in ("snapshot", "end"))
    return [own_id(one.id or "", one.data["user_id"]) for one in events]
