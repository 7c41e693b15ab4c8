"""How the demonstration is shown: a live table in a terminal, lines in a pipe."""

from collections import deque
from collections.abc import Iterable
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from daemon.console.common import table
from daemon.console.format import STATUS_COLOURS, duration
from daemon.demo.play import DemoEvent, Frame, View

EVENTS_SHOWN: Final = 10
LINE_EVERY_S: Final = 1.0


def show(frames: Iterable[Frame], console: Console) -> None:
    """Show all frames as they come."""
    if console.is_terminal:
        _show_live(frames, console)
    else:
        _show_lines(frames)


def _show_live(frames: Iterable[Frame], console: Console) -> None:
    told: deque[DemoEvent] = deque(maxlen=EVENTS_SHOWN)
    with Live(console=console, auto_refresh=False) as live:
        for view, news in frames:
            told.extend(news)
            live.update(Group(_table(view), _wallet(view), _last(told)), refresh=True)


def _table(view: View) -> Table:
    rows = table(f"{view.elapsed_s:6.1f} s")
    for column in ("chat", "status", "active", "cost", "why"):
        rows.add_column(column, min_width=11)
    for chat in view.chats:
        status = Text(chat.status, style=STATUS_COLOURS.get(chat.status, ""))
        rows.add_row(chat.name, status, duration(chat.active_ms), str(chat.cost), chat.reason)
    return rows


def _wallet(view: View) -> Text:
    return Text.assemble(
        "balance ",
        (f"{view.balance:>10}", "bold"),
        f"   falling {view.burn_rate.normalize():f} a minute",
        ("   credits end in " if view.left_ms is not None else "", ""),
        (duration(view.left_ms) if view.left_ms is not None else "", "bold red"),
        "\n",
    )


def _last(told: Iterable[DemoEvent]) -> Text:
    lines = [(f"{_line(item)}\n", "bold" if item.is_step else "dim") for item in told]
    return Text.assemble(*lines)


def _line(item: DemoEvent) -> str:
    text = f"the user {item.text}" if item.is_step else f"  · {item.text}"
    return f"{item.elapsed_s:6.1f} s  {text}"


def _show_lines(frames: Iterable[Frame]) -> None:
    next_s = 0.0
    for view, news in frames:
        for item in news:
            print(_line(item), flush=True)  # noqa: T201 - this is its job
        if not news and view.elapsed_s >= next_s:
            next_s = view.elapsed_s + LINE_EVERY_S
            print(_state(view), flush=True)  # noqa: T201 - as above


def _state(view: View) -> str:
    chats = "".join(
        f"{chat.name} {chat.status:11} {chat.active_ms / 1000:4.1f} s {chat.cost:9}   "
        for chat in view.chats
    )
    left = "" if view.left_ms is None else f"   credits end in {view.left_ms / 1000:.1f} s"
    return f"{view.elapsed_s:6.1f} s      {chats}balance {view.balance:9}{left}"
