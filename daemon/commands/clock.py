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
    out,
    print_json,
    redis_or_exit,
    settings_or_exit,
)
from daemon.console.format import moment

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
    out.print(f"queue's clock  {moment(found['queue_ms'])}", markup=False)
    if hold is None:
        out.print("It has not stepped; nothing is held.")
        return
    out.print(
        f"stepped by     {hold['step_ms']:+d} ms, to {moment(hold['queue_ms'])}\n"
        "Nothing is decided until you say so. If the clock is wrong now, set it right first;\n"
        "then go on with: meterd clock accept",
        style="bold red",
        markup=False,
    )


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
    out.print(f"Going on; the clock had stepped by {hold['step_ms']:+d} ms.")
