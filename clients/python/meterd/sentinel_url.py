"""URLs that name Sentinels, which know where the master is.

::

    redis+sentinel://user:password@host-a:26379,host-b:26379/mymaster/0
    rediss+sentinel://…?sentinel_username=…&sentinel_password=…

User and password are the master's, ``mymaster`` is the name that the Sentinels know it by. With
``rediss`` both are spoken to over TLS.
"""

from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

SENTINEL_SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")
_SENTINEL_PORT: Final = 26379
_SENTINEL_TIMEOUT_S: Final = 1.0
_QUERY: Final = ("sentinel_username", "sentinel_password")

_PORT_MAX: Final = 65_535
WANT_ENCODED: Final = "a password with @ as %40, : as %3A, / as %2F, ? as %3F and # as %23"

Address = tuple[str, int]


class SentinelUrl(NamedTuple):
    """A URL of Sentinels, in its parts."""

    hosts: list[Address]
    service: str
    """The name of the master that the Sentinels know it by."""
    options: dict[str, Any]
    """Of connections to the master."""
    sentinel_options: dict[str, Any]
    """Of connections to the Sentinels."""


def is_sentinel(url: str) -> bool:
    """Whether the URL names Sentinels."""
    return url.lower().startswith(tuple(f"{scheme}://" for scheme in SENTINEL_SCHEMES))


def parse_sentinel_url(url: str) -> SentinelUrl:
    """Take a URL of Sentinels apart.

    Raises:
        ValueError: it names no Sentinel or no service, or has a port, database or parameter that
            can't be one.
    """
    parts, query = split_url(url)
    login, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not hosts or not service or not (database or "0").isdecimal():
        raise ValueError("want redis+sentinel://host:26379,host:26379/service/0")
    if query.keys() - set(_QUERY):
        raise ValueError(f"want no parameter but {' and '.join(_QUERY)}")
    options: dict[str, Any] = {"db": int(database or "0")}
    user, _, password = login.partition(":")
    named = {"username": unquote(user), "password": unquote(password)}
    options |= {name: value for name, value in named.items() if value}
    sentinel_options: dict[str, Any] = {
        "socket_timeout": _SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": _SENTINEL_TIMEOUT_S,
        "ssl": parts.scheme == "rediss+sentinel",
    }
    sentinel_options |= {name.removeprefix("sentinel_"): value for name, value in query.items()}
    return SentinelUrl(
        [read_address(host, _SENTINEL_PORT) for host in hosts.split(",")],
        service,
        options,
        sentinel_options,
    )


def split_url(url: str) -> tuple[SplitResult, dict[str, str]]:
    """The parts of a URL, and the parameters after its ``?``.

    Raises:
        ValueError: it can't be taken apart; the message has nothing of it.
    """
    try:
        parts = urlsplit(url)
        return parts, dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        # From None: the cause quotes a part of the URL, in which a password may stand.
        raise ValueError(f"want a URL, {WANT_ENCODED}") from None


def read_address(text: str, default_port: int) -> Address:
    """Read ``host`` or ``host:port``.

    Raises:
        ValueError: the host is missing, or the port can't be one.
    """
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default_port)
    if not host or not port.isdecimal() or int(port) > _PORT_MAX:
        raise ValueError("want host:port for each host, with a port of at most 65535")
    return host.strip("[]"), int(port)
