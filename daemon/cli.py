"""The command line ``meterd``."""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from daemon.audit.cli import audit
from daemon.commands.chat import chat
from daemon.commands.clock import app as clock
from daemon.commands.config import app as config
from daemon.commands.db import app as db
from daemon.commands.dead import app as dead
from daemon.commands.gateway import gateway
from daemon.commands.send import send
from daemon.commands.status import status
from daemon.commands.token import token
from daemon.commands.up import up
from daemon.demo.cli import demo
from daemon.legacy.cli.migrate import app as legacy  # migration seam
from daemon.recovery.cli import recover
from daemon.top.cli import top

app = typer.Typer(
    name="meterd",
    help="Time and bill pay-per-minute chats: every chat its own timer and its own record.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up)
app.command()(status)
app.command()(top)
app.command()(gateway)
app.command()(token)
app.command()(demo)
app.command()(send)
app.command()(chat)
app.command()(audit)
app.command()(recover)
app.add_typer(dead, name="dead")
app.add_typer(clock, name="clock")
app.add_typer(db, name="db")
app.add_typer(config, name="config")
app.add_typer(legacy, name="legacy")  # migration seam


DISTRIBUTIONS = ("meterd-daemon", "meterd")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"meterd {_version()}")
        raise typer.Exit


def _version() -> str:
    """The version of the installed service."""
    for name in DISTRIBUTIONS:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"


@app.callback()
def meterd(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Time and bill pay-per-minute chats: every chat its own timer and its own record."""


def main() -> None:
    """Run the command line."""
    app()
