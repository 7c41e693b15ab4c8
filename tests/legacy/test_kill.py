"""Killed anywhere and run again, a migration ends as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from daemon.legacy import migrate as migrating
from daemon.legacy.diff import Databases
from daemon.legacy.errors import LegacyError
from daemon.legacy.migrate import MigrationProgress
from tests.legacy.old_data import create_ugly
from tests.legacy.system import bring, content, quiet, sql, verdict_of

pytestmark = [pytest.mark.slow, pytest.mark.postgres]
PAIRS, BATCH = 120, 12
POINTS = 50
STEPS = 48
WIPE = "TRUNCATE chat_time_records, legacy_chats, legacy_quarantine, legacy_residues, legacy_runs"
_CHILD = """
import sys
from daemon.legacy.diff import Sides
from daemon.legacy.migrate import migrate
from daemon.legacy.store.shape import LegacyShape
from persistence.postgres.engine import make_engine
sides = Sides(make_engine(sys.argv[1]), make_engine(sys.argv[2]), LegacyShape())
print("ready", flush=True)
migrate(sides, "latest", lambda _: None, 20)
"""


class Killed(BaseException):
    """The process is gone."""


class Killer:
    """Kills at one of many steps: before and after each statement and each commit."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, _: MigrationProgress | None = None) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def around(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def acted(*args: Any) -> Any:
            self()
            result = act(*args)
            self()
            return result

        return acted


def _killed_at(sides: Databases, step: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    killer = Killer(step)
    with monkeypatch.context() as patch:
        for name in ("write_changes", "set_place", "finish_run", "new_run"):
            patch.setattr(migrating, name, killer.around(getattr(migrating, name)))
        try:
            migrating.migrate(sides, "latest", killer, BATCH)
        except Killed:
            return True
    return False


@pytest.fixture
def ugly(sides: Databases) -> Databases:
    with sides.old.begin() as connection:
        create_ugly(connection, PAIRS, seed=11)
    return sides


def test_killed_at_any_point_and_resumed(ugly: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same to the byte, what was counted too; however often it is killed on the way."""
    bring(ugly, batch_pairs=BATCH)
    without = content(ugly.own)
    chance = random.Random(POINTS)
    kills = 0
    for point in range(1, POINTS + 1):
        sql(ugly.own, WIPE)
        kills += _killed_at(ugly, point, monkeypatch)
        while chance.random() < 0.3 and not _is_finished(ugly):
            kills += _killed_at(ugly, chance.randrange(1, STEPS), monkeypatch)
        if not _is_finished(ugly):
            bring(ugly, batch_pairs=BATCH)
        assert content(ugly.own) == without, f"killed at step {point}"
    assert kills >= POINTS
    assert verdict_of(ugly).differences == []


def _is_finished(sides: Databases) -> bool:
    return ", True)" in content(sides.own)["legacy_runs"]


def test_a_process_that_is_killed(ugly: Databases, empty_url: str, url: str) -> None:
    """For real, a few times, wherever it is."""
    with ugly.old.begin() as connection:
        connection.exec_driver_sql("DROP TABLE conversation_time_records, chats, user_credits")
        create_ugly(connection, 1_500)
    _whole_run(ugly)
    without = content(ugly.own)
    sql(ugly.own, WIPE)
    chance = random.Random(5)
    for _ in range(4):
        if not _is_finished(ugly):
            _start_and_kill(empty_url, url, chance.uniform(0.02, 0.3))
    _whole_run(ugly)
    assert content(ugly.own) == without


def _start_and_kill(old_url: str, own_url: str, after_s: float) -> None:
    arguments = [sys.executable, "-c", _CHILD, old_url, own_url]
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(after_s)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()


def _whole_run(sides: Databases) -> None:
    """Once the server has noticed that who was killed is gone."""
    for _ in range(100):
        try:
            if not _is_finished(sides):
                migrating.migrate(sides, "latest", quiet, 20)
        except LegacyError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the lock of a killed process is never released")
