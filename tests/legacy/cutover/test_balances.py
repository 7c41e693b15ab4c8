"""What users have left in the old system is what their accounts begin with: once, and exactly."""

import random
from collections import Counter
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from daemon.legacy import balances
from daemon.legacy.balances import migrate_balances
from daemon.legacy.rules.rows import AMOUNT_MAX
from daemon.legacy.store import balances as kept
from daemon.legacy.store.balances import sums_of_balances
from daemon.legacy.store.decimals import exact_credits, total
from daemon.legacy.store.reader import OldBalance, whole
from daemon.legacy.target_balance import TargetBalance, target_balance_of
from daemon.recovery.rebuild import Recovery
from meterd import Meter
from persistence.errors import UnverifiedStateError
from persistence.postgres import reader
from persistence.redis.commit import Limits
from tests.audit_check import assert_clean
from tests.engine.harness import KEYS
from tests.legacy.cutover.conftest import SEVERAL, Both
from tests.legacy.cutover.old import set_balance

DAY_MS = 86_400_000


def bring(both: Both) -> Counter[str]:
    return migrate_balances(both.targets, lambda _done, _total: None)


def _ledger(both: Both, user: str) -> list[tuple[str, int]]:
    with both.engine.connect() as connection:
        rows = reader.ledger_of_user(connection, user, 100)
    return [(row.entry_id, row.amount_micro) for row in sorted(rows)]


def _asides(both: Both) -> dict[str, str]:
    with both.engine.connect() as connection:
        rows: Any = connection.execute(
            text("SELECT key, reason FROM legacy_quarantine WHERE kind = 'balance'")
        )
        return {row.key: row.reason for row in rows}


def _aside(both: Both, user: str) -> Any:
    """What is to be settled by hand."""
    query = "SELECT cost FROM legacy_quarantine WHERE kind = 'balance' AND key = :user"
    with both.engine.connect() as connection:
        return connection.scalar(text(query), {"user": user})


def _recovered(both: Both) -> None:
    both.client.flushall()
    for keys in both.all_keys:
        recovery = Recovery(both.engine, both.client, keys, DAY_MS, Limits(), both.partitions)
        if recovery.plan().missing:  # a partition without accounts has lost none
            recovery.run("ann", lambda _: None)


@SEVERAL
def test_balances_become_accounts_once(both: Both) -> None:
    """Wallets show them, starts work; whoever runs it again changes nothing, but for balances that
    have changed since; what can't be imported is set aside; and no fraction is lost."""
    for user, balance in {
        "a": "12.3456789", "b": "0.0000019", "none": 0, "odd user": 5, "minus": "-0.5",
        "absurd": "1e12", "nan": "NaN", "busy": 3, "spent": 4, "rich": 5,
    }.items():  # fmt: skip
        set_balance(both.engine, user, balance)

    def act() -> None:
        with Meter(both.redis_url) as meter:
            meter.top_up("busy", "1")
            counts = bring(both)
            assert {k: counts[k] for k in ("users", "opened", "empty", "aside")} == {
                "users": 10, "opened": 4, "empty": 1, "aside": 5,
            }  # fmt: skip
            assert meter.wallet("a").balance == Decimal("12.345678")
            for user in ("spent", "rich"):
                meter.start(user, user, "v", rate=0)
                meter.end(user)
        set_balance(both.engine, "a", "2.5")
        set_balance(both.engine, "minus", "0.25")
        set_balance(both.engine, "b", "-1")
        set_balance(both.engine, "rich", "6.0000001")
        again = bring(both)
        assert (again["corrected"], again["opened"], again["in_use"]) == (1, 1, 1)
        assert bring(both)["unchanged"] == 2
        with Meter(both.redis_url) as meter:
            assert meter.wallet("a").balance == Decimal("2.5")
            assert meter.start("d", "a", "v").is_ok
            meter.end("d")

    both.while_working(act)
    assert _ledger(both, "a")[-2:] == [
        ("migrated:a:1", 12_345_678), ("migrated:a:2", 2_500_000 - 12_345_678),
    ]  # fmt: skip
    assert _ledger(both, "b") == [("migrated:b:1", 1), ("migrated:b:2", -1)]
    assert _ledger(both, "spent") == [("migrated:spent:1", 4_000_000)]
    assert _asides(both) == {
        "odd user": "user_id_outside_alphabet", "b": "negative_balance",
        "absurd": "balance_out_of_range", "nan": "unreadable_balance", "busy": "account_in_use",
        "rich": "account_in_use",
    }  # fmt: skip
    assert _aside(both, "rich") == Decimal("1.0000001")
    _assert_nothing_lost(both)
    assert_clean(both.engine, both.redis_url)
    _recovered(both)
    assert_clean(both.engine, both.redis_url)
    assert both.while_working(lambda: bring(both))["opened"] == 0


