"""Whatever is changed after the fact, the audit names it; and it names nothing else."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from daemon.cli import app
from persistence.redis.commit import pack_state, unpack_state
from tests.audit.conftest import System
from tests.engine.harness import KEYS

OUTBOX_REFUSED = f"{KEYS.outbox}:refused"


def audit(system: System, *args: str, code: int) -> dict[str, Any]:
    """What ``meterd audit --json`` prints, after it ended with the code."""
    command = ["audit", "--json", *args]
    asked = CliRunner().invoke(app, command, env=system.env, catch_exceptions=False)
    assert asked.exit_code == code, asked.output
    found: dict[str, Any] = json.loads(asked.stdout)
    assert found["ok"] == (code == 0)
    return found


class Case(NamedTuple):
    """Something that is broken, and what has to be told of it: kind, user, chat."""

    breaks: Callable[[System], object]
    told: list[tuple[str, str | None, str | None]]
    is_in_redis: bool = False
    also: frozenset[str] = frozenset()
    """Kinds of differences of what else Redis has: events, ids and commands know it better."""


def _sql(statement: str) -> Callable[[System], object]:
    return lambda system: system.sql(statement)


def _entry(system: System, type_: str, chat_id: str = "", outcome: str = "ok") -> str:
    """The user calm's first entry of a kind."""
    query = (
        "SELECT stream_id FROM command_journal WHERE user_id = 'calm' AND NOT replayed"
        " AND fields->>'type' = :type AND coalesce(chat_id, '') = :chat AND outcome = :outcome"
        " ORDER BY at_ms, at_seq LIMIT 1"
    )
    return str(system.sql(query, type=type_, chat=chat_id, outcome=outcome))


def _drop_end(system: System) -> None:
    entry = _entry(system, "end", "calm.ended")
    system.sql("DELETE FROM command_journal WHERE stream_id = :entry", entry=entry)


def _drop_last(system: System) -> None:
    entry = _entry(system, "settle")
    system.sql("DELETE FROM command_journal WHERE stream_id = :entry", entry=entry)


def _change_outcome(system: System) -> None:
    entry = _entry(system, "start", "calm.open")
    set_ = "UPDATE command_journal SET outcome = 'insufficient_credits' WHERE stream_id = :entry"
    system.sql(set_, entry=entry)


def _repeat(system: System, ms_later: int, outcome: str = "ok", **more: str) -> None:
    """The user other's top-up again, under an id of calm's."""
    fields = {"type": "top_up", "id": "special-0", "user_id": "calm", "amount": "50", **more}
    at_ms = int(_entry(system, "top_up").partition("-")[0]) + ms_later
    system.sql(
        "INSERT INTO command_journal SELECT :entry, :at_ms, 9, 'wx', NULL, CAST(:fields AS jsonb),"
        " :outcome, false, policy_id FROM command_journal LIMIT 1",
        entry=f"{at_ms}-9", at_ms=at_ms, outcome=outcome,
        fields=json.dumps({**fields, "user_id": "wx"}),
    )  # fmt: skip


def _repeat_of_0_1(system: System) -> None:
    """A day later, under the rules of version 0.1: an id was remembered for a day."""
    system.sql("UPDATE policies SET policy = policy - 'rules_version' - 'open_chats_max'")
    _repeat(system, 86_400_000)


def _account(system: System, **changed: Any) -> None:
    applied, account = unpack_state(system.client.get(KEYS.account("calm")), "calm")  # type: ignore[arg-type]
    state = pack_state(changed.pop("applied", applied), account._replace(**changed))
    system.client.set(KEYS.account("calm"), state)


def _put_back(system: System) -> None:
    applied = _entry(system, "refund", "calm.ended")
    _account(system, applied=applied)


def _document(system: System, key: str, **changed: Any) -> None:
    shown = json.loads(system.client.get(key))  # type: ignore[arg-type]
    system.client.set(key, json.dumps({**shown, **changed}))


def _refuse(system: System) -> None:
    row: list[Any] = ["1-1", "calm", None, {}, "ok", False, "p"]
    facts = {"records": list[Any](), "ledger": list[Any](), "journal": [row]}
    system.client.xadd(OUTBOX_REFUSED, {"facts": json.dumps(facts), "why": "it would not"})


