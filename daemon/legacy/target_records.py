"""What is to be there of a pair once it is imported: plain functions over what was read."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from daemon.legacy.rules.rows import (
    ASSIGNED,
    CHAT,
    RECORD,
    TRUSTED,
    Division,
    ImportedChat,
    OldChat,
    OldRecord,
    Pair,
    Quarantined,
    Split,
)
from daemon.legacy.rules.split import split
from daemon.legacy.store.decimals import credits_of
from daemon.legacy.store.imported import QuarantinedRow, StoredRemainder
from daemon.legacy.store.reader import OldPair, PairKey
from persistence.postgres.rows import RecordRow

ASSIGNED_TO: Final = "assigned"
"""In an aside's details: the chat that somebody said a record belongs to."""
TRUST_IN: Final = "trusted"
"""In an aside's details: whom somebody said to believe, ``chats`` or ``records``."""

Counts = Counter[str]


class TargetRecords(NamedTuple):
    """All rows of a pair as they should be."""

    pair: PairKey
    split: Split
    rows: dict[str, RecordRow]
    """By chat."""
    quarantined: dict[tuple[str, str], QuarantinedRow]
    remainders: dict[str, StoredRemainder]
    is_gone: bool
    """Whether the old system has no record of the pair, or none any more."""


def target_records_of(
    old: OldPair, division: Division, known: Mapping[tuple[str, str], QuarantinedRow]
) -> TargetRecords:
    """Split a pair, obeying what somebody has decided about it.

    Args:
        old: its old rows.
        division: how they are read and divided.
        known: what of it is set aside at present.
    """
    decisions = decisions_of(known)
    pair = obeying(old.pair, decisions)
    key = (pair.user_id, pair.advisor_id)
    done = split(pair, division)
    details = _details(old.pair, known, decisions.assigned)
    asides = {
        (one.kind, one.key): _aside(key, one, details.get((one.kind, one.key), {}))
        for one in done.quarantined
    }
    for name, about in details.items():
        if name not in asides and (ASSIGNED_TO in about or TRUST_IN in about):
            reason = ASSIGNED if ASSIGNED_TO in about else TRUSTED
            asides[name] = QuarantinedRow(*key, *name, reason, 0, 0, about)
    remainders = {
        one.key: StoredRemainder(*key, one.key, one.ms, credits_of(one.micro))
        for one in old.remainders
    }
    rows = {one.chat_id: record_row(one) for one in done.imported}
    return TargetRecords(
        pair=key,
        split=done,
        rows=rows,
        quarantined=asides,
        remainders=remainders,
        is_gone=not old.pair.records,
    )


def record_row(one: ImportedChat) -> RecordRow:
    """The record of a chat that ended, and was paid, in the old system."""
    return RecordRow(
        chat_id=one.chat_id,
        user_id=one.user_id,
        advisor_id=one.advisor_id,
        status="ended",
        started_at_ms=one.started_at,
        ended_at_ms=one.ended_at,
        end_reason="migrated",
        pause_reason=None,
        active_ms=one.active_ms,
        paused_ms=one.paused_ms,
        billed_ms=one.active_ms,
        rate_micro=0,
        cost_micro=one.cost_micro,
        refunded_micro=0,
        carried_cost_micro=one.cost_micro,
        free_ms=0,
        min_ms=0,
        increment_ms=0,
        idle_ms=0,
        source="migrated",
        seq=1,
        updated_at_ms=one.ended_at,
    )


class Decisions(NamedTuple):
    """What somebody has decided about a pair."""

    assigned: Mapping[str, str]
    """The chat to which a record belongs, by the record's key."""
    trusted: str
    """Whom to believe, ``chats`` or ``records``; empty: nobody has said."""


UNDECIDED: Final = Decisions({}, "")


def decisions_of(known: Mapping[tuple[str, str], QuarantinedRow]) -> Decisions:
    """What somebody has decided, as it stands in what is set aside."""
    assigned = {
        aside.key: aside.details[ASSIGNED_TO]
        for aside in known.values()
        if aside.kind == RECORD and ASSIGNED_TO in aside.details
    }
    trusted = (one.details[TRUST_IN] for one in known.values() if TRUST_IN in one.details)
    return Decisions(assigned, next(trusted, ""))


def obeying(pair: Pair, decisions: Decisions) -> Pair:
    """The pair as somebody has decided: its records point to where they belong."""
    if decisions.trusted:
        pair = pair._replace(trusted=decisions.trusted)
    assigned = decisions.assigned
    if not assigned:
        return pair
    records = [
        record._replace(chat_id=assigned[record.key], points_elsewhere=False)
        if record.key in assigned
        else record
        for record in pair.records
    ]
    return pair._replace(records=records)


def count_split(done: Split) -> Counts:
    """Numbers and sums of what becomes of a pair."""
    counts: Counts = Counter(pairs=1)
    for one in done.imported:
        counts.update(brought=1, brought_ms=one.active_ms, brought_micro=one.cost_micro)
    for still in done.running:
        counts.update(
            running=1, running_ms=still.carried_ms, running_micro=still.carried_cost_micro
        )
    if done.free_used_ms or done.surplus_ms:
        counts.update(free_used_ms=done.free_used_ms, surplus_ms=done.surplus_ms)
    for aside in done.quarantined:
        counts.update(aside=1, aside_ms=aside.total_ms, aside_micro=aside.cost_micro)
        counts[f"aside.{aside.reason}"] += 1
    for odd in done.anomalies:
        counts[f"odd.{odd.anomaly}"] += 1
    return counts


def _aside(key: PairKey, one: Quarantined, details: Mapping[str, Any]) -> QuarantinedRow:
    if one.status:
        details = {**details, "chat_id": one.chat_id, "state": one.status}
    return QuarantinedRow(
        *key, one.kind, one.key, one.reason, one.total_ms, one.cost_micro, details
    )


def _details(
    pair: Pair, known: Mapping[tuple[str, str], QuarantinedRow], assigned: Mapping[str, str]
) -> dict[tuple[str, str], dict[str, Any]]:
    """The old rows by name, for whoever is to decide about them, with what was decided."""
    details = {(CHAT, chat.chat_id): _of_chat(chat) for chat in pair.chats}
    for record in pair.records:
        about = details[RECORD, record.key] = _of_record(record)
        if record.key in assigned:
            about[ASSIGNED_TO] = assigned[record.key]
    for name, aside in known.items():
        if TRUST_IN in aside.details:
            details.setdefault(name, {})[TRUST_IN] = aside.details[TRUST_IN]
    return details


def _of_chat(chat: OldChat) -> dict[str, Any]:
    about = {"started_at": chat.created_at, "ended_at": chat.ended_at}
    return {**about, "duration_ms": chat.duration_ms} if chat.duration_ms else about


def _of_record(record: OldRecord) -> dict[str, Any]:
    return {
        "chat_id": record.chat_id, "status": record.word, "started_at": record.started_at,
        "ended_at": record.ended_at, "updated_at": record.updated_at,
    }  # fmt: skip
