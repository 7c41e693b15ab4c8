"""How far a long command is: one bar for all of them."""

import io

import pytest
from rich.console import Console

from daemon.console import progress as module
from daemon.console.progress import progress


def test_a_pipe_gets_no_line_for_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """One every few seconds; with the rate, the phase and the note."""
    printed = io.StringIO()
    with progress(Console(file=printed), "audit", "entries", lambda: "0 differences") as report:
        for done in range(10_000):
            report(done, 20_000, "users")
    assert printed.getvalue() == ""
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.0)
    with progress(Console(file=printed), "audit", "entries", lambda: "0 differences") as report:
        report(1_500, None, "ids")
        report(0, 20_000)
    first, second = printed.getvalue().splitlines()
    assert first.startswith("audit, ids: 1,500 entries, ")
    assert first.endswith("/s, 0 differences")
    assert second.startswith("audit: 0 of 20,000 entries, ")
    assert "s left, 0 differences" in second


def test_a_terminal_gets_a_bar_that_is_gone_afterwards() -> None:
    """With the counts, and each phase as it begins."""
    printed = io.StringIO()
    console = Console(file=printed, force_terminal=True, width=120)
    with progress(console, "migrate", "rows") as report:
        report(500, 1_000)
        report(501, 1_000)
    assert "500 of 1,000 rows" in printed.getvalue(), "the later call came too soon to be drawn"
    with progress(console, "migrate", "rows") as report:
        report(500, 1_000)
        report(501, 1_000, "checks")
    assert "migrate, checks" in printed.getvalue(), "a new phase is drawn at once"
