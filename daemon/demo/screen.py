"""How the demonstration is shown: a live table in a terminal, lines in a pipe."""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from daemon.console.common import is_terminal, print_line
from daemon.console.format import STATUS_COLOURS
from daemon.console.table import Cell, Table
from daemon.console.units import duration
from daemon.demo.play import DemoEvent, Frame, View

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_COLUMNS: Final = ("chat", "status", "active", "cost", "why")
EVENTS_SHOWN: Final = 10
LINE_EVERY_S: Final = 1.0


def show(frames: Iterable[Frame]) -> None:
    """Show all frames as they come."""
    if is_terminal():
        _show_live(frames)
    else:
        _show_lines(frames)


def _show_live(frames: Iterable[Frame]) -> None:
    from rich.live import Live  # noqa: PLC0415 - a pipe need not wait for it

    from daemon.console.terminal import out  # noqa: PLC0415 - as above

    told: deque[DemoEvent] = deque(maxlen=EVENTS_SHOWN)
    with Live(console=out, auto_refresh=False) as live:
        for view, news in frames:
            told.extend(news)
            live.update(_screen(view, told), refresh=True)


def _screen(view: View, told: Iterable[DemoEvent]) -> "RenderableType":
    """The wallet first: what is left of the credits is what the demonstration is about."""
    from rich.console import Group  # noqa: PLC0415 - as above

    return Group(_wallet(view), _table(view).drawn(), _last(told))


def _table(view: View) -> Table:
    rows = Table(f"{view.elapsed_s:6.1f} s", *_COLUMNS)
    for chat in view.chats:
        status = Cell(chat.status, STATUS_COLOURS.get(chat.status, ""))
        rows.add_row(chat.name, status, duration(chat.active_ms), str(chat.cost), chat.reason)
    return rows


def _wallet(view: View) -> "Text":
    from rich.text import Text  # noqa: PLC0415 - as above

    return Text.assemble(
        "balance ",
        (f"{view.balance:>10}", "bold"),
        f"   falling {view.burn_rate.normalize():f} a minute",
        ("   credits end in " if view.left_ms is not None else "", ""),
        (duration(view.left_ms) if view.left_ms is not None else "", "bold red"),
        "\n",
    )


def _last(told: Iterable[DemoEvent]) -> "Text":
    from rich.text import Text  # noqa: PLC0415 - as above

    lines = [(f"{_line(item)}\n", "bold" if item.is_step else "dim") for item in told]
    return Text.assemble(*lines)


def _line(item: DemoEvent) -> str:
    text = f"the user {item.text}" if item.is_step else f"  · {item.text}"
    return f"{item.elapsed_s:6.1f} s  {text}"


def _show_lines(frames: Iterable[Frame]) -> None:
    next_s = 0.0
    for view, news in frames:
        for item in news:
            print_line(_line(item))
        if not news and view.elapsed_s >= next_s:
            next_s = view.elapsed_s + LINE_EVERY_S
            print_line(_state(view))


def _state(view: View) -> str:
    chats = "".join(
        f"{chat.name} {chat.status:11} {chat.active_ms / 1000:4.1f} s {chat.cost:9}   "
        for chat in view.chats
    )
    left = "" if view.left_ms is None else f"   credits end in {view.left_ms / 1000:.1f} s"
    return f"{view.elapsed_s:6.1f} s      {chats}balance {view.balance:9}{left}"
