"""Nothing that anybody sent can drive a terminal, however it is printed."""

import ast
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.live import Live

from daemon.console import common
from daemon.console.escape import printable
from daemon.console.format import print_snapshot
from daemon.console.progress import progress
from daemon.console.table import Cell, Table
from daemon.console.terminal import SafeConsole
from daemon.console.units import moment, span
from persistence.redis.dead_letters import read_letter

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "daemon/asyncapi/__main__.py",
    "daemon/gateway/openapi.py",
    "daemon/monitoring/dashboard.py",
    "daemon/monitoring/prometheus.py",
)
"""They print a file of the project; no command runs them."""
OURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""The sequences that colours, screens and bars are drawn with: none takes a text."""
ATTACKS = (
    "\x1b[31mred", "\x07", "\x1b]8;;http://x\x1b\\here\x1b]8;;\x1b\\", "\x9b31m", "\x9d0;title\x9c",
    "\u202egpj.exe", "\u2066", "\x7f", "\r\n", "\x00", "[/red]", "[bold]", ":smile:", "\udcff",
    "\x1b[2J\x1b[H", "\x85", "\u2028", "\ufeff",
)  # fmt: skip

texts = st.one_of(
    st.sampled_from(ATTACKS),
    st.text(st.characters(), max_size=30),
    st.binary(max_size=20).map(lambda raw: raw.decode(errors="surrogateescape")),
)
PRINTERS: dict[str, Callable[[str], object]] = {
    "line": common.print_line,
    "coloured line": lambda text: common.print_line(text, "red", is_bold=True),
    "note": common.print_note,
    "error": common.fail,
    "fact": lambda text: common.print_fact(text, text, "green"),
    "snapshot": lambda text: print_snapshot({"chat_id": text, "status": text, text: text}),
    "parts": lambda text: common.print_parts((text, "red"), (text, "")),
    "json": lambda text: common.print_json({text: [text]}),
}


def _is_plain(printed: str) -> bool:
    """Whether a terminal shows it without doing anything but ending lines."""
    return all(line.isprintable() for line in printed.split("\n"))


def _table(text: str) -> Table:
    rows = Table(text, text, "other", width_max=20)
    rows.add_row(text, Cell(text, "red"))
    return rows


@given(texts)
@example("".join(ATTACKS))
def test_what_is_escaped_is_printable_and_what_is_printable_stays(text: str) -> None:
    """Each character that is not plainly shown, and no other one, is written in ASCII."""
    assert printable(text).isprintable()
    plain = "".join(c for c in text if c.isprintable())
    assert printable(plain) == plain
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize("name", PRINTERS)
@given(text=texts)
@example(text="".join(ATTACKS))
@example(text="_ms")  # a snapshot's field of this name, with itself as its value
@example(text="as_of")
def test_whatever_prints_escapes(name: str, text: str) -> None:
    """To a pipe; in lines, facts, errors, snapshots and JSON."""
    with pytest.MonkeyPatch.context() as patch:
        printed = io.StringIO()
        patch.setattr("sys.stdout", printed)
        patch.setattr("sys.stderr", printed)
        PRINTERS[name](text)
    assert _is_plain(printed.getvalue())


@given(texts)
@example("".join(ATTACKS))
def test_json_is_ascii_and_the_same_text(text: str) -> None:
    """A program reads what was sent; a terminal that it is printed on sees ASCII."""
    written = common.json_text({"a": text})
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written) == {"a": text}


@given(texts)
@example("".join(ATTACKS))
def test_a_table_in_a_pipe_has_a_line_for_each_row(text: str) -> None:
    """Whatever its cells hold."""
    lines = list(_table(text).lines())
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 2 + bool(text)


@given(texts)
@example("".join(ATTACKS))
def test_a_terminal_gets_no_sequence_but_ours(text: str) -> None:
    """In tables, screens and bars, and in text that nobody has escaped before."""
    printed = io.StringIO()
    console = SafeConsole(file=printed, force_terminal=True, color_system="standard")
    console.print(_table(text).drawn())
    console.print(text, text)
    with Live(console=console, auto_refresh=False, screen=True) as live:
        live.update(_table(text).drawn(), refresh=True)
    with progress(console, text, text, lambda: text) as report:
        report(1, 2, text)
    assert _is_plain(OURS.sub("", printed.getvalue()).replace("\r", ""))


def test_a_terminal_is_drawn_for_at_all() -> None:
    """The test above looks at sequences, and not at what a pipe gets."""
    printed = io.StringIO()
    console = SafeConsole(file=printed, force_terminal=True, color_system="standard")
    console.print(_table("a").drawn())
    assert "\x1b[" in printed.getvalue()


@given(st.dictionaries(st.sampled_from([b"entry", b"outcome", b"reason", b"fields"]), st.binary()))
def test_a_dead_letter_of_any_bytes_is_read(fields: dict[bytes, bytes]) -> None:
    """Whoever can write to Redis can put anything there; JSON of it is still JSON."""
    letter = read_letter((b"1-1", fields))
    assert common.json_text(letter._asdict()).isascii()


@given(st.integers(0, 2**64))
def test_any_number_of_an_entry_is_a_moment(at_ms: int) -> None:
    """A stream's ID may be from the year 500 million."""
    assert moment(at_ms).isprintable()


@given(st.integers(-(10**12), 10**12))
def test_a_span_names_its_units_and_loses_nothing(ms: int) -> None:
    """Hours, minutes and seconds add up to the milliseconds."""
    units = {"h": 3_600_000, "min": 60_000, "s": 1_000}
    words = span(ms).removeprefix("-").split(" ")
    total = sum(
        round(float(number) * units[unit])
        for number, unit in zip(words[::2], words[1::2], strict=True)
    )
    assert (-total if span(ms).startswith("-") else total) == ms


def test_commands_print_through_the_console_only() -> None:
    """No command has a way to a terminal of its own."""
    files = (path.relative_to(ROOT) for path in (ROOT / "daemon").rglob("*.py"))
    found = [
        f"{path}:{node.lineno}"
        for path in files
        if path.parent.name != "console" and str(path) not in DOCUMENTS
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Call) and _prints(node)
    ]
    assert found == []


def _prints(call: ast.Call) -> bool:
    called: Any = call.func
    if isinstance(called, ast.Name):
        to_a_file = any(keyword.arg == "file" for keyword in call.keywords)
        return called.id in ("print", "Console") and not to_a_file
    name = ast.unparse(called)
    return name in ("typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write")
