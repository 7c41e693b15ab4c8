"""Verify compares balances too: whatever differs is found and named, and another run fixes it."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from daemon.legacy import balances_check
from daemon.legacy.balances import migrate_balances
from daemon.legacy.store.balances import HAD
from daemon.legacy.store.decimals import total
from daemon.legacy.verify import VerifyResult, verify
from meterd import Meter
from tests.legacy.cutover.conftest import Both
from tests.legacy.cutover.cut_over import POLICY, adopt_all, old_system
from tests.legacy.cutover.old import set_balance

pytestmark = pytest.mark.slow

BALANCES: dict[str, str] = {
    "a": "12.3456789", "b": "0.0000019", "c": "0", "": "7", "odd user": "5", "minus": "-0.5",
    "nan": "NaN", "zz": "1e30", "busy": "3", "ä": "0.1",
    "third": "1." + "3" * 60, "thirds": "1." + "6" * 60,
}  # fmt: skip
HERE = {
    "more was opened than is said": (
        "INSERT INTO ledger_entries VALUES ('x', 'a', NULL, 'migrated', 1, now(), NULL)", "opened",
    ),
    "somebody was opened whom the old system does not know": (
        "INSERT INTO ledger_entries VALUES ('x', 'who', NULL, 'migrated', 1, now(), NULL)",
        "total_opened",
    ),
    "a balance is not there": ("DELETE FROM legacy_balances WHERE user_id = 'a'", "balance"),
    "a part is less": (
        "UPDATE legacy_balances SET residue = residue / 2 WHERE user_id = 'a'", "balance_parts",
    ),
    "a row of the quarantine is gone": (
        "DELETE FROM legacy_quarantine WHERE kind = 'balance' AND user_id = 'minus'", "balance",
    ),
    "more was set aside": (
        "UPDATE legacy_quarantine SET cost = cost + 1 WHERE user_id = ''", "total_balance",
    ),
    "what is adopted was not paid": (
        (
            "INSERT INTO legacy_adoptions VALUES ('c', 'a', 'v', 1, 1, 1, 1, 1, 1, 1, false, 1,"
            " 'ready')"
        ),
        "adopted",
    ),
    "what of one set aside was paid for nothing": (
        (
            "INSERT INTO legacy_balances VALUES ('busy', 1, 0, 1, 0);"
            "UPDATE legacy_quarantine SET cost = cost - 1 WHERE user_id = 'busy'"
        ),
        "adopted",
    ),
}  # fmt: skip
THERE = {
    "a balance is another": "UPDATE user_credits SET balance = 1 WHERE user_id = 'a'",
    "a balance is one no more": "UPDATE user_credits SET balance = 'NaN' WHERE user_id = 'a'",
    "a user has a second row": "INSERT INTO user_credits VALUES ('b', 2)",
    "there is a new user": "INSERT INTO user_credits VALUES ('new', 2)",
    "a fraction": "UPDATE user_credits SET balance = balance + 0.00000001 WHERE user_id = 'zz'",
}


def verified(both: Both) -> VerifyResult:
    return verify(both.targets.sides, "latest", lambda _done, _total: None)


def kinds(both: Both) -> set[str]:
    return {one.kind for one in verified(both).differences}


def _do(both: Both, sql: str) -> None:
    with both.engine.begin() as connection:
        connection.execute(text(sql))


def _bring(both: Both) -> None:
    both.while_working(lambda: migrate_balances(both.targets, lambda _done, _total: None))


@pytest.fixture
def imported(both: Both, monkeypatch: pytest.MonkeyPatch) -> Both:
    """All balances, one account in use before; compared in small batches."""
    monkeypatch.setattr(balances_check, "_BATCH_USERS", 3)
    for user, balance in BALANCES.items():
        set_balance(both.engine, user, balance)
    assert verified(both).balances is None

    def act() -> None:
        with Meter(both.redis_url) as meter:
            meter.top_up("busy", "1")
        migrate_balances(both.targets, lambda _done, _total: None)

    both.while_working(act)
    result = verified(both)
    assert result.differences == []
    assert result.balances is not None
    there = total(*(Decimal(one) for one in BALANCES.values() if one != "NaN"))
    assert (result.balances.users, result.balances.old) == (len(BALANCES), there)
    return both


@pytest.mark.parametrize(("sql", "kind"), HERE.values(), ids=HERE)
def test_what_differs_here_is_found(imported: Both, sql: str, kind: str) -> None:
    _do(imported, sql)
    assert kind in kinds(imported)


@pytest.mark.parametrize("sql", THERE.values(), ids=THERE)
def test_what_has_changed_there_is_found_and_mended(imported: Both, sql: str) -> None:
    _do(imported, sql)
    assert {"balance", "total_balance"} <= kinds(imported)
    _bring(imported)
    assert kinds(imported) == set()


def test_what_the_old_system_has_no_more_is_told_and_no_difference(imported: Both) -> None:
    """It may have been cleared away because it was imported."""
    _do(imported, "DELETE FROM user_credits WHERE user_id IN ('a', 'odd user')")
    result = verified(imported)
    assert result.differences == []
    assert result.balances is not None
    assert result.balances.gone == Decimal("17.3456789")
    assert result.balances.here == result.balances.old


def test_no_batch_reads_the_whole_ledger(imported: Both) -> None:
    """The ledger grows for ever; there are as many batches as there are thousands of users."""
    with imported.engine.connect() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN {HAD}", {"after": "a", "upto": "b"})
        text_of_plan = "\n".join(row[0] for row in plan)
    assert "ledger_entries" in text_of_plan
    assert "Seq Scan on ledger_entries" not in text_of_plan


def test_what_an_adoption_pays_is_compared(both: Both) -> None:
    """The balance is lowered by it, no more and no less."""
    old_system(both)
    both.while_working(lambda: adopt_all(both), POLICY)
    _bring(both)
    assert not {"balance", "adopted", "opened", "total_balance"} & kinds(both)
    _do(both, "UPDATE legacy_adoptions SET unflushed_cost = unflushed_cost + 1")
    assert "adopted" in kinds(both)
