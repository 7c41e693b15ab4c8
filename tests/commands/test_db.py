"""``meterd db``: the tables are updated, and it is said what was done."""

import json
from pathlib import Path

import pytest

from loadtests.common.live import LiveDaemon
from tests.commands.elsewhere import run

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


@pytest.mark.ray
def test_nothing_to_upgrade(live: LiveDaemon) -> None:
    """The daemon has done it; asking again changes nothing and says so."""
    assert live.run("db", "upgrade").stdout.startswith("nothing to be done")
    asked = json.loads(live.run("db", "upgrade", "--json").stdout)
    assert asked["changed"] is False
    assert asked["from"] == asked["to"]


@pytest.mark.postgres
def test_an_empty_database_is_upgraded(tmp_path: Path, empty_url: str) -> None:
    """From nothing to the newest; the second time there is nothing to do."""
    first, second = (
        json.loads(run(tmp_path, "db", "upgrade", "--json", METERD_POSTGRES__URL=empty_url).stdout)
        for _ in range(2)
    )
    assert first == {"from": None, "to": second["from"], "changed": True}
    assert second["changed"] is False


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    """Exit code 1, the next step, and no password."""
    url = "postgresql://me:hunter2@127.0.0.1:1/none"
    asked = run(tmp_path, "db", "upgrade", METERD_POSTGRES__URL=url)
    assert asked.returncode == 1
    assert "meterd status" in asked.stderr
    assert "hunter2" not in asked.stderr
