"""The reference of the command line: the help of each command."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import typer

from daemon.cli import app
from docs._generate.markdown import block, page

_WIDTH: Final = 100


def commands() -> Iterator[tuple[str, str]]:
    """Return each command as it is typed, with its help; a group comes before its commands."""
    root: Any = typer.main.get_command(app)  # Any: typer brings a copy of click, which is private
    yield from _commands("meterd", root, None)


def _commands(name: str, command: Any, parent: Any) -> Iterator[tuple[str, str]]:
    context = command.make_context(
        name.rpartition(" ")[2],
        [],
        parent=parent,
        resilient_parsing=True,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
    )
    yield name, command.get_help(context)
    members: Mapping[str, Any] = getattr(command, "commands", {})
    for member in members:
        yield from _commands(f"{name} {member}", members[member], context)


def command_line_page() -> str:
    """Make the page."""
    parts = (part for name, text in commands() for part in (f"## {name}", block(text, "text")))
    return page(
        "# Command line",
        "This page is for operators and developers. It lists each command with the text that "
        "`--help` prints.",
        *parts,
    )
