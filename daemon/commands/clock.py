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
from daemon.console.units import moment, span

app = typer.Typer(
    help="See whether the queue's clock has stepped, and decide to go on.", no_args_is_help=True
)


@app.command()
def show(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show the queue's clock, and what it did if everything is held because of it.

    For example:

      meterd clock show
    """
    from meterd.rules.redis_keys import Keys  # noqa: PLC0415 - as above
    from persistence.redis.clock_hold import read_hold  # noqa: PLC0415 - the help need not wait for it

    with redis_or_exit(addresses_or_exit(settings_or_exit(config)).redis_url) as client:
        seconds, micros = client.time()
        hold = read_hold(client, Keys())
    found: dict[str, Any] = {"queue_ms": seconds * 1000 + micros // 1000, "hold": hold}
    if json:
        print_json(found)
        return
    print_line(f"queue's clock  {moment(found['queue_ms'])}")
    if hold is None:
        print_line("It has not stepped; nothing is held.")
        return
    for line in (
        f"stepped by     {_step(hold)}, to {moment(hold['queue_ms'])}",
        "Nothing is decided until you say so. If the clock is wrong now, set it right first;",
        "then go on with: meterd clock accept",
    ):
        print_line(line, typer.colors.RED, is_bold=True)


def _step(hold: dict[str, Any]) -> str:
    """How far the clock stepped, with its direction."""
    return f"{'+' if hold['step_ms'] > 0 else ''}{span(hold['step_ms'])}"


@app.command()
def accept(
    by: Annotated[
        str | None, typer.Option("--by", help="Who decides, for the record; else your login.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Go on by the clock as it is now.

    Commands that have waited are decided by their IDs, and what fell due by now
    comes about. After a step forward, running chats have run for as long as the
    clock says. What you do is recorded in the table operations.

    For example:

      meterd clock accept --by ann
    """
    from meterd.rules.redis_keys import Keys  # noqa: PLC0415 - as above
    from persistence.redis.clock_hold import clear_hold, read_hold  # noqa: PLC0415 - as above

    with redis_or_exit(addresses_or_exit(settings_or_exit(config)).redis_url) as client:
        hold = read_hold(client, Keys())
        now_ms = time.time_ns() // 1_000_000
        if hold is None or not clear_hold(client, Keys(), hold, by or getpass.getuser(), now_ms):
            raise fail("Nothing is held because of the clock.")
    print_line(f"Going on; the clock had stepped by {_step(hold)}.")
