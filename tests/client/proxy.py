"""A TCP proxy before a server, which loses answers on demand."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit


class Proxy:
    """``lose(n, word)``: the server gets the next n commands with this word, the client nothing."""

    def __init__(self, target_url: str) -> None:
        parts = urlsplit(target_url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = parts.hostname, parts.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        user, at, _ = parts.netloc.rpartition("@")
        self.url = f"redis://{user}{at}127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.lost = 0
        self.accepted = 0
        self._to_lose = 0
        self._word = b""
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, number: int, word: bytes) -> None:
        with self._lock:
            self._to_lose, self._word = number, word

    def cut_all(self) -> None:
        """Close every connection there is."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _close(*pair)

    def close(self) -> None:
        # A shutdown, or accept() goes on holding the port.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                with self._lock:
                    self.accepted += 1
                    self._pairs.append((client, server))
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """Requests one way; answers the other way, unless the request was to be lost."""
        doomed = threading.Event()
        back = threading.Thread(target=_answers, args=(server, client, doomed), daemon=True)
        back.start()
        with contextlib.suppress(OSError):
            while request := client.recv(65536):
                if self._is_to_be_lost(request):
                    doomed.set()
                server.sendall(request)
        _close(client, server)

    def _is_to_be_lost(self, request: bytes) -> bool:
        with self._lock:
            if not self._to_lose or self._word not in request:
                return False
            self._to_lose -= 1
            self.lost += 1
            return True


def _answers(server: socket.socket, client: socket.socket, doomed: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while answer := server.recv(65536):
            if doomed.is_set():
                break
            client.sendall(answer)
    _close(client, server)


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextlib.contextmanager
def proxy_to(url: str) -> Iterator[Proxy]:
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
