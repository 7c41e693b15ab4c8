"""A TCP proxy before a server, Redis or Postgres: loses answers, cuts, stalls, refuses."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

from loadtests.common.timeouts import scaled

CONNECT_TIMEOUT_S = scaled(5)

Pair = tuple[socket.socket, socket.socket]


class Proxy:
    """``url`` is the server's own, but for the address. All may be called from any thread."""

    def __init__(self, target_url: str, address: str = "127.0.0.1") -> None:
        parts = urlsplit(target_url)
        self.move(target_url)
        self._listener = socket.create_server((address, 0), backlog=128)
        user, at, _ = parts.netloc.rpartition("@")
        port = self._listener.getsockname()[1]
        self.url = parts._replace(netloc=f"{user}{at}{address}:{port}").geturl()
        self.lost = 0
        self.accepted = 0
        self._to_lose = 0
        self._word = b""
        self._refuses = False
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._pairs: list[Pair] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, number: int, word: bytes) -> None:
        """The server gets the next requests with this word, the client no answer to them."""
        with self._lock:
            self._to_lose, self._word = number, word

    def cut_all(self) -> None:
        """Close every connection there is."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _close(*pair)

    def refuse(self) -> None:
        """No connection, neither old nor new, until ``admit``."""
        self._refuses = True
        self.cut_all()

    def admit(self) -> None:
        """Take connections again."""
        self._refuses = False

    def stall(self) -> None:
        """Hold everything back, in both directions, until ``flow``; connections stay open."""
        self._flows.clear()

    def flow(self) -> None:
        """Let everything through, what was held back first."""
        self._flows.set()

    def move(self, target_url: str) -> None:
        """Lead new connections to another server; those that are open stay where they are."""
        parts = urlsplit(target_url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = parts.hostname, parts.port

    def close(self) -> None:
        """End it: no connection is left, and nobody listens."""
        # A shutdown, or accept() goes on holding the port.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()
        self.flow()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._open, args=(client,), daemon=True).start()

    def _open(self, client: socket.socket) -> None:
        """Connect one client; a server that is down refuses it, and the next may be luckier."""
        server = None if self._refuses else self._connected()
        if server is None:
            _close(client)
            return
        with self._lock:
            self.accepted += 1
            self._pairs.append((client, server))
        self._serve(client, server)
        with self._lock, contextlib.suppress(ValueError):
            self._pairs.remove((client, server))

    def _connected(self) -> socket.socket | None:
        with contextlib.suppress(OSError):
            server = socket.create_connection(self._target, timeout=CONNECT_TIMEOUT_S)
            server.settimeout(None)
            return server
        return None

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """Requests one way; answers the other way, unless the request was to be lost."""
        doomed = threading.Event()
        back = threading.Thread(target=self._answers, args=(server, client, doomed), daemon=True)
        back.start()
        with contextlib.suppress(OSError):
            while request := client.recv(65536):
                self._flows.wait()
                if self._is_to_be_lost(request):
                    doomed.set()
                server.sendall(request)
        _close(client, server)

    def _answers(
        self, server: socket.socket, client: socket.socket, doomed: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while answer := server.recv(65536):
                self._flows.wait()
                if doomed.is_set():
                    break
                client.sendall(answer)
        _close(client, server)

    def _is_to_be_lost(self, request: bytes) -> bool:
        with self._lock:
            if not self._to_lose or self._word not in request:
                return False
            self._to_lose -= 1
            self.lost += 1
            return True


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextlib.contextmanager
def proxy_to(url: str, address: str = "127.0.0.1") -> Iterator[Proxy]:
    """A proxy at ``address`` before the server at ``url`` for as long as the block lasts."""
    proxy = Proxy(url, address)
    try:
        yield proxy
    finally:
        proxy.close()
