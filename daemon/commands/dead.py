"""``meterd dead``: what could not be a command, and what made the daemon fail."""

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.console.common import (
    ConfigOption,
    JsonOption,
    addresses_or_exit,
    fail,
    out,
    print_json,
    print_line,
    print_table,
    redis_or_exit,
    settings_or_exit,
    table,
)
from daemon.console.format import moment

if TYPE_CHECKING:
    from pathlib import Path

    from persistence.redis.dead_letters import DeadLetter, DeadLetters

app = typer.Typer(
    help="Look at entries that were set aside, send them again, or drop them.",
    no_args_is_help=True,
)

_SHOWN = 100

Names = Annotated[
    list[str], typer.Argument(metavar="LETTER…", help="IDs as `meterd dead list` shows them.")
]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who does this, for the record; else your login.")
]


@app.command("list")
def list_letters(
    most: Annotated[int, typer.Option("--most", min=1, max=100_000, help="How many.")] = _SHOWN,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the latest dead letters, the latest first.

    An invalid_command broke the rules for entries; an internal_error made the
    daemon fail again and again, and may pass once the cause is fixed.

    For example:

      meterd dead list

      meterd dead list --json | jq -r '.[] | select(.outcome == "internal_error") | .letter'
    """
    with _letters(config) as letters:
        found, count = list(letters.latest(most)), len(letters)
    if json:
        print_json([letter._asdict() for letter in found])
        return
    rows = table(f"Dead letters ({count})", "letter", "entry", "when", "outcome", "type", "reason")
    for letter in found:
        sent = moment(int(letter.entry.partition("-")[0]))
        type_ = str(letter.fields.get("type", "-"))
        rows.add_row(letter.letter, letter.entry, sent, letter.outcome, type_, letter.reason)
    print_table(rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="LETTER")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show one dead letter with all its fields.

    For example:

      meterd dead show 1767225600000-0
    """
    with _letters(config) as letters:
        letter = _found(letters, name)
    if json:
        print_json(letter._asdict())
        return
    for fact, value in letter._asdict().items():
        if fact != "fields":
            print_line(f"{fact:8} {value}")
    for field, value in letter.fields.items():
        print_line(f"  {field} = {value}")


@app.command()
def retry(names: Names, by: ByOption = None, config: ConfigOption = None) -> None:
    """Send dead letters again, each as a new command of now.

    Its id is forgotten if it stood for nothing but the failure. What was invalid
    is as invalid as before. What you do is recorded in the table operations.

    For example:

      meterd dead retry 1767225600000-0
    """
    _each(names, by, config, lambda letters, letter, who: letters.retry(letter, who), "sent again")


@app.command()
def drop(names: Names, by: ByOption = None, config: ConfigOption = None) -> None:
    """Take dead letters away, for good. The journal keeps the entries.

    For example:

      meterd dead drop 1767225600000-0 --by ann
    """
    _each(names, by, config, lambda letters, letter, who: letters.drop(letter, who), "dropped")


def _each(
    names: list[str],
    by: str | None,
    config: "Path | None",
    act: "Callable[[DeadLetters, DeadLetter, str], str | bool]",
    done: str,
) -> None:
    who = by or getpass.getuser()
    with _letters(config) as letters:
        for letter in [_found(letters, name) for name in names]:
            result = act(letters, letter, who)
            if not result:
                raise fail(f"{letter.letter} is gone: somebody else was faster")
            as_ = f" as {result}" if isinstance(result, str) else ""
            out.print(f"{letter.letter} {done}{as_}", markup=False)


def _found(letters: "DeadLetters", name: str) -> "DeadLetter":
    letter = letters.find(name)
    if letter is None:
        raise fail(f"There is no dead letter {name}.\nSee which there are with: meterd dead list")
    return letter


@contextmanager
def _letters(config: "Path | None") -> "Iterator[DeadLetters]":
    from meterd.rules.redis_keys import Keys  # noqa: PLC0415 - as above
    from persistence.redis.dead_letters import DeadLetters  # noqa: PLC0415 - the help need not wait for it

    addresses = addresses_or_exit(settings_or_exit(config))
    with redis_or_exit(addresses.redis_url) as client:
        yield DeadLetters(client, Keys())
