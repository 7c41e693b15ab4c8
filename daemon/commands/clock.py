"""``meterd clock``: what to do when the queue's clock has stepped."""

import getpass
import time
from typing import Annotated, Any

import typer

from daemon.console.common import (
    ConfigOption,
    JsonOption,
    addresses_or_exit,
    fail,
    print_json,
    print_line,
    redis_or_exit,
    settings_or_exit,
)
from daemon.console.partition import PartitionOption, keys_or_exit
from daemon.console.units import moment, span

app = typer.Typer(
    help="See whether the queue's clock has stepped, and decide to go on.", no_args_is_help=True
)

ByOption = Annotated[
    str | None, typer.Option("--by", help="Who decides, for the record; else your login.")
]


@app.command()
def show(
    partition: PartitionOption = None, json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Show the queue's clock, and what it did if everything is held because of it.

    For example:

      meterd clock show
    """
    from persistence.redis.clock_hold import read_hold  # noqa: PLC0415 - the help need not wait for it

    with redis_or_exit(addresses_or_exit(settings_or_exit(config)).redis) as clients:
        keys = keys_or_exit(clients, partition)
        client = clients.of(keys.partition)
        seconds, micros = client.time()
        hold = read_hold(client, keys)
    found: dict[str, Any] = {"queue_ms": seconds * 1000 + micros // 1000, "hold": hold}
    if json:
        print_json(found)
        return
    print_line(f"queue's clock  {moment(found['queue_ms'])}")
    if hold is None:
        print_line("It has not stepped; nothing is held.")
        return
    for line in _of_entry(hold) if "entry" in hold else _of_step(hold):
        print_line(line, typer.colors.RED, is_bold=True)


def _of_step(hold: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"stepped by     {_step(hold)}, to {moment(hold['queue_ms'])}",
        "Nothing is decided until you say so. If the clock is wrong now, set it right first;",
        "then go on with: meterd clock accept",
    )


def _of_entry(hold: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"entry          {hold['entry']}, {span(hold['ahead_ms'])} ahead of the clock",
        "Nothing is decided until you say so: every later command would be billed by its time.",
        "If the entry is wrong, drop it and set the stream back:  meterd clock drop",
        "If the server's clock is wrong, set it right, then:      meterd clock accept",
    )


def _step(hold: dict[str, Any]) -> str:
    """How far the clock stepped, with its direction."""
    return f"{'+' if hold['step_ms'] > 0 else ''}{span(hold['step_ms'])}"


@app.command()
def accept(
    by: ByOption = None,
    partition: PartitionOption = None,
    config: ConfigOption = None,
) -> None:
    """Go on by the clock as it is now.

    Commands that have waited are decided by their IDs, and what fell due by now
    comes about. After a step forward, running chats have run for as long as the
    clock says. What you do is recorded in the table operations.

    For example:

      meterd clock accept --by ann
    """
    from persistence.redis.clock_hold import clear_hold, read_hold  # noqa: PLC0415 - as above

    with redis_or_exit(addresses_or_exit(settings_or_exit(config)).redis) as clients:
        keys = keys_or_exit(clients, partition)
        client = clients.of(keys.partition)
        hold = read_hold(client, keys)
        now_ms = time.time_ns() // 1_000_000
        if hold is None or not clear_hold(client, keys, hold, by or getpass.getuser(), now_ms):
            raise fail("Nothing is held because of the clock.")
    what = (
        f"{hold['entry']} counts" if "entry" in hold else f"the clock had stepped by {_step(hold)}"
    )
    print_line(f"Going on; {what}.")


@app.command()
def drop(
    by: ByOption = None, partition: PartitionOption = None, config: ConfigOption = None
) -> None:
    """Drop an entry from the future that holds everything, and set the stream back.

    Commands that came behind it are appended again, in their order, and count
    as commands of now; a consumer group of anybody else on the stream is gone.
    Who sent the dropped command gets no reply; it may send it again with the
    same id. What you do is recorded in the table operations.

    For example:

      meterd clock drop --by ann
    """
    from persistence.errors import HoldError  # noqa: PLC0415 - as above
    from persistence.redis.clock_hold import drop_ahead, read_hold  # noqa: PLC0415 - as above

    settings = settings_or_exit(config)
    with redis_or_exit(addresses_or_exit(settings).redis) as clients:
        keys = keys_or_exit(clients, partition)
        client = clients.of(keys.partition)
        hold = read_hold(client, keys)
        if hold is None or "entry" not in hold:
            raise fail("Nothing is held because of an entry.\nSee what is with: meterd clock show")
        now_ms = time.time_ns() // 1_000_000
        try:
            moved = drop_ahead(
                client, keys, hold, settings.clock.step_ms_max, by or getpass.getuser(), now_ms
            )
        except HoldError as error:
            raise fail(f"{error}".capitalize()) from None
    print_line(f"{hold['entry']} dropped; {moved} commands behind it count as of now.")
