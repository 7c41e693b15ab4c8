"""Whatever is changed after the fact, the audit names it; and it names nothing else."""

import json
from typing import Any

import pytest

from persistence.redis.commit import pack_state, unpack_state
from tests.audit.altered_rows import CALM_ENDED, ROWS, Case, entry_of
from tests.audit.conftest import System, audit
from tests.engine.harness import KEYS

OUTBOX_REFUSED = f"{KEYS.outbox}:refused"
BESIDE = frozenset(
    ["extra_event", "missing_event", "remembered_id", "unknown_id", "position", "journal_entry"]
)


def _account(system: System, **changed: Any) -> None:
    applied, account = unpack_state(system.client.get(KEYS.account("calm")), "calm")  # type: ignore[arg-type]
    state = pack_state(changed.pop("applied", applied), account._replace(**changed))
    system.client.set(KEYS.account("calm"), state)


def _put_back(system: System) -> None:
    applied = entry_of(system, "refund", "calm.ended")
    _account(system, applied=applied)


def _document(system: System, key: str, **changed: Any) -> None:
    shown = json.loads(system.client.get(key))  # type: ignore[arg-type]
    system.client.set(key, json.dumps({**shown, **changed}))


def _refuse(system: System) -> None:
    row: list[Any] = ["1-1", "calm", None, {}, "ok", False, "p"]
    facts = {"records": list[Any](), "ledger": list[Any](), "journal": [row]}
    system.client.xadd(OUTBOX_REFUSED, {"facts": json.dumps(facts), "why": "it would not"})


IN_REDIS = {
    "account-gone": Case(
        lambda s: s.client.delete(KEYS.account("calm")), [("missing_account", "calm", None)], True
    ),
    "account-changed": Case(
        lambda s: _account(s, settled_micro=1), [("account", "calm", None)], True
    ),
    "account-garbled": Case(
        lambda s: s.client.set(KEYS.account("calm"), "x"), [("account", "calm", None)], True
    ),
    "account-put-back": Case(_put_back, [("redis_behind", "calm", None)], True),
    "account-ahead": Case(
        lambda s: _account(s, applied="99999999999999-0"), [("unsettled", "calm", None)], True
    ),
    "account-unknown": Case(
        lambda s: s.client.set(KEYS.account("ghost"), s.client.get(KEYS.account("calm"))),  # type: ignore[arg-type]
        [("unknown_account", "ghost", None)],
        True,
    ),
    "wallet-gone": Case(
        lambda s: s.client.delete(KEYS.wallet("calm")), [("wallet", "calm", None)], True
    ),
    "wallet-changed": Case(
        lambda s: _document(s, KEYS.wallet("calm"), balance="1.000000"),
        [("wallet", "calm", None)],
        True,
    ),
    "chat-gone": Case(
        lambda s: s.client.delete(KEYS.chat("calm.open")),
        [("chat_snapshot", "calm", "calm.open")],
        True,
    ),
    "chat-put-back": Case(
        lambda s: _document(s, KEYS.chat("calm.ended"), status="running", ended_at=None),
        [("chat_snapshot", "calm", "calm.ended")],
        True,
    ),
    "not-open": Case(
        lambda s: s.client.srem(KEYS.open_users, "calm"), [("open", "calm", None)], True
    ),
    "open-without-chats": Case(
        lambda s: s.client.sadd(KEYS.open_users, "other"), [("open", "other", None)], True
    ),
    "open-unknown": Case(
        lambda s: s.client.sadd(KEYS.open_users, "ghost"), [("open", "ghost", None)], True
    ),
    "refused": Case(_refuse, [("refused", "calm", None)], True),
}
CASES = {**ROWS, **IN_REDIS}


def test_after_any_load_nothing_differs(system: System) -> None:
    """Users, chats and entries are all looked at, with Redis and without."""
    found = audit(system, code=0)
    assert (found["users"], found["truncated"], found["differences"]) == (13, False, [])
    assert found["chats"] == system.sql("SELECT count(*) FROM chat_time_records")
    assert found["entries"] == system.sql("SELECT count(*) FROM command_journal")
    assert audit(system, "--no-redis", code=0) == found


@pytest.mark.parametrize("name", CASES)
def test_what_is_broken_is_named(system: System, name: str) -> None:
    """Kind, user and chat of each difference, and no others; what only Redis has, only there."""
    case = CASES[name]
    case.breaks(system)
    found = audit(system, code=1)
    told = [(d["kind"], d["user"], d["chat"]) for d in found["differences"]]
    assert [one for one in told if one[0] not in BESIDE] == case.told
    assert {kind for kind, _, _ in told if kind in BESIDE} == case.also
    for difference in found["differences"]:
        assert difference["expected"] != difference["found"]
    if case.is_in_redis:
        audit(system, "--no-redis", code=0)


def test_the_columns_that_differ_are_named(system: System) -> None:
    """With what was expected and what was found."""
    system.sql("UPDATE chat_time_records SET billed_ms = 60001 WHERE chat_id = 'calm.ended'")
    (difference,) = audit(system, code=1)["differences"]
    assert (difference["expected"], difference["found"]) == ("billed_ms=60000", "billed_ms=60001")


def test_a_missing_row_in_the_middle_is_missed_where_redis_stands(system: System) -> None:
    """Redis is at an entry that the journal does not have, though it has later ones."""
    last = entry_of(system, "settle")
    set_ = "UPDATE command_journal SET stream_id = at_ms || '-7777', at_seq = 7777"
    system.sql(f"{set_} WHERE stream_id = :last", last=last)
    found = audit(system, code=1)["differences"]
    told = [one["kind"] for one in found]
    assert told == ["redis_behind", "remembered_id", "position", "unknown_id"]


def test_what_an_operator_set_aside_or_brought_along_is_no_difference(system: System) -> None:
    """Entries set aside, starts refused for lack of room, and books of another system."""
    system.sql(
        "INSERT INTO command_journal SELECT at_ms || '-99', at_ms, 99, user_id, chat_id, fields,"
        " 'internal_error', false, policy_id FROM command_journal WHERE user_id = 'calm'"
    )
    full = {"type": "start", "id": "f", "chat_id": "f", "user_id": "old", "advisor_id": "v"}
    system.sql(
        "INSERT INTO command_journal SELECT '5-0', 5, 0, 'old', 'f', CAST(:fields AS jsonb),"
        " 'at_capacity', false, policy_id FROM command_journal LIMIT 1",
        fields=json.dumps(full),
    )
    system.sql(
        "INSERT INTO ledger_entries"
        " VALUES ('migrated:old:1', 'old', NULL, 'migrated', 5, now(), NULL)"
    )
    system.sql(
        "INSERT INTO chat_time_records SELECT 'old.s', 'old', 'v', 'ended', started_at, ended_at,"
        " end_reason, NULL, active_ms, paused_ms, active_ms, rate, cost, 0, cost, 0, 0, 0, 0,"
        f" 'migrated', 1, updated_at FROM chat_time_records WHERE {CALM_ENDED}"
    )
    assert audit(system, "--no-redis", code=0)["users"] == 14
