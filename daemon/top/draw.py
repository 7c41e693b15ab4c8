"""A frame as a person reads it: tables in a terminal, one line in a pipe. Pure."""

import itertools
from collections.abc import Iterable
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from daemon.console.chat_now import ChatNow
from daemon.console.format import STATUS_COLOURS
from daemon.console.table import Cell
from daemon.console.table import Table as Rows
from daemon.console.units import duration, span
from daemon.top.look import CHATS_READ, Frame
from daemon.top.order import KEYS, Order, ordered
from meterd.rules.money import format_micro

BARS: Final = "▁▂▃▄▅▆▇█"
PLOT_WIDTH: Final = 40
CHATS_SHOWN: Final = 10
WIDE_COLUMNS: Final = 120
"""From so many columns of the terminal on, all columns of the chats fit."""
_NAME_WIDTH: Final = 24
_NARROW_NAME_WIDTH: Final = 16
"""So that a time and a cost are whole, and the columns fit into 80."""
_WIDE_ONLY: Final = ("user", "advisor", "billed", "burn a minute")
_COLUMNS: Final = (
    *("chat", "user", "advisor", "status", "active", "billed"),
    *("cost", "burn a minute", "time left"),
)

_STATES: Final = {"ready": "bold green", "degraded": "bold yellow", "recovering": "yellow"}


def spark(values: Iterable[float], width: int = PLOT_WIDTH) -> str:
    """The latest values as bars, from zero to the highest of them."""
    shown = list(values)[-width:]
    top = max(shown, default=0)
    if top <= 0:
        return BARS[0] * len(shown)
    return "".join(BARS[min(len(BARS) - 1, int(value / top * len(BARS)))] for value in shown)


def line(frame: Frame) -> str:
    """One line, for a pipe."""
    shown = facts(frame)
    shown["oldest"] = span(shown.pop("oldest_ms")).replace(" ", "")
    return "  ".join(f"{name}={value}" for name, value in shown.items())


def document(frame: Frame, order: Order) -> dict[str, Any]:
    """The same for a program, with the first chats as they are now."""
    chats = [
        {**chat.snapshot, "burn_rate": format_micro(chat.burn_micro), "left_ms": chat.left_ms}
        for chat in _first(frame, order)
    ]
    return {**facts(frame), "chats": chats}


def facts(frame: Frame) -> dict[str, Any]:
    """What one line shows."""
    status, queue = frame.status, frame.status.get("queue", {})
    per_s = frame.past.commands_per_s
    return {
        "state": status["state"],
        "open_chats": status.get("open_chats", 0),
        "commands_per_s": round(per_s[-1]) if per_s else 0,
        "lag": queue.get("lag", 0) + queue.get("pending", 0),
        "oldest_ms": queue.get("oldest_ms", 0),
        "outbox": queue.get("outbox", 0),
        "dead": queue.get("dead", 0),
        "actors": len(status.get("actors", ())),
    }


def screen(
    frame: Frame, order: Order = Order.NEWEST, columns: int = WIDE_COLUMNS
) -> RenderableType:
    """The whole screen, for a terminal of so many columns."""
    why = frame.trouble or frame.status.get("why", "")
    head = Text.assemble(
        ("meterd ", "bold"),
        (frame.status["state"], _STATES.get(frame.status["state"], "bold red")),
        f"  {why}",
    )
    keys = "  ".join(f"{key} {name}" for key, name in KEYS.items())
    return Group(
        head,
        _totals(frame),
        _actors(frame.status.get("actors", ())).drawn(),
        _chats(frame, order, columns < WIDE_COLUMNS).drawn(),
        Text(f"sort by: {keys}   q quit", "dim"),
    )


def _totals(frame: Frame) -> Table:
    now, past = facts(frame), frame.past
    rows = Table(box=None, show_header=False, pad_edge=False)
    for name in ("name", "value", "plot"):
        rows.add_column(name, justify="right" if name == "value" else "left")
    rows.add_row("open chats", str(now["open_chats"]), spark(past.open_chats))
    rows.add_row("commands a second", str(now["commands_per_s"]), spark(past.commands_per_s))
    rows.add_row("commands that wait", str(now["lag"]), spark(past.lag))
    rows.add_row("oldest of them", duration(now["oldest_ms"]), "")
    rows.add_row("waiting for PostgreSQL", str(now["outbox"]), "")
    rows.add_row("dead letters", str(now["dead"]), "")
    return rows


def _actors(actors: Iterable[dict[str, Any]]) -> Rows:
    rows = Rows("Actors", "name", "process", "chats", "waiting", "restarts", "state")
    for actor in actors:
        state = actor["trouble"] or ("up" if actor["up"] else "starting")
        numbers = (actor["pid"] or "", actor["chats"], actor["waiting"], actor["restarts"])
        rows.add_row(actor["name"], *map(str, numbers), state)
    return rows


def _first(frame: Frame, order: Order) -> list[ChatNow]:
    return ordered(frame.chats, order)[:CHATS_SHOWN]


def _chats(frame: Frame, order: Order, is_narrow: bool) -> Rows:
    """The first chats; a narrow terminal gets fewer columns, each of them whole."""
    of = f", of the {CHATS_READ:,} newest" if len(frame.chats) == CHATS_READ else ""
    shown = [name not in _WIDE_ONLY or not is_narrow for name in _COLUMNS]
    width_max = _NARROW_NAME_WIDTH if is_narrow else _NAME_WIDTH
    rows = Rows(
        f"Open chats by {order}{of}", *itertools.compress(_COLUMNS, shown), width_max=width_max
    )
    for snapshot, burn_micro, left_ms in _first(frame, order):
        status = Cell(snapshot["status"], STATUS_COLOURS.get(snapshot["status"], ""))
        names = (snapshot["chat_id"], snapshot["user_id"], snapshot["advisor_id"])
        times = (duration(snapshot["active_ms"]), duration(snapshot["billed_ms"]))
        left = "" if left_ms is None else duration(left_ms)
        burn = format_micro(burn_micro) if burn_micro else ""
        cells = (*names, status, *times, snapshot["cost"], burn, left)
        rows.add_row(*itertools.compress(cells, shown))
    return rows
