"""The owner's own site, as far as a page with clocks needs one: files, and a route for tokens."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

TOKEN_PATH = "/my/meterd-token"


class Site:
    """Serves a folder on an origin of its own; ``token`` is what its backend signs."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.origin = f"http://127.0.0.1:{port}"
        self.token = ""

    def write(self, name: str, text: str) -> None:
        """Put a file there."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


class _Handler(http.server.SimpleHTTPRequestHandler):
    site: Site

    def do_POST(self) -> None:
        found = self.path == TOKEN_PATH
        body = self.site.token.encode() if found else b""
        self.send_response(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Nothing: a test says what went wrong."""


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """A site until the end of the block."""
    handler = type("Handler", (_Handler,), {})
    make = functools.partial(handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), make) as server:
        site = Site(folder, server.server_port)
        handler.site = site  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield site
        server.shutdown()
        thread.join()
