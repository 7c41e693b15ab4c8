"""The command line ``meterd``. Each command is imported when it is used."""

import sys
import traceback
from typing import Annotated, Final

import typer

from daemon.console.common import EXIT_FAILED, print_line, print_note
from daemon.console.lazy import HELP_OPTIONS, LazyCommand, LazyGroup
from persistence.errors import FunctionsError

COMMANDS: Final = tuple(
    LazyCommand(name, f"daemon.{module}", attribute, summary)
    for name, module, attribute, summary in (
        ("up", "commands.up", "up", "Run meterd in the foreground until Ctrl-C or SIGTERM."),
        ("status", "commands.status", "status", "Show whether commands are being handled."),
        ("top", "top.cli", "top", "Watch the service: totals, queue, actors, open chats."),
        ("gateway", "commands.gateway", "gateway", "Answer over HTTP, in the foreground."),
        ("token", "commands.token", "token", "Mint a token for development."),
        ("demo", "demo.cli", "demo", "Watch two chats being timed and billed on one wallet."),
        ("send", "commands.send", "app", "Send one command to the daemon and print its reply."),
        ("chat", "commands.chat", "chat", "Show a chat's history: what, when, why, the cost."),
        ("audit", "audit.cli", "audit", "Fold the journal again and compare everything."),
        ("recover", "recovery.cli", "recover", "Rebuild Redis from PostgreSQL after a loss."),
        ("archive", "archive.cli", "archive", "Move the journal before a date into files."),
        ("dead", "commands.dead", "app", "Look at entries that were set aside; send or drop them."),
        ("clock", "commands.clock", "app", "See whether the queue's clock has stepped; go on."),
        ("db", "commands.db", "app", "The tables in Postgres."),
        ("config", "commands.config", "app", "Show the settings, check them, print an example."),
        ("legacy", "legacy.cli.migrate", "app", "Migrate from the old system."),  # migration seam
    )
)


class _Meterd(LazyGroup):
    lazy_commands = COMMANDS


app = typer.Typer(
    name="meterd",
    cls=_Meterd,
    help="Time and bill pay-per-minute chats: every chat its own timer and its own record.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP_OPTIONS,
)

DISTRIBUTIONS = ("meterd-daemon", "meterd")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print_line(f"meterd {_version()}")
        raise typer.Exit


def _version() -> str:
    """The version of the installed service."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - takes long

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
    try:
        app()
    except FunctionsError as error:  # any command may be of another version than the daemon
        print_note(str(error), "red")
        sys.exit(EXIT_FAILED)
    except Exception:
        print_note(traceback.format_exc().rstrip("\n"))
        sys.exit(EXIT_FAILED)