def _assert_nothing_lost(both: Both) -> None:
    """Old balances = what was opened + what was set aside + what was left over."""
    with both.engine.connect() as connection:
        sums = sums_of_balances(connection)
        there: Any = connection.scalar(
            text("SELECT sum(balance) FROM user_credits WHERE balance <> 'NaN'")
        )
    assert sums.imported + sums.aside == there
    assert sums.imported == sums.opened + sums.unflushed + sums.residue


def test_nobody_is_opened_without_a_daemon(both: Both) -> None:
    """Redis may have lost the account that it says is not there."""
    set_balance(both.engine, "a", 1)
    both.while_working(lambda: None)
    both.client.delete(KEYS.instance_id)
    with pytest.raises(UnverifiedStateError):
        bring(both)


@SEVERAL
def test_killed_anywhere_it_comes_to_the_same(both: Both) -> None:
    """Whatever call it is killed at, before or after it has had its effect."""
    rng = random.Random(5)
    wanted = {f"u{n}": rng.randrange(10**6) for n in range(40)}
    for user, micro in wanted.items():
        set_balance(both.engine, user, Decimal(micro) / 10**6)

    def act() -> None:
        with mock.patch.object(balances, "BATCH_USERS", 3):
            for kill_at in range(25):
                with pytest.raises(KeyboardInterrupt):
                    _bring_until(both, kill_at)
            bring(both)

    both.while_working(act)
    for user, micro in wanted.items():
        assert _ledger(both, user) == [(f"migrated:{user}:1", micro)]
    _assert_nothing_lost(both)
    assert_clean(both.engine, both.redis_url)


def _bring_until(both: Both, kill_at: int) -> None:
    left = [kill_at]

    def dying(real: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0 and kill_at % 2:
                raise KeyboardInterrupt
            result = real(*args, **named)
            if left[0] < 0:
                raise KeyboardInterrupt
            return result

        return call

    targets = both.targets
    with (
        mock.patch.object(targets.client, "fcall", dying(targets.client.fcall)),
        mock.patch.object(kept, "write_balances", dying(kept.write_balances)),
    ):
        migrate_balances(targets, lambda _done, _total: None)
        raise KeyboardInterrupt  # there was less to do than that


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40, places=25
    ),
    st.integers(0, 10**12),
)
def test_a_balance_is_divided_without_a_rest(balance: Decimal, unflushed: int) -> None:
    """Whole micro-credits down, what pays for adopted time, and what is left over: all of it."""
    micro, residue = whole(balance, 6)
    assert micro is not None
    wanted = target_balance_of(OldBalance("u", micro, residue, 1), unflushed, do_add_up=False)
    if not isinstance(wanted, TargetBalance):
        assert balance < 0 or balance * 10**6 >= AMOUNT_MAX
        return
    whole_credits = exact_credits(wanted.target_micro + wanted.unflushed_micro, Decimal(0))
    assert total(whole_credits, wanted.remainder) == wanted.balance == balance
    assert 0 <= wanted.remainder < Decimal("0.000001")
    assert 0 <= wanted.unflushed_micro <= unflushed
