"""The owner's tables by the commands that an operator types: exactly what is expected of them."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daemon.legacy.balances import migrate_balances
from daemon.legacy.difference import RecordDifference
from daemon.legacy.migrate import migrate
from daemon.legacy.verify import verify
from meterd import ChatSnapshot, Meter
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys
from persistence.redis.commit import unpack_state
from tests.audit_check import assert_clean
from tests.legacy.cutover.conftest import SLOWLY_SEVERAL, Both
from tests.legacy.cutover.test_command import _ran
from tests.legacy.owner import (
    AFTER_MIGRATE,
    EXPECTED,
    SHAPE,
    create_current_system,
    iso_ms,
    quarantine_found,
    records_found,
)
from tests.legacy.system import rows, sql

pytestmark = pytest.mark.acceptance


@pytest.fixture
def owner(both: Both) -> Both:
    sql(both.engine, "DROP TABLE conversation_time_records, chats, user_credits")
    create_current_system(both.engine)
    return both


def _free_time(both: Both) -> dict[str, dict[str, int]]:
    """What the accounts have of it, in the form of the expected values."""
    found: dict[str, dict[str, int]] = {}
    for user in AFTER_MIGRATE["free_time_used_ms"]:
        raw: Any = both.client.get(Keys(partition_of(user, both.partitions)).account(user))
        _, account = unpack_state(raw, user)
        for key, ms in account.free_used_ms.items():
            found.setdefault(user, {})[key.removeprefix("advisor:")] = ms
    return found


def _adopted(found: Any) -> dict[str, Any]:
    names = ("started_at", "carried_ms", "carried_cost", "carried_free_ms")
    return {one["chat_id"]: {name: one[name] for name in names} for one in found["adopted"]}


@SLOWLY_SEVERAL
def test_the_whole_of_it_is_as_expected(owner: Both, tmp_path: Path) -> None:
    """Records, quarantine, balances, free time, what runs; clean, by verify and by the audit."""

    def told(*words: str) -> Any:
        done = _ran(owner, tmp_path, *words, "--json", **EXPECTED["settings"])
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    expected = {
        chat: one | {"started_at": iso_ms(one["started_at"])}
        for chat, one in EXPECTED["adopt"].items()
    }

    def act() -> None:
        assert told("inspect")["reasons"].keys() == {"chats_exceed_records"}
        told("migrate")
        assert records_found(owner.engine) == AFTER_MIGRATE["records"]
        balances = told("balances")
        assert balances["counts"]["aside"] == 1
        assert quarantine_found(owner.engine) == AFTER_MIGRATE["quarantined"]
        opened = "SELECT user_id, amount::text FROM ledger_entries WHERE kind = 'migrated'"
        assert dict(rows(owner.engine, opened)) == AFTER_MIGRATE["opening_balances"]
        assert _free_time(owner) == AFTER_MIGRATE["free_time_used_ms"]
        assert told("verify")["ok"]
        assert _adopted(told("adopt", "--dry-run")) == expected
        assert rows(owner.engine, "SELECT 1 FROM legacy_adoptions") == []
        adopted = told("adopt")
        assert _adopted(adopted) == expected
        assert {one["outcome"] for one in adopted["adopted"]} == {"adopted"}
        _use_free_time(owner)
        assert told("verify")["ok"]

    owner.while_working(act)
    assert_clean(owner.engine, owner.redis_url)


def _use_free_time(both: Both) -> None:
    """It goes on from what was used there, with each advisor."""
    with Meter(both.redis_url) as meter:
        carried = meter.snapshot("c2")
        assert (carried.rate, carried.free_ms) == (Decimal(1), 0)
        wallet = meter.wallet("u1")
        assert wallet.balance <= Decimal("7.5")
        for advisor, free_ms in (("a1", 0), ("a2", 15_000), ("a9", 60_000)):
            sent = {"type": "start", "chat_id": f"next-{advisor}", "user_id": "u1"}
            tariff = {"free_ms": 60_000, "free_scope": "advisor", "rate": "1"}
            reply = meter.command({**sent, "advisor_id": advisor, **tariff})
            assert isinstance(reply.snapshot, ChatSnapshot)
            assert reply.snapshot.free_ms == free_ms


@SLOWLY_SEVERAL
def test_free_time_that_differs_is_found_and_corrected(owner: Both) -> None:
    """As long as nobody has used the account; more of it, or none any more."""
    targets = owner.targets._replace(sides=owner.targets.sides._replace(shape=SHAPE))

    def differences() -> list[RecordDifference]:
        return verify(targets.sides, SHAPE.policy, lambda *_: None).differences

    def act() -> None:
        migrate(targets.sides, SHAPE.policy, lambda _: None)
        assert differences() == []
        migrate_balances(targets, lambda *_: None)
        assert differences() == []
        for user, seconds in (("u1", 50), ("u3", 0)):
            used = f'"freeTimeUsed" = {seconds} WHERE "userId" = \'{user}\''
            sql(owner.engine, f'UPDATE "conversationTimeRecord" SET {used}')
        migrate(targets.sides, SHAPE.policy, lambda _: None)
        found = differences()
        assert {(one.kind, one.next) for one in found} == {("free_time", "meterd legacy balances")}
        assert {one.pair for one in found} == {("u1", "a1"), ("u1", "a2"), ("u3", "a1")}
        migrate_balances(targets, lambda *_: None)
        assert differences() == []
        wanted = {**AFTER_MIGRATE["free_time_used_ms"], "u1": {"a1": 50_000, "a2": 50_000}}
        assert _free_time(owner) == {**wanted, "u3": {"a1": 0}}

    owner.while_working(act)
    assert_clean(owner.engine, owner.redis_url)
