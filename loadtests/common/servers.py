"""A folder and a queue server for one measurement; nothing of them is left afterwards."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from daemon.embedded.servers import EmbeddedServers


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for the sockets that Ray puts below it."""
    made = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def queue_server() -> Iterator[tuple[str, Path]]:
    """The URL of an empty server as the daemon starts it for itself, and a folder."""
    with folder() as place:
        servers = EmbeddedServers(place / "home", want_postgres=False)
        try:
            url = servers.start().redis_url
            assert url is not None, "a server was asked for"
            yield url, place
        finally:
            servers.stop()
