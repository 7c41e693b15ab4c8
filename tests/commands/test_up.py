"""What ``meterd up`` prints while it runs."""

from pathlib import Path
from typing import Any

import pytest

from daemon.commands.up import StateReport
from daemon.discovery.runfile import Addresses
from daemon.settings.settings import Settings

BANNER = "meterd is ready."
ADDRESSES = Addresses("redis://127.0.0.1:1/0", "postgresql://m@127.0.0.1:2/m", "http://127.0.0.1:3")


def _status(state: str, why: str = "") -> dict[str, Any]:
    return {"state": state, "why": why, "actors": [], "open_chats": 0}


def test_the_banner_is_printed_at_the_first_ready_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An actor that is replaced, a server that was away, a new engine: the daemon is the same."""
    report = StateReport(Settings(home=tmp_path))
    for status in (
        _status("starting"),
        _status("ready"),
        _status("ready", "chat-1 is being replaced"),
        _status("ready"),
        _status("degraded", "Redis: away"),
        _status("ready"),
        _status("starting"),
        _status("ready"),
    ):
        report(ADDRESSES, status)
    assert capsys.readouterr().out.count(BANNER) == 1


def test_the_banner_is_printed_again_for_new_addresses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person who looks for an address finds the last ones."""
    report = StateReport(Settings(home=tmp_path))
    report(ADDRESSES, _status("ready"))
    report(ADDRESSES._replace(http_url="http://127.0.0.1:4"), _status("ready"))
    shown = capsys.readouterr().out
    assert (shown.count(BANNER), shown.count("http://127.0.0.1:4 ")) == (2, 1)
