"""Connections to Postgres, whatever form the URL has, and never a password in a message."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from persistence.errors import PostgresURLError

_DRIVER: Final = "postgresql+psycopg2"
_SCHEMES: Final = ("postgres", "postgresql", _DRIVER)
_SECRETS: Final = ("password", "sslpassword")
_CONNECT_TIMEOUT_S: Final = 5


def make_engine(
    url: str,
    *,
    pool_size: int = 2,
    statement_timeout_ms: int | None = None,
    idle_in_transaction_ms: int | None = None,
    application_name: str = "meterd",
) -> Engine:
    """Give an engine for the URL, always with psycopg2; nothing connects before it is used.

    ``connect_timeout``, ``application_name`` and ``options`` of the URL are kept. The server ends
    what stays in a transaction without a word for ``idle_in_transaction_ms``: a process that was
    stopped in the middle must not hold its locks against the one that takes its place.
    """
    parsed = _parse(url)
    return create_engine(
        # The rest of the query shows in the engine's repr; these go to the driver directly.
        parsed.difference_update_query(_SECRETS),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=_CONNECT_TIMEOUT_S,
        pool_pre_ping=True,
        # Parameters are people's chats and credits, and thousands of them.
        hide_parameters=True,
        connect_args=_connect_args(
            parsed,
            application_name,
            {
                "statement_timeout": statement_timeout_ms,
                "idle_in_transaction_session_timeout": idle_in_transaction_ms,
            },
        ),
    )


def safe_url(url: str) -> str:
    """Give the URL with its passwords masked, for logs and messages."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return "(not a URL)"
    masked = {name: "***" for name in _SECRETS if name in parsed.query}
    return parsed.update_query_dict(masked).render_as_string(hide_password=True)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # From None: the cause quotes the text, in which a password may stand.
        raise PostgresURLError("not a URL; want postgresql://user:password@host/name") from None
    if parsed.drivername not in _SCHEMES:
        raise PostgresURLError(f"{safe_url(url)}: want a URL that begins with postgresql://")
    return _socket_in_query(parsed.set(drivername=_DRIVER))


def _socket_in_query(url: URL) -> URL:
    # libpq also takes a socket's folder where the host stands, with its slashes as %2F.
    if url.host is None or not url.host.lower().startswith("%2f"):
        return url
    folder = url.host.replace("%2F", "/").replace("%2f", "/")
    return url._replace(host=None).update_query_dict({"host": folder})


def _connect_args(
    url: URL, application_name: str, timeouts: Mapping[str, int | None]
) -> dict[str, Any]:
    defaults = {"connect_timeout": _CONNECT_TIMEOUT_S, "application_name": application_name}
    arguments: dict[str, Any] = {k: v for k, v in defaults.items() if k not in url.query}
    arguments |= {k: url.query[k] for k in _SECRETS if k in url.query}
    arguments["options"] = _options(url, timeouts)
    return arguments


def _options(url: URL, timeouts: Mapping[str, int | None]) -> str:
    given = url.query.get("options", ())
    # In UTC, the last hours of the year 9999 can be read everywhere.
    options = [given] if isinstance(given, str) else list(given)
    options.append("-c timezone=UTC")
    options += [f"-c {name}={ms}" for name, ms in timeouts.items() if ms is not None]
    return " ".join(options)
