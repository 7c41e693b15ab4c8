"""What is not adopted without a word: chats that can't be, and chats that would carry very much."""

import json
import os
import pty
from pathlib import Path
from typing import Any

import pytest

from daemon.legacy.adopt import foresee
from daemon.legacy.balances import migrate_balances
from daemon.legacy.errors import CarriesTooMuchError
from daemon.legacy.rules.rows import UNKNOWN, UNKNOWN_WORD
from daemon.legacy.store.balances import fetch_plans
from tests.legacy.cutover.conftest import Both
from tests.legacy.cutover.cut_over import CUT, POLICY, adopt_all, bring_records, run_sql
from tests.legacy.cutover.old import add, add_chat, add_record, set_balance
from tests.legacy.cutover.test_balances import _aside, _asides
from tests.legacy.cutover.test_command import _ran

YEAR_MS = 365 * 86_400_000


def _mixed(both: Both) -> None:
    """One that runs, one in a word that nobody knows, one whose record can't be read."""
    rows: Any = [
        ("runs", "u", "ACTIVE", 20),
        ("odd", "p", "waiting", 20),
        ("bad", "q", "paused", -1),
    ]
    for chat, user, status, seconds in rows:
        add_chat(both.engine, chat, 0, None, user_id=user)
        add_record(
            both.engine, chat, user_id=user, status=status, total_seconds=seconds, credits_used=1
        )
        set_balance(both.engine, user, 5)


def _records(both: Both) -> dict[str, str]:
    with both.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT chat_id, status FROM chat_time_records")
        return {row[0]: row[1] for row in found}


@pytest.mark.slow
def test_what_can_not_be_adopted_is_named(both: Both, tmp_path: Path) -> None:
    """With its reason, before and at the cut-over, which exits 1; it is ended nowhere."""
    _mixed(both)
    bring_records(both, "latest")
    assert _records(both) == {}

    def act() -> None:
        migrate_balances(both.targets, lambda _done, _total: None)
        for words in (["--dry-run"], []):
            done = _ran(both, tmp_path, "adopt", "--json", *words)
            assert done.returncode == 1
            found = json.loads(done.stdout)
            left = {one["chat_id"]: (one["reason"], one["status"]) for one in found["left"]}
            assert left == {"odd": (UNKNOWN_WORD, UNKNOWN), "bad": ("negative_total", "paused")}
            assert [one["chat_id"] for one in found["adopted"]] == ["runs"]
            assert "chat odd of p with v: unknown_status_word" in done.stderr
        assert set(_records(both)) == {"runs"}
        run_sql(
            both, "UPDATE conversation_time_records SET status = 'Completed', total_seconds = 9"
        )
        bring_records(both, "latest")
        assert _ran(both, tmp_path, "adopt").returncode == 0

    both.while_working(act, POLICY)
    assert {chat: status for chat, status in _records(both).items() if chat != "runs"} == {
        "odd": "ended", "bad": "ended",
    }  # fmt: skip


def _answered(both: Both, home: Path, answer: str) -> int:
    """Adopt at a terminal, at which somebody answers; gives the exit code."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = _ran(both, home, "adopt", stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Adopt them all the same?" in done.stderr
    return done.returncode


@pytest.mark.slow
def test_a_chat_that_was_forgotten_is_asked_about(both: Both, tmp_path: Path) -> None:
    """It is named, and nothing is written down; with a yes, or --yes, it is adopted."""
    _mixed(both)
    run_sql(both, "UPDATE conversation_time_records SET status = 'completed', total_seconds = 1")
    run_sql(both, "UPDATE conversation_time_records SET status = 'active' WHERE chat_id = 'runs'")
    resumed = (
        f"UPDATE conversation_time_records SET last_resumed_at = now() - interval '{YEAR_MS} ms'"
    )
    run_sql(both, resumed)
    strict = CUT._replace(at_ms=None, carried_ms_max=YEAR_MS)

    def act() -> None:
        (one,) = foresee(both.targets, strict).plans
        assert one.adoption.carried_ms > YEAR_MS
        with pytest.raises(CarriesTooMuchError, match="runs") as raised:
            adopt_all(both, strict)
        assert [chat for chat, _ in raised.value.chats] == ["runs"]
        done = _ran(both, tmp_path, "adopt")
        assert (done.returncode, done.stdout) == (1, "")
        assert all(word in done.stderr for word in ("legacy.adopt_ms_max", "86400000", "--yes"))
        with both.engine.connect() as connection:
            assert fetch_plans(connection) == []
        assert _answered(both, tmp_path, "n") == 1
        with both.engine.connect() as connection:
            assert fetch_plans(connection) == []
        assert _answered(both, tmp_path, "y") == 0
        # What was asked about once is written down, and not asked about again.
        run_sql(both, "UPDATE conversation_time_records SET status = 'active'")
        done = _ran(both, tmp_path, "adopt")
        assert (done.returncode, "odd" in done.stderr, "runs" in done.stderr) == (1, True, False)
        assert _ran(both, tmp_path, "adopt", "--yes").returncode == 0

    both.while_working(act, POLICY)


def test_the_cut_over_is_a_time_with_its_zone(both: Both, tmp_path: Path) -> None:
    """Or milliseconds; anything else is refused with what would do, and nothing happens."""
    done = _ran(both, tmp_path, "adopt", "--at", "2026-11-20T10:45:00")
    assert done.returncode == 2
    assert "--at: '2026-11-20T10:45:00' has no zone" in done.stderr
    _mixed(both)
    run_sql(both, "DELETE FROM conversation_time_records WHERE chat_id <> 'runs'")

    def act() -> None:
        done = _ran(both, tmp_path, "adopt", "--json", "--at", "2023-11-14T23:13:20.5+01:00")
        (one,) = json.loads(done.stdout)["adopted"]
        assert (one["at"], one["outcome"]) == (1_700_000_000_500, "adopted")

    both.while_working(act, POLICY)


@pytest.mark.parametrize("do_add_up", [False, True])
def test_two_balances_of_one_user(both: Both, do_add_up: bool) -> None:
    """Nobody knows whether they add up, unless a setting says so: they are set aside."""
    for balance in (3, 4):
        add(both.engine, "user_credits", user_id="u", balance=balance)
    targets = both.targets
    shape = targets.sides.shape._replace(do_balances_add_up=do_add_up)
    targets = targets._replace(sides=targets.sides._replace(shape=shape))
    counts = both.while_working(lambda: migrate_balances(targets, lambda _done, _total: None))
    assert (counts["opened"], counts["aside"]) == ((1, 0) if do_add_up else (0, 1))
    assert _asides(both) == ({} if do_add_up else {"u": "several_balances"})
    assert do_add_up or _aside(both, "u") == 7
