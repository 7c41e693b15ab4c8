"""``meterd top``."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.console.common import (
    ConfigOption,
    JsonOption,
    addresses_or_exit,
    is_terminal,
    print_json,
    print_line,
    redis_or_exit,
    settings_or_exit,
)
from daemon.top.order import KEYS, Order

if TYPE_CHECKING:
    from daemon.top.look import Watch

_QUIT = "q"


def top(
    json: JsonOption = False,
    every_s: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How often to look.")
    ] = 1.0,
    times: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Look so often, then end.")
    ] = None,
    sort: Annotated[Order, typer.Option(help="Which open chats come first.")] = Order.NEWEST,
    config: ConfigOption = None,
) -> None:
    """Watch the service: totals, queue, actors, open chats.

    In a terminal a screen that stays up to date until q or Ctrl-C; n, c, t, b
    and l show the newest chats first, or those with the highest cost, the longest
    time, the highest burn, or the least time left. Time and cost are as of now.
    In a pipe one line for each look, with --json one object.

    For example:

      meterd top

      meterd top --times 1

      meterd top --json --sort cost --times 1 | jq '.chats[0].cost'
    """
    from daemon.top.look import Watch, engine_for  # noqa: PLC0415 - the help need not wait

    addresses = addresses_or_exit(settings_or_exit(config))
    with (
        redis_or_exit(addresses.redis) as clients,
        engine_for(addresses.postgres_url) as engine,
    ):
        watch = Watch(clients, engine)
        try:
            if json or not is_terminal():
                _print_looks(watch, every_s, times, sort, json)
            else:
                _show(watch, every_s, times, sort)
        except KeyboardInterrupt:
            raise typer.Exit from None


def _print_looks(
    watch: "Watch", every_s: float, times: int | None, order: Order, json: bool
) -> None:
    from daemon.top.draw import document, line  # noqa: PLC0415 - as above

    while True:
        frame = watch.look()
        print_json(document(frame, order)) if json else print_line(line(frame))
        times = None if times is None else times - 1
        if times == 0:
            return
        time.sleep(every_s)


def _show(watch: "Watch", every_s: float, times: int | None, order: Order) -> None:
    from rich.live import Live  # noqa: PLC0415 - as above

    from daemon.console.terminal import out  # noqa: PLC0415 - as above
    from daemon.top.draw import screen  # noqa: PLC0415 - as above
    from daemon.top.keyboard import keyboard  # noqa: PLC0415 - as above

    with keyboard() as wait, Live(console=out, auto_refresh=False, screen=True) as live:
        while True:
            frame = watch.look()
            live.update(screen(frame, order, out.width), refresh=True)
            times = None if times is None else times - 1
            if times == 0:
                return
            again_s = time.monotonic() + every_s
            while (left_s := again_s - time.monotonic()) > 0:
                key = wait(left_s)
                if key == _QUIT:
                    return
                if key in KEYS:
                    order = KEYS[key]
                    live.update(screen(frame, order, out.width), refresh=True)
