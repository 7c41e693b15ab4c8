"""Embedded servers: Redis-compatible and PostgreSQL, durable, on this machine only.

They run from installed packages with their data in METERD_HOME, in processes that outlive
the daemon: the next one in the same home takes them over.
"""

from daemon.embedded.errors import EmbeddedServerError, HomeError, HomeInUseError
from daemon.embedded.servers import EmbeddedServers, Urls

__all__ = ["EmbeddedServerError", "EmbeddedServers", "HomeError", "HomeInUseError", "Urls"]
