"""Shared by the commands: options, printing, errors with the next step.

Settings, Redis and Postgres are imported where they are used: ``meterd --help`` waits for none.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from daemon.logging.masking import mask_credentials

if TYPE_CHECKING:
    import redis
    from sqlalchemy import Engine

    from daemon.discovery.runfile import Addresses
    from daemon.settings.settings import Settings

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The settings file; else METERD_CONFIG, else ./config.yaml."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_REPLY = 3
EXIT_STOPPED = 130

_PIPE_WIDTH = 1_000


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

    addresses = find_addresses(settings)
    if addresses is None:
        raise fail(
            f"No daemon runs in {settings.home} and redis.url is not configured.\n"
            "Start one with: meterd up"
        )
    return addresses


def redis_or_exit(redis_url: str) -> "redis.Redis":
    """A connection that answers; nothing has been sent if it does not."""
    import redis  # noqa: PLC0415 - see above

    from persistence.redis.client import connect  # noqa: PLC0415 - see above

    try:
        client = connect(redis_url)
        client.ping()
    except (redis.RedisError, ValueError) as error:
        raise fail(
            f"Redis does not answer at {mask_credentials(redis_url)}: {error}\n"
            "See whether the daemon runs with: meterd status"
        ) from None
    return client


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

    running = RunFile(settings.home).read()
    url = settings.postgres.url or (running.postgres_url if running else None)
    if not url:
        raise fail(
            f"postgres.url is not configured and no daemon runs in {settings.home}.\n"
            "Set METERD_POSTGRES__URL=postgresql://user:password@host/name, "
            "or start a daemon with: meterd up"
        )
    return url


def fail(message: str, code: int = EXIT_FAILED) -> typer.Exit:
    """Print what is wrong and the next step; raise what this returns."""
    err.print(message, style="red", markup=False, soft_wrap=True)
    return typer.Exit(code)


def print_line(text: str, style: str | None = None) -> None:
    """One line as it is: not wrapped, and nothing in it is markup."""
    out.print(text, style=style, markup=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """Plain JSON on standard output."""
    typer.echo(json.dumps(document, ensure_ascii=False))


def table(title: str, *columns: str) -> Table:
    """A table; ``print_table`` prints it as plain text in a pipe."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def print_table(rows: Table) -> None:
    """Print a table; a pipe gets aligned columns without lines, wide enough for every cell."""
    if out.is_terminal:
        out.print(rows)
        return
    rows.box, rows.pad_edge, rows.padding = None, False, (0, 2, 0, 0)
    plain = Console(width=_PIPE_WIDTH, highlight=False)
    with plain.capture() as printed:
        plain.print(rows)
    typer.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))