BESIDE = frozenset(
    ["extra_event", "missing_event", "remembered_id", "unknown_id", "position", "journal_entry"]
)
_REPEATED = frozenset(["remembered_id", "position"])
RECORDS = "chat_time_records"
CALM_ENDED = "chat_id = 'calm.ended'"
CASES = {
    "record-column": Case(
        _sql(f"UPDATE chat_time_records SET billed_ms = billed_ms + 1 WHERE {CALM_ENDED}"),
        [("record", "calm", "calm.ended")],
    ),
    "record-times": Case(
        lambda s: (
            s.sql(
                "ALTER TABLE chat_time_records DROP CONSTRAINT ck_chat_time_records_times_add_up"
            ),
            s.sql(f"UPDATE chat_time_records SET active_ms = active_ms + 1 WHERE {CALM_ENDED}"),
        ),
        [("record", "calm", "calm.ended"), ("times", "calm", "calm.ended")],
    ),
    "record-seq": Case(
        _sql("UPDATE chat_time_records SET seq = seq + 1 WHERE chat_id = 'calm.open'"),
        [("record", "calm", "calm.open")],
    ),
    "record-gone": Case(
        _sql(f"DELETE FROM chat_time_records WHERE {CALM_ENDED}"),
        [("missing_record", "calm", "calm.ended")],
    ),
    "record-more": Case(
        _sql(
            "INSERT INTO chat_time_records SELECT 'calm.ghost', 'ghost', advisor_id, status,"
            " started_at, ended_at, end_reason, pause_reason, active_ms, paused_ms, billed_ms,"
            " rate, cost, refunded, carried_cost, free_ms, min_ms, increment_ms, idle_ms, source,"
            f" seq, updated_at FROM chat_time_records WHERE {CALM_ENDED}"
        ),
        [("extra_record", "ghost", "calm.ghost")],
    ),
    "ledger-gone": Case(
        _sql(f"DELETE FROM ledger_entries WHERE kind = 'refund' AND {CALM_ENDED}"),
        [("missing_ledger_entry", "calm", "calm.ended"), ("balance", "calm", None)],
    ),
    "ledger-more": Case(
        _sql(
            "INSERT INTO ledger_entries VALUES"
            " ('refund:1-1', 'calm', 'calm.ended', 'refund', 0.5, now(), 'k')"
        ),
        [("extra_ledger_entry", "calm", "calm.ended"), ("balance", "calm", None)],
    ),
    "ledger-amount": Case(
        _sql(
            f"UPDATE ledger_entries SET amount = amount * 2 WHERE kind = 'charge' AND {CALM_ENDED}"
        ),
        [("ledger_entry", "calm", "calm.ended"), ("balance", "calm", None)],
    ),
    "ledger-command": Case(
        _sql(f"UPDATE ledger_entries SET command_id = 'k' WHERE kind = 'refund' AND {CALM_ENDED}"),
        [("ledger_entry", "calm", "calm.ended")],
    ),
    "journal-gone": Case(
        _drop_end,
        [
            ("outcome", "calm", "calm.ended"),  # the refund of a chat that runs on
            ("record", "calm", "calm.ended"),
            ("extra_ledger_entry", "calm", "calm.ended"),
            ("extra_ledger_entry", "calm", "calm.ended"),
            ("balance", "calm", None),
            ("account", "calm", None),
            ("wallet", "calm", None),
            ("chat_snapshot", "calm", "calm.ended"),
        ],
        also=frozenset(["extra_event", "unknown_id"]),
    ),
    "journal-end-gone": Case(
        _drop_last, [("unsettled", "calm", None)], also=frozenset(["unknown_id"])
    ),
    "journal-outcome": Case(
        _change_outcome,
        # Whose chat it is, others learn from the journal.
        [
            ("outcome", "calm", "calm.open"),
            ("outcome", "other", "calm.open"),
            ("unknown_chat", None, "calm.open"),
        ],
        also=frozenset(["remembered_id"]),
    ),
    "journal-policy": Case(
        _sql(
            "UPDATE command_journal SET policy_id = 'lost'"
            " WHERE chat_id = 'calm.old' AND outcome = 'ok'"
        ),
        [("policy", "calm", "calm.old")],
    ),
    "journal-order": Case(
        _sql(
            'UPDATE command_journal SET fields = fields || \'{"user_id": "w"}\''
            f" WHERE user_id = 'calm' AND fields->>'type' = 'refund' AND {CALM_ENDED}"
        ),
        [("rules", "calm", "calm.ended")],
        also=frozenset(["journal_entry", "remembered_id"]),
    ),
    "journal-invalid": Case(
        _sql(
            "UPDATE command_journal SET outcome = 'invalid_command'"
            " WHERE chat_id = 'nobody.s' AND user_id IS NULL"
        ),
        [("outcome", None, "nobody.s")],
        also=frozenset(["unknown_id"]),
    ),
    "journal-owner": Case(
        _sql(
            "UPDATE command_journal SET user_id = NULL"
            " WHERE chat_id = 'nobody.s' AND user_id = 'other'"
        ),
        [("owner", None, "nobody.s")],
    ),
    "journal-foreign": Case(
        _sql(
            "UPDATE command_journal SET outcome = 'unknown_chat'"
            " WHERE chat_id = 'calm.old' AND user_id = 'other'"
        ),
        [("outcome", "other", "calm.old")],
        also=frozenset(["remembered_id"]),
    ),
    "id-twice": Case(
        lambda s: _repeat(s, 30 * 86_400_000 - 1),
        [
            ("missing_ledger_entry", "wx", None),
            ("balance", "wx", None),
            ("missing_account", "wx", None),
            ("double_effect", "wx", None),
        ],
        also=_REPEATED,
    ),
    "id-after-a-day-of-version-0.1": Case(
        _repeat_of_0_1,
        [
            ("missing_ledger_entry", "wx", None),
            ("balance", "wx", None),
            ("missing_account", "wx", None),
        ],
        also=_REPEATED,
    ),
    "id-after-30-days": Case(
        lambda s: _repeat(s, 30 * 86_400_000),
        [
            ("missing_ledger_entry", "wx", None),
            ("balance", "wx", None),
            ("missing_account", "wx", None),
        ],
        also=_REPEATED,
    ),
    "id-other-content": Case(
        _sql(
            "UPDATE command_journal SET outcome = 'ok', replayed = true"
            " WHERE user_id = 'other' AND outcome = 'id_conflict'"
        ),
        [("id_outcome", "other", None)],
    ),
    "id-never-used": Case(
        _sql(
            'UPDATE command_journal SET fields = fields || \'{"id": "fresh"}\''
            " WHERE user_id = 'calm' AND replayed"
        ),
        [("id_unused", "calm", None)],
        also=frozenset(["journal_entry"]),
    ),
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
    last = _entry(system, "settle")
    set_ = "UPDATE command_journal SET stream_id = at_ms || '-7777', at_seq = 7777"
    system.sql(f"{set_} WHERE stream_id = :last", last=last)
    found = audit(system, code=1)["differences"]
    told = [one["kind"] for one in found]
    assert told == ["redis_behind", "remembered_id", "position", "unknown_id"]


def test_one_user_alone(system: System) -> None:
    """Only what concerns that user is counted and compared."""
    assert audit(system, "--user", "other", code=0)["users"] == 1
    system.client.delete(KEYS.account("calm"))
    assert audit(system, "--user", "other", code=0)["chats"] == 0
    assert audit(system, "--user", "calm", code=1)["chats"] == 3
    assert audit(system, "--user", "never was", code=0)["users"] == 0


def test_only_what_is_new(system: System) -> None:
    """Accounts with entries since then, from their beginning."""
    everything = audit(system, code=0)
    assert audit(system, "--since", "1h", code=0) == everything
    system.client.delete(KEYS.account("calm"))
    later = int(system.sql("SELECT max(at_ms) FROM command_journal WHERE user_id = 'calm'")) + 1
    system.sql(
        "UPDATE command_journal SET at_ms = at_ms + 600000, stream_id = (at_ms + 600000) || '-' ||"
        " at_seq WHERE user_id = 'other'"
    )
    found = audit(system, "--since", _iso(later + 1_000), "--no-redis", code=0)
    assert (found["users"], found["chats"]) == (1, 0)


def _iso(at_ms: int) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415 - only here

    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


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


def test_more_differences_than_anyone_reads(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are counted, the first are shown."""
    monkeypatch.setattr("daemon.audit.differences.SHOWN_MAX", 5)
    system.sql("UPDATE chat_time_records SET billed_ms = billed_ms + 1")
    found = audit(system, code=1)
    chats = system.sql("SELECT count(*) FROM chat_time_records")
    assert (len(found["differences"]), found["count"]) == (5, chats)
    assert found["truncated"]
