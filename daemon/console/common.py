"""Shared by the commands: options, printing, errors with the next step.

Everything that a command prints goes through here or through ``terminal``: what is not plain text
is escaped, whoever it is from. Settings, Rich, Redis and Postgres are imported where they are used:
``meterd --help`` waits for none.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.console.escape import printable, printable_lines
from daemon.console.table import Table
from daemon.logging.masking import mask_credentials

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from daemon.console.terminal import SafeConsole
    from daemon.discovery.runfile import Addresses
    from daemon.settings.settings import Settings
    from meterd.redis_servers import RedisServers
    from persistence.redis.client import RedisClients

    out: SafeConsole
    err: SafeConsole

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The settings file; else METERD_CONFIG, else ./config.yaml."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_REPLY = 3
EXIT_STOPPED = 130

_NAME_WIDTH = 13


def settings_or_exit(config: Path | None) -> "Settings":
    """The settings; a wrong one is named with its place and nothing starts."""
    from daemon.errors import SettingsError  # noqa: PLC0415 - see above
    from daemon.settings.settings import load_settings  # noqa: PLC0415 - see above

    try:
        return load_settings(config)
    except SettingsError as error:
        raise fail(f"meterd can't start with these settings:\n{error}", EXIT_USAGE) from None


def addresses_or_exit(settings: "Settings") -> "Addresses":
    """The servers' addresses; without any, fails with how to start them."""
    from daemon.discovery.status import find_addresses  # noqa: PLC0415 - see above
    from daemon.settings.home import elsewhere_hint  # noqa: PLC0415 - see above

    addresses = find_addresses(settings)
    if addresses is None:
        raise fail(
            f"No daemon runs in {settings.home} and redis.url is not configured.\n"
            f"Start one with: meterd up{elsewhere_hint(os.environ)}"
        )
    return addresses


@contextlib.contextmanager
def redis_or_exit(servers: "RedisServers") -> "Iterator[RedisClients]":
    """Clients of the servers; what does not answer in here ends the command.

    Of several servers one has to answer at first: the others' partitions may not be asked for.
    """
    import redis  # noqa: PLC0415 - see above

    from persistence.redis.client import RedisClients, queue_ms  # noqa: PLC0415 - see above

    with RedisClients(servers) as clients:
        try:
            queue_ms(clients)
        except (redis.RedisError, ValueError) as error:
            where = ", ".join(map(mask_credentials, servers.urls))
            raise fail(
                f"Redis does not answer at {where}: {error}\n"
                "See whether the daemon runs with: meterd status"
            ) from None
        yield clients


@contextlib.contextmanager
def postgres_or_exit(postgres_url: str) -> Iterator[None]:
    """What fails in Postgres in here ends the command, with the next step."""
    from sqlalchemy.exc import DBAPIError, TimeoutError  # noqa: A004, PLC0415 - see above

    from persistence.errors import PostgresURLError  # noqa: PLC0415 - see above

    try:
        yield
    except (DBAPIError, TimeoutError, PostgresURLError) as error:
        cause = str(getattr(error, "orig", None) or error).strip()
        raise fail(
            f"PostgreSQL fails at {mask_credentials(postgres_url)}: {mask_credentials(cause)}\n"
            "See whether the daemon runs with: meterd status · "
            "bring the tables up to date with: meterd db upgrade"
        ) from None


@contextlib.contextmanager
def engine_or_exit(postgres_url: str) -> "Iterator[Engine]":
    """An engine for one command, disposed of afterwards; fails as ``postgres_or_exit`` does."""
    from persistence.postgres.engine import make_engine  # noqa: PLC0415 - see above

    with postgres_or_exit(postgres_url):
        engine = make_engine(postgres_url, pool_size=1)
        try:
            yield engine
        finally:
            engine.dispose()


def postgres_url_or_exit(settings: "Settings") -> str:
    """Return the URL of the records: the configured one, else the running daemon's."""
    from daemon.discovery.runfile import RunFile  # noqa: PLC0415 - as above
    from daemon.settings.home import elsewhere_hint  # noqa: PLC0415 - as above

    running = RunFile(settings.home).read()
    url = settings.postgres.url or (running.postgres_url if running else None)
    if not url:
        raise fail(
            f"postgres.url is not configured and no daemon runs in {settings.home}.\n"
            "Set METERD_POSTGRES__URL=postgresql://user:password@host/name, "
            f"or start a daemon with: meterd up{elsewhere_hint(os.environ)}"
        )
    return url


def fail(message: str, code: int = EXIT_FAILED) -> typer.Exit:
    """Print what is wrong and the next step; raise what this returns."""
    print_note(message, "red")
    return typer.Exit(code)


def print_line(text: str = "", colour: str | None = None, *, is_bold: bool = False) -> None:
    """One line on the output, as text: not wrapped, and nothing in it is markup."""
    typer.secho(printable(text), fg=colour, bold=is_bold or None)


def print_parts(*parts: tuple[str, str]) -> None:
    """One line of texts, each bold in its colour; those without a colour are plain."""
    shown = (
        typer.style(printable(text), fg=colour or None, bold=True) if colour else printable(text)
        for text, colour in parts
    )
    typer.echo("".join(shown))


def print_note(text: str, colour: str | None = None) -> None:
    """Lines on the error output, as text."""
    typer.secho(printable_lines(text), fg=colour, err=True)


def print_fact(name: str, value: str, colour: str = "") -> None:
    """One line: a name and its value."""
    print_parts((f"{name:{_NAME_WIDTH}} ", ""), (value, colour))


def print_file(text: str) -> None:
    """A file that comes with meterd, as it is."""
    typer.echo(text, nl=False)


def print_json(document: Any) -> None:
    """Plain JSON on the output, a line of it."""
    print_json_part(f"{json_text(document)}\n")


def print_json_part(text: str) -> None:
    """A part of a JSON document, made of what ``json_text`` gives."""
    typer.echo(text, nl=False)


def json_text(document: Any) -> str:
    """JSON of printable ASCII only: a terminal shows it as it is, and any program reads it."""
    # DEL is the one control character that the encoder leaves; it can only be within a string.
    return json.dumps(document).replace("\x7f", "\\u007f")


def table(title: str, *columns: str) -> Table:
    """A table without rows."""
    return Table(title, *columns)


def print_table(rows: Table) -> None:
    """Print a table; a pipe gets aligned columns without lines, wide enough for every cell."""
    if is_terminal():
        from daemon.console.terminal import out  # noqa: PLC0415 - a pipe need not wait for Rich

        out.print(rows.drawn())
        return
    for line in rows.lines():
        print_line(line)


def is_terminal() -> bool:
    """Whether a person sees the output as it is printed."""
    return sys.stdout.isatty()


def __getattr__(name: str) -> object:
    """Give ``out`` and ``err``, for what Rich draws, when they are asked for; see PEP 562."""
    if name in ("out", "err"):
        from daemon.console import terminal  # noqa: PLC0415 - takes long

        return getattr(terminal, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
