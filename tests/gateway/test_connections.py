"""Connections that are no use to anybody block nobody, and nothing grows with what they send."""

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from daemon.gateway import connections
from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import scaled
from tests.gateway.conftest import Gateway, gateway_alone
from tests.shared_daemon import servers_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]

STREAMS_MAX = 1
PLACES = STREAMS_MAX + 2_000


@pytest.fixture(scope="module")
def alone(live: LiveDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway by itself with few places."""
    servers = servers_of(live)
    folder = tmp_path_factory.mktemp("gateway")
    with gateway_alone(folder, **servers, METERD_HTTP__STREAMS_MAX=str(STREAMS_MAX)) as gateway:
        yield gateway


def _connect(gateway: Gateway) -> socket.socket:
    parts = urlsplit(gateway.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=scaled(20))


def test_more_silent_connections_than_there_are_places_block_nobody(alone: Gateway) -> None:
    """The oldest that have said nothing give up their places, at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * PLACES + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"needs {wanted} open files, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with contextlib.ExitStack() as silent:
        for _ in range(2 * PLACES):
            silent.enter_context(_connect(alone))
        for _ in range(5):
            assert httpx.get(f"{alone.url}/healthz", timeout=scaled(5)).status_code == 200


def test_a_connection_that_has_been_answered_gives_up_its_place_too(alone: Gateway) -> None:
    """It is kept for the next request only as long as nobody else needs it."""
    with contextlib.ExitStack() as idle:
        first = idle.enter_context(_connect(alone))
        _get(first)
        for _ in range(PLACES):
            idle.enter_context(_connect(alone))
        first.settimeout(scaled(20))
        with contextlib.suppress(ConnectionResetError):
            assert first.recv(1) == b""


def _get(connection: socket.socket) -> bytes:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return answer


@pytest.mark.parametrize(
    "line",
    [b"x-%d: " + b"v" * 1_000 + b"\r\n", b"v" * 1_000],
    ids=["many headers", "one header without an end"],
)
def test_a_head_without_end_is_refused_while_it_comes(alone: Gateway, line: bytes) -> None:
    """With 431; whoever goes on sending is cut off."""
    with _connect(alone) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nlong: ")
        with contextlib.suppress(ConnectionError):
            for number in range(100):
                connection.sendall(line % number if b"%d" in line else line)
                if number > 40:
                    time.sleep(0.01)  # so that the refusal can arrive
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 431 "), answer


def test_a_head_and_a_body_that_are_long_enough_are_taken(alone: Gateway) -> None:
    """Whatever pieces they come in: a head of 30 KiB, then a body of 40 KiB in the same piece."""
    head = b"POST /v1/commands HTTP/1.1\r\nhost: x\r\nx-long: " + b"v" * 30_000
    body = b"{" + b" " * 40_000
    with _connect(alone) as connection:
        connection.sendall(head + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "sent", [b"", b"GET /heal", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nx"]
)
def test_a_request_that_does_not_end_is_cut_off(
    sent: bytes, live: LiveDaemon, tmp_path: Path
) -> None:
    """After some seconds, wherever it has stopped."""
    with gateway_alone(tmp_path, **servers_of(live)) as gateway, _connect(gateway) as connection:
        connection.sendall(sent)
        connection.settimeout(connections.REQUEST_S_MAX + scaled(10))
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(65536):
                pass
        assert time.monotonic() - began > connections.REQUEST_S_MAX / 2
