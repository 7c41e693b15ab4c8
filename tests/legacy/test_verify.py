"""Verify finds whatever differs, and names it."""

import json

import pytest
from typer.testing import CliRunner

from daemon.cli import app
from daemon.legacy.diff import Databases
from daemon.legacy.verify import MIGRATE
from tests.legacy.old_data import create_ugly
from tests.legacy.system import bring, sql, verdict_of

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

_ONE = "(SELECT chat_id FROM chat_time_records WHERE cost > 0 ORDER BY 1 LIMIT 1)"
_ASIDE = "(SELECT ctid FROM legacy_quarantine WHERE {} ORDER BY 1 LIMIT 1)"
OWN = {
    "a record is gone": (f"DELETE FROM chat_time_records WHERE chat_id = {_ONE}", "record"),
    "a record is nobody's": (f"DELETE FROM legacy_chats WHERE chat_id = {_ONE}", "stray"),
    "a millisecond more": (
        (
            "UPDATE chat_time_records SET active_ms = active_ms + 1, paused_ms = paused_ms - 1"
            " WHERE chat_id = (SELECT min(chat_id) FROM chat_time_records WHERE paused_ms > 0)"
        ),
        "sum",
    ),
    "a micro-credit less": (
        (
            "UPDATE chat_time_records SET cost = cost - 0.000001, carried_cost = cost - 0.000001"
            f" WHERE chat_id = {_ONE}"
        ),
        "total_credits",
    ),
    "a row of the quarantine is gone": (
        "DELETE FROM legacy_quarantine WHERE ctid = "
        + _ASIDE.format("kind = 'chat' AND total_ms = 0"),
        "chat",
    ),
    "an amount that was set aside": (
        "UPDATE legacy_quarantine SET total_ms = total_ms - 1 WHERE ctid = "
        + _ASIDE.format("kind = 'record'"),
        "sum",
    ),
    "a fraction": (
        (
            "UPDATE legacy_residues SET ms = ms + 0.0001 WHERE key = "
            "(SELECT min(key) FROM legacy_residues)"
        ),
        "fraction",
    ),
    "a fraction is gone": ("DELETE FROM legacy_residues", "fraction"),
    "two chats have changed places": (
        (
            "UPDATE chat_time_records SET cost = cost + 1, carried_cost = carried_cost + 1"
            f" WHERE chat_id = {_ONE};"
            "UPDATE chat_time_records SET cost = cost - 1, carried_cost = carried_cost - 1"
            " WHERE chat_id = (SELECT max(chat_id) FROM chat_time_records WHERE cost > 1)"
        ),
        "behind",
    ),
}
OLD = {
    "a chat more": ("INSERT INTO chats VALUES ('new', 'u1', 'a1', now(), now())", "chat"),
    "a total": (
        (
            "UPDATE conversation_time_records SET total_seconds = 99.5 WHERE id ="
            " (SELECT min(id) FROM conversation_time_records WHERE total_seconds BETWEEN 1 AND 99)"
        ),
        "sum",
    ),
    "a fraction of a micro-credit": (
        "UPDATE conversation_time_records SET credits_used = credits_used + 0.0000001",
        "fraction",
    ),
}


@pytest.fixture
def imported(sides: Databases) -> Databases:
    with sides.old.begin() as connection:
        create_ugly(connection, 150)
    bring(sides)
    assert verdict_of(sides).differences == []
    return sides


@pytest.mark.parametrize(("what", "kind"), OWN.values(), ids=OWN)
def test_what_differs_here_is_found(imported: Databases, what: str, kind: str) -> None:
    sql(imported.own, *what.split(";"))
    assert kind in {one.kind for one in verdict_of(imported).differences}


@pytest.mark.parametrize(("what", "kind"), OLD.values(), ids=OLD)
def test_what_has_changed_there_is_found_and_caught_up_with(
    imported: Databases, what: str, kind: str
) -> None:
    sql(imported.old, what)
    found = verdict_of(imported)
    assert kind in {one.kind for one in found.differences}
    assert found.next == {MIGRATE: found.differ}
    bring(imported)
    assert verdict_of(imported).differences == []


@pytest.fixture
def told(sides: Databases, empty_url: str, url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    with sides.old.begin() as connection:
        create_ugly(connection, 60)
    monkeypatch.setenv("METERD_POSTGRES__URL", url)
    monkeypatch.setenv("METERD_LEGACY__URL", empty_url)
    return CliRunner()


def test_the_commands_one_after_the_other(told: CliRunner, sides: Databases) -> None:
    """Each ends well, with JSON for programs; verify exits 1 if anything differs."""
    answers = {}
    for words in ("inspect", "migrate --policy proportional", "verify", "quarantine list",
                  "quarantine retry", "rollback 1"):  # fmt: skip
        result = told.invoke(app, ["legacy", *words.split(), "--json"])
        assert result.exit_code == 0, result.output
        answers[words] = json.loads(result.stdout)
        assert told.invoke(app, ["legacy", *words.split()]).exit_code == 0
    assert answers["verify"]["ok"]
    assert (
        answers["rollback 1"]["removed"]
        == answers["migrate --policy proportional"]["counts"]["brought"]
    )
    result = told.invoke(app, ["legacy", "verify", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["count"] > 0


def test_runs_and_what_is_left_to_do_are_told(told: CliRunner, sides: Databases) -> None:
    """Each run with what it has changed; of differences, which command fixes how many."""
    for words in ("migrate", "migrate"):
        assert told.invoke(app, ["legacy", words]).exit_code == 0
    runs = json.loads(told.invoke(app, ["legacy", "runs", "--json"]).stdout)
    assert [(one["run_id"], "written" in one["counts"]) for one in runs] == [(1, True), (2, False)]
    assert "latest" in told.invoke(app, ["legacy", "runs"]).stdout
    sql(sides.old, "INSERT INTO chats VALUES ('new', 'u1', 'a1', now(), now())")
    found = json.loads(told.invoke(app, ["legacy", "verify", "--json"]).stdout)
    assert found["next"] == {"meterd legacy migrate": found["count"]}
    plain = told.invoke(app, ["legacy", "verify"]).stdout
    assert "meterd legacy migrate, then verify again" in plain
    assert "that no other run fixes" not in plain
    sql(sides.own, "INSERT INTO legacy_balances VALUES ('u1', 1, 2, 0, 0)")
    assert "that no other run fixes" in told.invoke(app, ["legacy", "verify"]).stdout


def test_what_can_not_be_is_said_with_the_next_step(
    told: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = told.invoke(app, ["legacy", "migrate", "--policy", "fair"])
    assert (result.exit_code, "latest, proportional" in result.stderr) == (2, True)
    result = told.invoke(app, ["legacy", "quarantine", "assign", "none", "c1"])
    assert (result.exit_code, "0 records none are set aside" in result.stderr) == (1, True)
    monkeypatch.setenv("METERD_LEGACY__CHATS_ENDED_AT", "finished")
    result = told.invoke(app, ["legacy", "inspect"])
    assert result.exit_code == 1
    assert "legacy.chats_ended_at: chats has no column finished, only id" in result.stderr
    monkeypatch.setenv("METERD_LEGACY__CHATS_ENDED_AT", 'x"; DROP TABLE chats')
    assert told.invoke(app, ["legacy", "inspect"]).exit_code == 2
