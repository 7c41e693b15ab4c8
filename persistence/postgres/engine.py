"""Connections to Postgres, whatever form the URL has, and never a password in a message.

A session that a server has made read-only stays so when the server takes writes again, and so does
one to a server that was demoted: what fails so is thrown away with all idle connections, and the
next one is a new one. A pooler such as PgBouncer refuses the startup parameter ``options``: then
what it would have set is set for each transaction.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from psycopg2 import ProgrammingError
from psycopg2.extensions import make_dsn
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError

from meterd.sentinel_url import WANT_ENCODED
from persistence.errors import PostgresURLError

_DRIVER: Final = "postgresql+psycopg2"
_DIALECT: Final[Any] = PGDialect_psycopg2
_SCHEMES: Final = ("postgres", "postgresql", _DRIVER)
_SECRETS: Final = ("password", "sslpassword")
_WANT: Final = "want postgresql://user:password@host:5432/name"
_PORT_MAX: Final = 65_535
_CONNECT_TIMEOUT_S: Final = 5
_OVER: Final = ("25006", "57P01", "57P02", "57P03", "57P04", "57P05")
"""SQLSTATEs after which a connection is of no use: it is read-only, or the server ends it."""
_REFUSED_OPTIONS: Final = "unsupported startup parameter"
_OPTION: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)=(.*)", re.DOTALL)
MESSAGE_MAX: Final = 300


def make_engine(
    url: str,
    *,
    pool_size: int = 2,
    statement_timeout_ms: int | None = None,
    idle_in_transaction_ms: int | None = None,
    application_name: str = "meterd",
) -> Engine:
    """Give an engine for the URL, always with psycopg2; nothing connects before it is used.

    ``connect_timeout``, ``application_name`` and ``options`` of the URL are kept. Several hosts may
    be named, with commas between them: then the one that takes writes is used. The server ends
    what stays in a transaction without a word for ``idle_in_transaction_ms``: a process that was
    stopped in the middle must not hold its locks against the one that takes its place.

    Raises:
        PostgresURLError: as ``parse_url``.
    """
    parsed = parse_url(url)
    engine = create_engine(
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
    event.listen(engine, "handle_error", _throw_away)
    _PoolerSettings().listen(engine)
    return engine


def server_message(error: BaseException) -> str:
    """What failed, in a line: the server's own words where it has said something."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {lines[0].strip()}"[:MESSAGE_MAX]


def _throw_away(context: ExceptionContext) -> None:
    state = getattr(context.original_exception, "pgcode", None)
    if state in _OVER:
        context.is_disconnect = True


class _PoolerSettings:
    """Sets for each transaction what a pooler does not take at the start of a connection."""

    def __init__(self) -> None:
        self._statements: list[tuple[str, tuple[str, ...]]] = []

    def listen(self, engine: Engine) -> None:
        """Take part in all that the engine does."""
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "begin", self._begin)

    def _connect(self, dialect: Any, _record: Any, args: list[Any], options: dict[str, Any]) -> Any:
        if self._statements:
            del options["options"]
        try:
            return dialect.connect(*args, **options)
        except dialect.dbapi.OperationalError as error:
            if _REFUSED_OPTIONS not in str(error) or "options" not in options:
                raise
            self._statements = [
                ("SELECT set_config(%s, %s, true)", pair)
                for pair in _option_pairs(options.pop("options"))
            ]
        return dialect.connect(*args, **options)

    def _begin(self, connection: Connection) -> None:
        for statement, pair in self._statements:
            connection.exec_driver_sql(statement, pair)


def _option_pairs(options: str) -> list[tuple[str, str]]:
    """The names and values of ``-c name=value -c name=value``.

    Raises:
        PostgresURLError: something else is in there.
    """
    words, pairs = iter(shlex.split(options)), []
    for word in words:
        given = next(words, "") if word == "-c" else word.removeprefix("-c").removeprefix("--")
        found = _OPTION.fullmatch(given)
        if found is None:
            raise PostgresURLError("options: this pooler takes none but -c name=value")
        pairs.append((found[1], found[2]))
    return pairs


def safe_url(url: str) -> str:
    """Give the URL with its passwords masked, for logs and messages."""
    try:
        parsed = make_url(_hosts_in_query(url))
    except (ArgumentError, ValueError):
        return "(not a URL)"
    masked = {name: "***" for name in _SECRETS if name in parsed.query}
    return parsed.update_query_dict(masked).render_as_string(hide_password=True)


def parse_url(url: str) -> URL:
    """Read a URL as the driver will; nothing connects.

    Raises:
        PostgresURLError: no connection can be made with it; the message has the form that is
            wanted, and never a password.
    """
    try:
        parsed = make_url(_hosts_in_query(url))
    except (ArgumentError, ValueError):
        # From None: the cause quotes the text, in which a password may stand.
        raise PostgresURLError(f"{_WANT}, {WANT_ENCODED}") from None
    if parsed.drivername not in _SCHEMES:
        raise PostgresURLError(f"{safe_url(url)}: want a URL that begins with postgresql://")
    parsed = _socket_in_query(parsed.set(drivername=_DRIVER))
    _check_options(parsed)
    return parsed


def _check_options(url: URL) -> None:
    try:
        _, options = _DIALECT().create_connect_args(url)
        make_dsn(**options)
    except ArgumentError:
        raise PostgresURLError(f"{_WANT}, with a number as port") from None
    except ProgrammingError:
        raise PostgresURLError("want after the ? only options that PostgreSQL has") from None
    if "[" in str(options.get("host", "")):
        raise PostgresURLError(f"{_WANT}, and names instead of IPv6 addresses for several hosts")
    ports = [url.port, *filter(None, str(options.get("port", "")).split(","))]
    if not all(port is None or 1 <= int(port) <= _PORT_MAX for port in ports):
        raise PostgresURLError(f"{_WANT}, with a port from 1 to {_PORT_MAX}")


def _hosts_in_query(url: str) -> str:
    """Several hosts in the form that the dialect has for them; for the one that takes writes."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return url
    query = [f"host={host}" for host in hosts.split(",")] + [parts.query] * bool(parts.query)
    if "target_session_attrs=" not in parts.query:
        query.append("target_session_attrs=read-write")
    # By hand: geturl leaves the // out where there is no login.
    return f"{parts.scheme}://{login}{at}{parts.path}?{'&'.join(query)}"


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
