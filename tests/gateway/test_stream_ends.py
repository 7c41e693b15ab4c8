"""Streams end, and are bounded, with a word of why."""

import contextlib
import socket
from urllib.parse import urlsplit

import pytest

from loadtests.common.live import LiveDaemon
from meterd.rules.commands import entry_key
from tests.gateway.conftest import Gateway, another
from tests.gateway.listening import event_ids, follow, listening, told_of
from tests.gateway.stored_events import own_id
from tests.shared_daemon import keys_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


def test_a_stream_ends_with_its_token(gateway: Gateway, name: str) -> None:
    """Nobody reads on with a token that no longer counts."""
    token = gateway.token(name, ttl_s=2)
    with listening(gateway, f"/v1/users/{name}/stream", token) as listener:
        last = listener.until_ended()
    assert (last.event, last.data) == ("end", {"reason": "token_expired"})


def test_a_gateway_that_stops_says_so(live: LiveDaemon, name: str) -> None:
    """Whoever listens can come back elsewhere at once; the gateway ends in order."""
    with another(live) as gateway, follow(gateway, name) as listener:
        listener.until_event("snapshot")
        gateway.stop()
        last = listener.until_ended()
    assert (last.event, last.data) == ("end", {"reason": "shutdown"})


def test_a_quiet_stream_says_that_it_is_there(small: Gateway, name: str) -> None:
    """A comment now and then, so that nobody in between cuts the connection."""
    with follow(small, name) as listener:
        listener.until_comment()


def test_streams_are_counted_and_bounded(small: Gateway, name: str) -> None:
    """One more than the limit is refused with what to do; one that ends makes room."""
    path, asked = f"/v1/users/{name}/stream", small.bearer(name)
    with follow(small, name) as first:
        first.until_event("snapshot")
        with follow(small, name) as second:
            second.until_event("snapshot")
            refused = small.http.get(path, headers=asked)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
    _until_free(small, name)


def _until_free(gateway: Gateway, user: str) -> None:
    """The gateway notices soon that somebody has gone."""
    for _ in range(200):
        with contextlib.suppress(AssertionError), follow(gateway, user) as listener:
            listener.until_event("snapshot")
            return
    raise AssertionError("no stream got free")


def test_a_slow_reader_is_dropped_with_a_clear_end_and_loses_nothing(
    live: LiveDaemon, small: Gateway, name: str
) -> None:
    """What waits for it is bounded; it is told why, and comes back to where it was."""
    slow = _open_slowly(small, name)
    try:
        slow.recv(300)
        _flood_until_dropped(live, small, name)
        raw = _all_of(slow)
    finally:
        slow.close()
    assert b'event: end\ndata: {"reason":"slow"}' in raw[-200:]
    last_id = raw.rsplit(b"\nid: ", 1)[1].split(b"\n", 1)[0].decode()
    left = entry_key(own_id(last_id, name))
    expected = [entry for entry in told_of(live, name) if entry_key(entry) > left]
    assert expected, "it was dropped before it had heard all"
    with follow(small, name, last_id) as listener:
        heard = listener.until(lambda now: len(now) >= len(expected))
    assert event_ids(heard) == expected


def _open_slowly(gateway: Gateway, user: str) -> socket.socket:
    """A reader with hardly any room, who does not read."""
    address = urlsplit(gateway.url)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    slow.settimeout(20)
    slow.connect((address.hostname, address.port))
    lines = (
        f"GET /v1/users/{user}/stream HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {gateway.token(user)}",
        "",
        "",
    )
    slow.sendall("\r\n".join(lines).encode())
    return slow


def _flood_until_dropped(live: LiveDaemon, gateway: Gateway, user: str) -> None:
    """So many events that neither side's buffers hold them."""
    with live.client() as client:
        for number in range(60):
            pipeline = client.pipeline(transaction=False)
            for part in range(200):
                fields = {"type": "top_up", "id": f"{user}-{number}-{part}", "user_id": user}
                pipeline.xadd(keys_of(user).commands, {**fields, "amount": "1"})
            pipeline.execute()
            live.until_handled()
            if _dropped(gateway):
                return
    raise AssertionError("it was never dropped")


def _dropped(gateway: Gateway) -> bool:
    page = gateway.http.get("/metrics").text
    return "meterd_gateway_streams_dropped_total 1.0" in page


def _all_of(reader: socket.socket) -> bytes:
    parts = []
    while part := reader.recv(1 << 16):
        parts.append(part)
        if b'"slow"' in b"".join(parts[-2:]):
            break
    return b"".join(parts)
