"""A frame as a person reads it: tables in a terminal, one line in a pipe. Pure."""

from collections.abc import Iterable
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from daemon.console.common import table
from daemon.console.format import STATUS_COLOURS, duration
from daemon.top.look import Frame

BARS: Final = "▁▂▃▄▅▆▇█"
PLOT_WIDTH: Final = 40

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
    return "  ".join(f"{name}={value}" for name, value in facts(frame).items())


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


def screen(frame: Frame) -> RenderableType:
    """The whole screen, for a terminal."""
    why = frame.trouble or frame.status.get("why", "")
    head = Text.assemble(
        ("meterd ", "bold"),
        (frame.status["state"], _STATES.get(frame.status["state"], "bold red")),
        f"  {why}",
    )
    return Group(head, _totals(frame), _actors(frame.status.get("actors", ())), _chats(frame))


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


def _actors(actors: Iterable[dict[str, Any]]) -> Table:
    rows = table("Actors", "name", "process", "chats", "waiting", "restarts", "state")
    for actor in actors:
        state = actor["trouble"] or ("up" if actor["up"] else "starting")
        numbers = (actor["pid"] or "", actor["chats"], actor["waiting"], actor["restarts"])
        rows.add_row(actor["name"], *map(str, numbers), state)
    return rows


def _chats(frame: Frame) -> Table:
    rows = table("Newest open chats")
    for name in ("chat", "user", "advisor", "status", "active", "cost", "rate"):
        rows.add_column(name, overflow="ellipsis", max_width=24)
    for chat in frame.chats:
        is_running = chat["status"] == "running"
        active_ms = chat["active_ms"] + (frame.now_ms - chat["as_of"] if is_running else 0)
        status = Text(chat["status"], STATUS_COLOURS.get(chat["status"], ""))
        names = (chat["chat_id"], chat["user_id"], chat["advisor_id"])
        rows.add_row(*names, status, duration(active_ms), chat["cost"], chat["rate"])
    return rows
