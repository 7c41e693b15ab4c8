"""What the commands share: options, printing, errors with the next step."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from daemon.runfile import Addresses
from daemon.settings import Settings, SettingsError, load_settings
from daemon.status import find_addresses

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The settings file; else METERD_CONFIG, else ./config.yaml."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

EXIT_FAILED = 1
EXIT_USAGE = 2


def settings_or_exit(config: Path | None) -> Settings:
    """The settings; a wrong one is named with its place and nothing starts."""
    try:
        return load_settings(config)
    except SettingsError as error:
        raise fail(f"meterd can't start with these settings:\n{error}", EXIT_USAGE) from None


def addresses_or_exit(settings: Settings) -> Addresses:
    """Where the servers are; without any, says how to start them."""
    addresses = find_addresses(settings)
    if addresses is None:
        raise fail(
            f"No daemon has run in {settings.home} and redis.url is not configured.\n"
            "Start one with: meterd up"
        )
    return addresses


def fail(message: str, code: int = EXIT_FAILED) -> typer.Exit:
    """Tell a person what is wrong; raise what this returns."""
    err.print(message, style="red", markup=False)
    return typer.Exit(code)


def print_json(document: Any) -> None:
    """Plain JSON on standard output."""
    typer.echo(json.dumps(document, ensure_ascii=False))


def table(title: str, *columns: str) -> Table:
    """A table that is plain text in a pipe and coloured in a terminal."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        made.add_column(column)
    return made


def print_table(rows: Table) -> None:
    """Print a table; a pipe gets lines wide enough for every column."""
    console = out if out.is_terminal else Console(width=200, highlight=False)
    console.print(rows)
