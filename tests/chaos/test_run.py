"""The harness itself: a short run of it as people start it, and one that has to find something."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from loadtests.common.timeouts import scaled
from persistence.postgres.engine import make_engine
from tests.chaos import __main__ as harness
from tests.chaos.environment import ChaosEnvironment, short_folder
from tests.chaos.faults import CATALOGUE, Fault
from tests.chaos.faults.fault import Blow, nothing

pytestmark = [pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
CHARGE_AGAIN = """
    INSERT INTO ledger_entries (entry_id, user_id, chat_id, kind, amount, at)
    VALUES ('sabotage', 'a-u0', 'a-u0.0.0', 'charge', -1, now())
"""


def test_a_short_run_keeps_every_promise(tmp_path: Path) -> None:
    """Faults at random: exit 0, a table for people, a report for programs, nothing left."""
    seed = os.environ.get("CHAOS_SEED") or str(random.randrange(1 << 24))
    report = tmp_path / "report.json"
    wishes = {"CHAOS_MINUTES": "0.15", "CHAOS_SEED": seed, "CHAOS_REPORT": str(report)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos"],
        cwd=ROOT, env={**os.environ, **wishes}, capture_output=True, text=True, timeout=scaled(390),
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert f"CHAOS_SEED={seed}" in done.stdout
    told = json.loads(report.read_text())
    assert told["problems"] == []
    assert told["strikes"]
    assert told["commands"]


@pytest.mark.slow
def test_a_second_charge_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody bills a chat twice behind the daemon's back: it is named, evidence is kept."""
    saboteur = Fault("saboteur", _charge_again)
    monkeypatch.setattr(harness, "CATALOGUE", {saboteur.name: saboteur})
    folder = short_folder()
    try:
        options = harness.chaos_options(
            {"CHAOS_MINUTES": "0", "CHAOS_KILLS": "1", "CHAOS_SEED": "1"}
        )
        assert not harness.run_in(folder, options)
        assert "sabotage" in (folder / "evidence" / "ledger.jsonl").read_text()
    finally:
        harness.clean(folder, keep=False)
    assert not folder.exists()


@pytest.mark.slow
def test_what_to_set_is_told() -> None:
    """``--help`` names the variables, shows how, and lists the faults."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=scaled(60), check=True,
    )  # fmt: skip
    assert "CHAOS_MINUTES=1 CHAOS_SEED=7 make chaos" in done.stdout
    assert all(name in done.stdout for name in CATALOGUE)


def _charge_again(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    engine = make_engine(environment.postgres.url)
    with engine.begin() as connection:
        connection.execute(text(CHARGE_AGAIN))
    engine.dispose()
    return Blow(nothing, kills=1)
