"""What is wrong is not archived, and what is changed afterwards is found as before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from daemon.archive.run import Archiver
from daemon.audit.differences import Difference
from daemon.errors import ArchiveError
from tests.archive.conftest import archive, audited, count_rows, fail_on_difference, run_sql
from tests.archive.filling import CUT_MS


def _short(cases: Mapping[str, object], *fast: str) -> list[Any]:
    """The names of all cases; those that are not named here run by ``make test-slow``."""
    slow = [pytest.param(name, marks=pytest.mark.slow) for name in cases if name not in fast]
    return [*fast, *slow]


BROKEN = {
    "journal": ("UPDATE command_journal SET outcome = 'unknown_chat' WHERE chat_id = 'ann.open'"),
    "records": (
        "UPDATE chat_time_records SET active_ms = active_ms - 1, paused_ms = paused_ms + 1"
        " WHERE chat_id = 'ann.ended'"
    ),
    "ledger": "UPDATE ledger_entries SET amount = amount + 1 WHERE entry_id LIKE 'top_up:%'",
}


@pytest.mark.parametrize("what", _short(BROKEN, "records"))
def test_what_an_audit_finds_is_not_archived(filled: Engine, tmp_path: Path, what: str) -> None:
    """Nothing is dropped that is wrong, and the next step is named."""
    run_sql(filled, BROKEN[what])
    found: list[Difference] = []
    archiver = Archiver(filled, found.append)
    plan = archiver.plan(CUT_MS)
    assert plan is not None
    with pytest.raises(ArchiveError, match=r"nothing is archived.*meterd audit"):
        archiver.run(plan, tmp_path, "ann")
    assert found
    assert count_rows(filled, "journal_archives") == 0
    assert not (tmp_path / plan.name).exists()


AFTERWARDS = {
    "a state": (
        """UPDATE opening_states SET account = jsonb_set(account, '{settled_micro}', '1')
        WHERE user_id = 'ann'""",
        {"opening_state"},
    ),
    "a state's number": (
        "UPDATE opening_states SET ended_chats = 7 WHERE user_id = 'ann'",
        {"opening_state"},
    ),
    "a record": (BROKEN["records"], {"archived_records", "record"}),
    "a record's refunds": (
        "UPDATE chat_time_records SET refunded = 0 WHERE chat_id = 'ann.ended'",
        {"record"},
    ),
    "a record gone": (
        "DELETE FROM chat_time_records WHERE chat_id = 'ann.ended'",
        {"archived_records", "outcome", "extra_ledger_entry", "balance"},
    ),
    "an entry gone": (
        "DELETE FROM ledger_entries WHERE entry_id = 'charge:ann.ended'",
        {"archived_ledger", "balance"},
    ),
    "an entry more": (
        """INSERT INTO ledger_entries SELECT 'top_up:5-0', user_id, NULL, 'top_up', 5, at, NULL
        FROM ledger_entries WHERE entry_id = 'charge:ann.ended'""",
        {"archived_ledger", "balance"},
    ),
}


@pytest.mark.parametrize("what", _short(AFTERWARDS, "a state", "a record", "an entry gone"))
def test_what_is_changed_afterwards_is_named(filled: Engine, tmp_path: Path, what: str) -> None:
    """Of what was before the archive, too: states, records and ledger. Nobody else is."""
    archive(filled, tmp_path, CUT_MS)
    statement, kinds = AFTERWARDS[what]
    run_sql(filled, statement)
    found = audited(filled)
    assert {one.kind for one in found} == kinds
    assert {one.user for one in found} == {"ann"}


def test_rows_that_no_month_can_have_are_not_lost(filled: Engine) -> None:
    """An entry ID of the first milliseconds of 1970 is in no order of time: nothing is archived."""
    run_sql(
        filled,
        "INSERT INTO command_journal SELECT '9-0', 9, 0, NULL, NULL, '{}',"
        " 'invalid_command', false, 'p'",
    )
    with pytest.raises(ArchiveError, match="1 rows of the journal are older and in no month"):
        Archiver(filled, fail_on_difference).plan(CUT_MS)
