"""``meterd dead``: what could not be a command, and what made the daemon fail."""

import getpass
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.console.common import (
    EXIT_FAILED,
    EXIT_NO_REPLY,
    ConfigOption,
    JsonOption,
    addresses_or_exit,
    fail,
    print_json,
    print_line,
    print_note,
    print_table,
    redis_or_exit,
    settings_or_exit,
    table,
)
from daemon.console.escape import printable
from daemon.console.partition import PartitionOption, keys_or_exit
from daemon.console.units import moment
from meterd.rules import outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from persistence.redis.dead_letters import DeadLetter, DeadLetters

app = typer.Typer(
    help="Look at entries that were set aside, send them again, or drop them.",
    no_args_is_help=True,
)

_SHOWN = 100
_PAUSE_S = 0.1
Journal = Callable[[str], str | None]
"""Gives the outcome of a stream entry; None while the journal does not have it."""

Names = Annotated[
    list[str], typer.Argument(metavar="LETTER…", help="IDs as `meterd dead list` shows them.")
]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who does this, for the record; else your login.")
]


@app.command("list")
def list_letters(
    most: Annotated[int, typer.Option("--most", min=1, max=100_000, help="How many.")] = _SHOWN,
    partition: PartitionOption = None,
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
    with _letters(config, partition) as letters:
        found, count = list(letters.latest(most)), len(letters)
    if json:
        print_json([letter._asdict() for letter in found])
        return
    rows = table(f"Dead letters ({count})", "letter", "entry", "when", "outcome", "type", "reason")
    for letter in found:
        type_ = str(letter.fields.get("type", "-"))
        cells = (letter.letter, letter.entry, _when(letter), letter.outcome, type_, letter.reason)
        rows.add_row(*cells)
    print_table(rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="LETTER")],
    partition: PartitionOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show one dead letter with all its fields.

    For example:

      meterd dead show 1767225600000-0
    """
    with _letters(config, partition) as letters:
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
def retry(
    names: Names,
    by: ByOption = None,
    timeout_s: Annotated[
        float, typer.Option(min=0.001, metavar="SECONDS", help="How long to wait for outcomes.")
    ] = 10.0,
    partition: PartitionOption = None,
    config: ConfigOption = None,
) -> None:
    """Send dead letters again, each as a new command of now, and say what came of it.

    Its id is forgotten if it stood for nothing but the failure. What was invalid
    is as invalid as before. What you do is recorded in the table operations.

    Exits 0 when every outcome is ok, 1 if one was refused again, 3 if one was
    not known in time: that one may still take effect.

    For example:

      meterd dead retry 1767225600000-0
    """
    who = by or getpass.getuser()
    with _letters(config, partition) as letters, _journal(config, partition or 0) as journal:
        sent = [_retried(letters, letter, who) for letter in _found_all(letters, names)]
        codes = [_told(letters, journal, entry, timeout_s) for entry in sent]
    if any(codes):
        raise typer.Exit(EXIT_FAILED if EXIT_FAILED in codes else EXIT_NO_REPLY)


@app.command()
def drop(
    names: Names,
    by: ByOption = None,
    partition: PartitionOption = None,
    config: ConfigOption = None,
) -> None:
    """Take dead letters away, for good. The journal keeps the entries.

    For example:

      meterd dead drop 1767225600000-0 --by ann
    """
    who = by or getpass.getuser()
    with _letters(config, partition) as letters:
        for letter in _found_all(letters, names):
            if not letters.drop(letter, who):
                raise _gone(letter)
            print_line(f"{letter.letter} dropped")


def _retried(letters: "DeadLetters", letter: "DeadLetter", who: str) -> str:
    """Send it again; returns the new entry."""
    entry = letters.retry(letter, who)
    if not entry:
        raise _gone(letter)
    print_line(f"{letter.letter} sent again as {entry}")
    return entry


def _told(letters: "DeadLetters", journal: "Journal", entry: str, timeout_s: float) -> int:
    """Wait for the outcome of an entry and say it; returns the exit code for it."""
    found = _outcome(letters, journal, entry, time.monotonic() + timeout_s)
    if found is None:
        print_note(
            f"{entry}: no outcome within {timeout_s:g} s; it may still take effect.\n"
            "See whether the daemon runs with: meterd status"
        )
        return EXIT_NO_REPLY
    outcome, why = found
    if outcome == outcomes.OK:
        print_line(f"{entry} ok", "green")
        return 0
    print_note(f"{entry} was refused again: {outcome}, {why}", "red")
    return EXIT_FAILED


def _outcome(
    letters: "DeadLetters", journal: "Journal", entry: str, deadline_s: float
) -> tuple[str, str] | None:
    """The outcome of an entry and why, once it is known; None if it is not in time."""
    while True:
        # In this order: once the journal has it, its letter, which says more, is there.
        outcome = journal(entry)
        letter = next((one for one in letters.latest(_SHOWN) if one.entry == entry), None)
        if letter is not None:
            return letter.outcome, letter.reason
        if outcome is not None:
            return outcome, outcomes.MESSAGES.get(outcome, "")
        if time.monotonic() >= deadline_s:
            return None
        time.sleep(_PAUSE_S)


def _gone(letter: "DeadLetter") -> typer.Exit:
    return fail(f"{letter.letter} is gone: somebody else was faster")


def _found_all(letters: "DeadLetters", names: list[str]) -> "list[DeadLetter]":
    return [_found(letters, name) for name in names]


def _when(letter: "DeadLetter") -> str:
    """When the entry came; whoever writes to the stream by hand may name none."""
    at, _, _ = letter.entry.partition("-")
    return moment(int(at)) if at.isascii() and at.isdecimal() else "-"


def _found(letters: "DeadLetters", name: str) -> "DeadLetter":
    letter = letters.find(name)
    if letter is None:
        raise fail(
            f"There is no dead letter {printable(name)}.\n"
            "See which there are with: meterd dead list"
        )
    return letter


@contextmanager
def _letters(config: "Path | None", partition: int | None) -> "Iterator[DeadLetters]":
    from persistence.redis.dead_letters import DeadLetters  # noqa: PLC0415 - the help need not wait for it

    addresses = addresses_or_exit(settings_or_exit(config))
    with redis_or_exit(addresses.redis) as clients:
        keys = keys_or_exit(clients, partition)
        yield DeadLetters(clients.of(keys.partition), keys)


@contextmanager
def _journal(config: "Path | None", partition: int) -> Iterator[Journal]:
    """Look into the journal; without a PostgreSQL that answers, it has nothing."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - as above

    from persistence.postgres.engine import make_engine  # noqa: PLC0415 - as above
    from persistence.postgres.reader import outcome_of  # noqa: PLC0415 - as above

    url = addresses_or_exit(settings_or_exit(config)).postgres_url
    if not url:
        yield lambda _: None
        return
    engine = make_engine(url, pool_size=1)

    def outcome(entry: str) -> str | None:
        try:
            with engine.connect() as connection:
                return outcome_of(connection, entry, partition)
        except SQLAlchemyError:  # it is away: the dead letters alone have to do
            return None

    try:
        yield outcome
    finally:
        engine.dispose()
