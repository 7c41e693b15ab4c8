"""The gateway as a process: one socket, one event loop, until told to stop."""

import resource
import signal
import socket
from typing import Final

import structlog
import uvicorn

from actors.gc_tuning import tune_gc
from daemon.discovery.runfile import Addresses
from daemon.gateway.app import make_app
from daemon.gateway.connections import BoundedProtocol
from daemon.gateway.container import Dependencies, make_dependencies
from daemon.gateway.errors import BindError
from daemon.gateway.key_source import is_loopback
from daemon.settings.settings import HttpSettings, Settings

log = structlog.get_logger()

BACKLOG: Final = 2_048
STOP_S: Final = 3
KEEP_ALIVE_S: Final = 75
DEFAULT_PORT: Final = 8080
CONNECTIONS_BEYOND_STREAMS: Final = 2_000


def bind(http: HttpSettings) -> socket.socket:
    """A listening socket on the port that is set; without one on 8080, or on loopback any other.

    Raises BindError: nobody can listen there.
    """
    port = DEFAULT_PORT if http.port is None else http.port
    try:
        return _listen(http.host, port)
    except OSError as error:
        if http.port is None and is_loopback(http.host):
            listening = _listen(http.host, 0)
            log.warning(
                "gateway.port_taken",
                port=port,
                used_port=listening.getsockname()[1],
                why=error.strerror,
            )
            return listening
        raise BindError(
            f"http.port: can't listen on {http.host}:{port} ({error.strerror}).\n"
            f"Stop what uses port {port}, or set another http.port (METERD_HTTP__PORT,"
            " meterd gateway --port) or http.host"
        ) from None


def url_of(listening: socket.socket) -> str:
    """Where it can be reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(settings: Settings, addresses: Addresses, listening: socket.socket) -> None:
    """Answer until SIGTERM or SIGINT. Raises KeysError: nothing says whose tokens count."""
    connections_max = settings.http.streams_max + CONNECTIONS_BEYOND_STREAMS
    _allow_sockets(connections_max + BACKLOG)  # so many may be accepted before any is dropped
    parts = make_dependencies(settings, addresses)
    config = uvicorn.Config(
        make_app(parts),
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
        limit_concurrency=connections_max,
        backlog=BACKLOG,
    )
    # uvicorn stops on these and raises them once more at its end, which would be our end too.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    _Server(config, parts).run(sockets=[listening])


def _allow_sockets(wanted: int) -> None:
    """As many open sockets as there may be connections, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class _Server(uvicorn.Server):
    """Tells streams that it is over before it waits for them."""

    def __init__(self, config: uvicorn.Config, parts: Dependencies) -> None:
        super().__init__(config)
        self._parts = parts

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        tune_gc()  # what is there by now stays; thousands of streams need not be walked

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._parts.broadcaster.close()
        self._parts.feed.close()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
