"""Rows of PostgreSQL that are changed after the fact, and what has to be told of each."""

import json
from collections.abc import Callable
from typing import NamedTuple

from tests.audit.conftest import System


class Case(NamedTuple):
    """Something that is broken, and what has to be told of it: kind, user, chat."""

    breaks: Callable[[System], object]
    told: list[tuple[str, str | None, str | None]]
    is_in_redis: bool = False
    also: frozenset[str] = frozenset()
    """Kinds of differences of what else Redis has: events, ids and commands know it better."""


def _sql(statement: str) -> Callable[[System], object]:
    return lambda system: system.sql(statement)


def entry_of(system: System, type_: str, chat_id: str = "", outcome: str = "ok") -> str:
    """The user calm's first entry of a kind."""
    query = (
        "SELECT stream_id FROM command_journal WHERE user_id = 'calm' AND NOT replayed"
        " AND fields->>'type' = :type AND coalesce(chat_id, '') = :chat AND outcome = :outcome"
        " ORDER BY at_ms, at_seq LIMIT 1"
    )
    return str(system.sql(query, type=type_, chat=chat_id, outcome=outcome))


def _drop_end(system: System) -> None:
    entry = entry_of(system, "end", "calm.ended")
    system.sql("DELETE FROM command_journal WHERE stream_id = :entry", entry=entry)


def _drop_last(system: System) -> None:
    entry = entry_of(system, "settle")
    system.sql("DELETE FROM command_journal WHERE stream_id = :entry", entry=entry)


def _change_outcome(system: System) -> None:
    entry = entry_of(system, "start", "calm.open")
    set_ = "UPDATE command_journal SET outcome = 'insufficient_credits' WHERE stream_id = :entry"
    system.sql(set_, entry=entry)


def _repeat(system: System, ms_later: int, outcome: str = "ok", **more: str) -> None:
    """The user other's top-up again, under an id of calm's."""
    fields = {"type": "top_up", "id": "special-0", "user_id": "calm", "amount": "50", **more}
    at_ms = int(entry_of(system, "top_up").partition("-")[0]) + ms_later
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


_REPEATED = frozenset(["remembered_id", "position"])
CALM_ENDED = "chat_id = 'calm.ended'"
ROWS = {
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
}
