"""``meterd legacy balances`` and ``adopt``: for people and for programs."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from daemon.legacy.store.balances import fetch_plans
from loadtests.common.live import METERD, LiveDaemon
from tests.engine.harness import KEYS
from tests.legacy.cutover.conftest import Both
from tests.legacy.cutover.cut_over import bring_records, run_sql
from tests.legacy.cutover.old import add_chat, add_record, set_balance

pytestmark = [pytest.mark.slow, pytest.mark.acceptance]


def _ran(
    both: Both, home: Path, *args: str, stdin: int | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    url = both.engine.url.render_as_string(hide_password=False)
    named = {"METERD_REDIS__URL": both.redis_url, "METERD_POSTGRES__URL": url, **variables}
    env = LiveDaemon(home, named).env | named | {"METERD_HOME": str(home)}
    command = [METERD, "legacy", *args]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, stdin=stdin
    )


def _told(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_they_say_what_they_did(both: Both, tmp_path: Path) -> None:
    """Counts and sums; each chat with what it carried."""
    set_balance(both.engine, "u", "7.5")
    add_chat(both.engine, "runs", 0, None)
    add_record(both.engine, "runs", status="paused", total_seconds=20, credits_used=1)

    def act() -> None:
        found = _told(_ran(both, tmp_path, "balances", "--json"))
        assert (found["counts"]["opened"], found["sums"]["opened"]) == (1, "7.500000")
        again = _ran(both, tmp_path, "balances")
        assert "1  accounts that are as they should be" in again.stdout
        foreseen = _ran(both, tmp_path, "adopt", "--dry-run")
        assert ("runs" in foreseen.stdout, "planned" in foreseen.stdout) == (True, True)
        with both.engine.connect() as connection:
            assert fetch_plans(connection) == []
        (one,) = _told(_ran(both, tmp_path, "adopt", "--json"))["adopted"]
        assert [one[k] for k in ("chat_id", "carried_ms", "carried_cost", "outcome")] == [
            "runs", 20_000, "1.000000", "adopted",
        ]  # fmt: skip
        assert "adopted" in _ran(both, tmp_path, "adopt").stdout
        late = _ran(both, tmp_path, "adopt", "--at", "5")
        assert (late.returncode, "can't be changed" in late.stderr) == (1, True)

    both.while_working(act)


def test_what_came_over_as_ended_and_runs_again_is_said(both: Both, tmp_path: Path) -> None:
    """With the next step; and that it is not done."""
    add_chat(both.engine, "runs", 0, None)
    add_record(both.engine, "runs", status="completed", total_seconds=20, credits_used=1)
    bring_records(both, "latest")
    run_sql(both, "UPDATE conversation_time_records SET status = 'active'")

    def act() -> None:
        done = _ran(both, tmp_path, "adopt")
        assert (done.returncode, "came_over_as_ended" in done.stdout) == (1, True)
        assert "meterd legacy migrate, then run this again" in done.stderr
        assert "Run this again: it sends" not in done.stderr

    both.while_working(act)


def test_without_a_daemon_they_say_how_to_start_one(both: Both, tmp_path: Path) -> None:
    """Nothing is opened in a Redis that may have forgotten something."""
    set_balance(both.engine, "u", 1)
    both.while_working(lambda: None)
    both.client.delete(KEYS.instance_id)
    asked = _ran(both, tmp_path, "balances")
    assert asked.returncode == 1
    assert "meterd up" in asked.stderr
