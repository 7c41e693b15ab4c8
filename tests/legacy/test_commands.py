"""What an operator is told: what is wrong, where, and what to type next."""

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from daemon.cli import app
from daemon.legacy import migrate as migrating
from daemon.legacy.diff import Databases
from tests.legacy.old_data import create_ugly
from tests.legacy.system import bring, rows, sql

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

ROLE = "meterd_test_reader"
TABLES = "conversation_time_records, chats, user_credits"


@pytest.fixture
def old(
    sides: Databases, empty_url: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Databases:
    with sides.old.begin() as connection:
        create_ugly(connection, 120)
    monkeypatch.setenv("METERD_HOME", str(tmp_path))
    monkeypatch.setenv("METERD_POSTGRES__URL", url)
    monkeypatch.setenv("METERD_LEGACY__URL", empty_url)
    return sides


def _typed(*words: str) -> Result:
    return CliRunner().invoke(app, ["legacy", *words])


def _told(*words: str) -> Any:
    result = _typed(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.usefixtures("old")
def test_inspect_needs_no_meterd(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the first step: there may be nothing but the old system yet."""
    monkeypatch.delenv("METERD_POSTGRES__URL")
    assert _told("inspect")["counts"]["pairs"] > 100
    assert "meterd up" in _typed("migrate").stderr


def test_a_role_without_rights_is_told_which_it_lacks(
    old: Databases, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first step, not at the last that reads a table; and it needs no more than that."""
    role = make_url(empty_url).update_query_dict({"options": f"-c role={ROLE}"})
    monkeypatch.setenv("METERD_LEGACY__URL", role.render_as_string(hide_password=False))
    sql(old.old, f"CREATE ROLE {ROLE}")
    try:
        sql(old.old, f"GRANT SELECT ON conversation_time_records, chats TO {ROLE}")
        for words in (["inspect"], ["migrate"], ["verify"]):
            asked = _typed(*words)
            assert asked.exit_code == 1
            assert "permission denied for table user_credits" in asked.stderr
            assert f"GRANT SELECT ON {TABLES} TO" in asked.stderr
        assert rows(old.own, "SELECT * FROM legacy_runs") == []
        sql(old.old, f"GRANT SELECT ON user_credits TO {ROLE}")
        for words in (["inspect"], ["migrate"], ["verify"], ["quarantine", "retry"]):
            assert _typed(*words).exit_code == 0
    finally:
        sql(old.old, f"DROP OWNED BY {ROLE}", f"DROP ROLE {ROLE}")


@pytest.mark.usefixtures("old")
def test_whose_server_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old system's, or meterd's own."""
    monkeypatch.setenv("METERD_LEGACY__URL", "postgresql://me:secret@127.0.0.1:1/old")
    asked = _typed("verify")
    assert "The old system's database fails at postgresql://me:***@" in asked.stderr
    assert "legacy.url" in asked.stderr
    monkeypatch.setenv("METERD_POSTGRES__URL", "postgresql://me:secret@127.0.0.1:2/new")
    asked = _typed("verify")
    assert "PostgreSQL fails at postgresql://me:***@127.0.0.1:2/new" in asked.stderr
    assert "old system" not in asked.stderr


@pytest.mark.usefixtures("old")
def test_without_a_url_missing_tables_are_looked_for_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METERD_LEGACY__URL")
    assert "legacy.url is not set: that is meterd's own database" in _typed("inspect").stderr


def _killed(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def test_stopped_in_the_middle_it_says_how_to_go_on(
    old: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verify and the list of runs say that a run was stopped, the next one that it goes on."""
    with monkeypatch.context() as patch:
        patch.setattr(migrating, "_finish", _killed)
        asked = _typed("migrate")
        assert (asked.exit_code, "run again" in asked.stderr) == (130, True)
    assert "run 1 was stopped: meterd legacy migrate" in _typed("verify").stdout
    (one,) = _told("runs")
    assert (one["run_id"], one["policy"], one["finished_at"]) == (1, "latest", None)
    assert "meterd legacy migrate goes on with it" in _typed("runs").stdout
    assert "run 1 was stopped: it goes on" in _typed("migrate").stderr
    sql(old.old, "INSERT INTO chats VALUES ('new', 'u1', 'a1', now(), now())")
    bring(old)
    assert [one["counts"]["written"] for one in _told("runs")][1:] == [1]
    assert _typed("rollback", "2").exit_code == 0
    assert "rolled back" in _typed("runs").stdout


def test_verify_tells_what_has_changed_since_from_what_is_wrong(old: Databases) -> None:
    bring(old)
    sql(old.old, "INSERT INTO chats VALUES ('new', 'u1', 'a1', now(), now())")
    asked = _typed("verify")
    assert asked.exit_code == 1
    assert "where something has changed since: meterd legacy migrate" in asked.stdout
    assert "that no other run fixes" not in asked.stdout
    chat = rows(old.own, "SELECT min(chat_id) FROM legacy_chats WHERE chat_id LIKE 'c%'")[0][0]
    sql(old.own, f"DELETE FROM legacy_chats WHERE chat_id = '{chat}'")
    asked = _typed("verify", "--json")
    found = json.loads(asked.stdout)
    assert found["next"]["meterd legacy migrate"] < found["count"]
    assert found["differences"][0]["next"] == ""


def test_a_record_that_runs_and_is_set_aside_can_be_listed(old: Databases) -> None:
    """Its chat can't be adopted: somebody has to decide before the cut-over."""
    sql(
        old.old,
        "UPDATE conversation_time_records SET total_seconds = -1, status = 'active' WHERE id ="
        " (SELECT min(id) FROM conversation_time_records WHERE status = 'completed')",
    )
    bring(old)
    found = _told("quarantine", "list", "--running", "--most", "1000")
    assert "negative_total" in {one["reason"] for one in found}
    assert {one["details"]["status"] for one in found} <= {"active", "paused"}
    assert {one["kind"] for one in found} == {"record"}
    assert _typed("quarantine", "list", "--running").exit_code == 0
    asked = _typed("quarantine", "list", "--reason", "none")
    assert asked.exit_code == 2
    assert all(reason in asked.stderr for reason in ("negative_total", "account_in_use"))


def test_assigning_to_a_chat_that_was_never_there_is_said(old: Databases) -> None:
    """It may be meant so, or be a slip."""
    bring(old)
    key, user, advisor = rows(
        old.own,
        "SELECT key, user_id, advisor_id FROM legacy_quarantine"
        " WHERE reason = 'duplicate_record' ORDER BY 1 LIMIT 1",
    )[0]
    asked = _typed("quarantine", "assign", key, "a-slip")
    assert (asked.exit_code, "there is no chat a-slip" in asked.stdout) == (0, True)
    sql(old.old, f"INSERT INTO chats VALUES ('real', '{user}', '{advisor}', now(), now())")
    asked = _typed("quarantine", "assign", key, "real")
    assert (asked.exit_code, "there is no chat" in asked.stdout) == (0, False)
