"""``meterd top``."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.console.common import (
    ConfigOption,
    JsonOption,
    addresses_or_exit,
    out,
    print_json,
    redis_or_exit,
    settings_or_exit,
)

if TYPE_CHECKING:
    from daemon.top.look import Frame


def top(
    json: JsonOption = False,
    every_s: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How often to look.")
    ] = 1.0,
    times: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Look so often, then end.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Watch the service: totals, queue, actors, the newest open chats.

    In a terminal a screen that stays up to date until Ctrl-C; in a pipe one line
    for each look, with --json one object.

    For example:

      meterd top

      meterd top --times 1

      meterd top --json --every-s 10 | jq .lag
    """
    from daemon.top.look import Watch, engine_for, watched  # noqa: PLC0415 - the help need not wait

    addresses = addresses_or_exit(settings_or_exit(config))
    with (
        redis_or_exit(addresses.redis_url) as client,
        engine_for(addresses.postgres_url) as engine,
    ):
        frames = watched(Watch(client, engine), every_s, times)
        try:
            _show(frames, json)
        except KeyboardInterrupt:
            raise typer.Exit from None


def _show(frames: "Iterable[Frame]", json: bool) -> None:
    from daemon.top.draw import facts, line, screen  # noqa: PLC0415 - as above

    if json or not out.is_terminal:
        for frame in frames:
            print_json(facts(frame)) if json else typer.echo(line(frame))
        return
    from rich.live import Live  # noqa: PLC0415 - as above

    with Live(console=out, auto_refresh=False, screen=True) as live:
        for frame in frames:
            live.update(screen(frame), refresh=True)
