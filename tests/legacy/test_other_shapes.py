"""Three more shapes, taken by what docs/migration.md says of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from daemon.cli import app
from daemon.legacy.diff import Databases
from daemon.legacy.rules.adoption import OldTariff, adoption_of
from daemon.legacy.splits import splits
from daemon.legacy.store.reader import old_balances, read_only, read_pairs
from daemon.legacy.store.shape import LegacyShape
from daemon.settings.legacy import LegacySettings
from meterd.rules.money import parse_micro
from tests.legacy.owner import DATA, iso_ms
from tests.legacy.system import rows, sql, verdict_of

pytestmark = pytest.mark.postgres

PAGE = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()
AT = iso_ms("2026-11-20T10:35:00Z")
SHAPES = {
    # heading: records here, what runs carries at 10:35 (ms, cost if it can be paid), balances
    "One row a chat": (
        {"1": ("1", "9", 300_000, "150.000000")},
        {"2": (300_000, 150_000_000), "3": (240_000, 180_000_000)},
        {"1": 500_000_000, "2": 90_500_000},
    ),
    "Whole minutes": (
        {"1": ("1", "9", 600_000, "100.000000")},
        {"2": (300_000, 50_000_000)},
        {"1": 100_000_000, "2": 50_000_000},
    ),
    "No cost": (
        {f"c0000000-{'0000-' * 3}{'0' * 11}1": (
            f"00000000-{'0000-' * 3}{'0' * 11}1", "guru_ji", 600_000, "0.000000",
        )},
        {f"c0000000-{'0000-' * 3}{'0' * 11}2": (300_000, 5_000_000)},
        {f"00000000-{'0000-' * 3}{'0' * 11}1": 40_000_000},
    ),
}  # fmt: skip


def _blocks(heading: str, language: str) -> list[str]:
    """What the page says under a heading."""
    section = PAGE.split(f"\n### {heading}\n")[1].split("\n## ")[0].split("\n### ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def _settings(heading: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_blocks(heading, "yaml")[0])["legacy"]
    return found


@pytest.fixture
def others(sides: Databases) -> Databases:
    sql(sides.old, (DATA / "other_shapes.sql").read_text())
    return sides


@pytest.mark.parametrize("heading", SHAPES)
def test_the_page_says_how_it_is_taken(
    others: Databases, empty_url: str, url: str, tmp_path: Path, heading: str
) -> None:
    """By the settings, and the view, that stand there: records, what runs, balances; clean."""
    sql(others.old, *_blocks(heading, "sql"))
    config = tmp_path / "config.yaml"
    given = {"legacy": _settings(heading) | {"url": empty_url}, "postgres": {"url": url}}
    config.write_text(yaml.safe_dump(given))
    for words in ("inspect", "migrate", "verify"):
        done = _typed(words, "--json", "--config", str(config))
        assert done.exit_code == 0, done.output
    records, running, balances = SHAPES[heading]
    found = rows(
        others.own, "SELECT chat_id, user_id, advisor_id, active_ms, cost::text"
        " FROM chat_time_records WHERE ended_at IS NOT NULL",
    )  # fmt: skip
    assert {row[0]: row[1:] for row in found} == records
    assert rows(others.own, "SELECT * FROM legacy_quarantine") == []
    settings = LegacySettings.model_validate(_settings(heading))
    there = others._replace(shape=LegacyShape.of(settings))
    assert _carried(there, settings) == running
    with read_only(there.old) as connection:
        found_balances = old_balances(connection, there.shape)
        assert {one.user_id: one.balance_micro for one in found_balances} == balances
    assert verdict_of(there).differences == []


def _carried(there: Databases, settings: LegacySettings) -> dict[str, tuple[int, int]]:
    tariff = OldTariff(parse_micro(settings.rate or "1"))
    with read_only(there.old) as connection:
        pairs = list(read_pairs(connection, there.shape))
        found = [one for _, done in splits(there, settings.policy, pairs) for one in done.running]
    adoptions = [adoption_of(one, AT, tariff) for one in found]
    return {one.chat_id: (one.carried_ms, one.carried_micro) for one in adoptions}


def _typed(*words: str) -> Result:
    return CliRunner().invoke(app, ["legacy", *words])


REFUSED = {
    "a number for a time": (
        "ALTER TABLE one_row_a_chat.chat_sessions ALTER started_at TYPE bigint USING 0",
        {},
        "legacy.records_started_at: one_row_a_chat.chat_sessions.started_at is bigint, not a time",
    ),
    "a time for a number": (
        "SELECT 1",
        {"records_rate": "created_at"},
        "legacy.records_rate: one_row_a_chat.chat_sessions.created_at is timestamp without time",
    ),
    "no time at all": ("SELECT 1", {"records_started_at": ""}, "legacy.records_total_seconds"),
    "nothing that says what runs": (
        "SELECT 1",
        {"records_status": "", "records_ended_at": "", "records_total_seconds": "rate"},
        "legacy.records_status is empty",
    ),
    "no duration of a chat": (
        "SELECT 1", {"policy": "chat_duration"}, "legacy.policy is chat_duration",
    ),
    "a word for nothing": ("SELECT 1", {"status_words": "active=on"}, "legacy.status_words"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_said_is_refused_by_name(
    others: Databases,
    empty_url: str,
    tmp_path: Path,
    change: str,
    given: dict[str, Any],
    message: str,
) -> None:
    """Before anything is done."""
    sql(others.old, change)
    config = tmp_path / "config.yaml"
    legacy = _settings("One row a chat") | given | {"url": empty_url}
    config.write_text(json.dumps({"legacy": legacy}))
    done = _typed("inspect", "--config", str(config))
    assert done.exit_code in (1, 2)
    assert message in done.stderr
