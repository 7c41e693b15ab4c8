"""A group of commands that loads a command when it is asked for, and prints errors as text."""

import importlib
import io
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any, ClassVar, NamedTuple

import typer
from typer._click import Command, Context, HelpFormatter
from typer._click.exceptions import ClickException
from typer.core import TyperGroup

from daemon.console.common import EXIT_FAILED, print_note

HELP_OPTIONS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LazyCommand(NamedTuple):
    """A command, and where it is."""

    name: str
    module: str
    attribute: str
    """A function or a ``typer.Typer``."""
    summary: str
    """What the list of commands says of it."""

    def load(self) -> Command:
        """Import it."""
        found = getattr(importlib.import_module(self.module), self.attribute)
        if isinstance(found, typer.Typer):
            app = found
        else:
            app = typer.Typer(add_completion=False)
            app.command(self.name)(found)
        _make_plain(app)
        command = typer.main.get_command(app)
        command.name = self.name
        return command


def _make_plain(app: typer.Typer) -> None:
    """Help and errors without Rich: it takes longer to load than most commands to run."""
    app.rich_markup_mode = None
    app.pretty_exceptions_enable = False
    app._add_completion = False
    if not isinstance(app.info.context_settings, dict):
        app.info.context_settings = HELP_OPTIONS
    for group in app.registered_groups:
        assert group.typer_instance is not None, "a group has its commands"
        _make_plain(group.typer_instance)


class _Commands(MutableMapping[str, Command]):
    """Commands by name; each is imported when it is looked up."""

    def __init__(self, commands: Sequence[LazyCommand]) -> None:
        self.known = {command.name: command for command in commands}
        self._loaded: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._loaded:
            self._loaded[name] = self.known[name].load()
        return self._loaded[name]

    def __setitem__(self, name: str, command: Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)


class LazyGroup(TyperGroup):
    """The program; its commands are those of ``lazy_commands``."""

    lazy_commands: ClassVar[Sequence[LazyCommand]] = ()

    def __init__(self, **attributes: Any) -> None:
        """Nothing is loaded yet."""
        super().__init__(**{**attributes, "commands": {}})
        self._lazy = _Commands(self.lazy_commands)
        self.commands = self._lazy

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """List the commands without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(one.name, one.summary) for one in self._lazy.known.values()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run; what is wrong with the command line is printed as text, whatever was typed."""
        same = {"prog_name": prog_name, "complete_var": complete_var, **extra}
        try:
            result = super().main(
                args, standalone_mode=False, windows_expand_args=windows_expand_args, **same
            )
        except ClickException as error:
            if not standalone_mode:
                raise
            shown = io.StringIO()
            error.show(shown)
            print_note(shown.getvalue().rstrip("\n"))
            sys.exit(error.exit_code)
        except typer.Abort:
            if not standalone_mode:
                raise
            print_note("Aborted!")
            sys.exit(EXIT_FAILED)
        if not standalone_mode:
            return result
        sys.exit(result if isinstance(result, int) else 0)
