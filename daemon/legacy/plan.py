"""From what should be and what is there to what has to be written; the same again is nothing."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from daemon.legacy.rules.rows import CHAT, TAKEN, USED
from daemon.legacy.store.imported import ImportChanges, ImportedState, QuarantinedRow, StoredRecord
from daemon.legacy.store.reader import PairKey
from daemon.legacy.target_records import Counts, TargetRecords
from persistence.postgres.rows import RecordRow

_Asides = dict[tuple[str, str], QuarantinedRow]

ADOPTED: Final = "adopted"


class ReferenceData(NamedTuple):
    """What is there besides the pair's own rows; it is up to date while pairs are gone through."""

    named: dict[str, StoredRecord]
    """Records of chats that are to be stored, or run there, and are not the pair's own so far."""
    adopted: Mapping[str, Any]
    """Chats that were adopted, and so have a live record."""
    elsewhere: set[str]
    """Chats that are among the old chats, in whichever pair."""


class MigrationPlan(NamedTuple):
    """What has to be written, and what was found."""

    changes: ImportChanges
    counts: Counts

    @staticmethod
    def empty() -> "MigrationPlan":
        """Nothing yet."""
        return MigrationPlan(ImportChanges.none(), Counter())


def plan_pair(
    target: TargetRecords, stored: ImportedState, books: ReferenceData, plan: MigrationPlan
) -> None:
    """Add to the plan what has to be written so that the pair is as it is target.

    Of a pair whose old records are gone, what was imported stays: they may have been cleared away
    because it was.
    """
    known, asides = stored.chats.get(target.pair, {}), dict(target.quarantined)
    stays = _stays(target, known)
    for chat_id, row in target.rows.items():
        have = known.get(chat_id) or books.named.get(chat_id)
        if have is None or have.owner != target.pair:
            _import(target.pair, row, have, books, plan, asides)
        elif stays:
            plan.counts["gone"] += 1
        else:
            _again(row, have, books, plan, asides)
    for chat_id, have in known.items():
        if have is None or chat_id in target.rows:
            continue
        if stays and chat_id not in books.elsewhere:
            plan.counts["gone"] += 1
        else:
            _leave(target, have, books, plan, asides)
    before = stored.quarantined.get(target.pair, {})
    if target.is_gone:
        # What this run has set aside itself is the whole of it, and not to be added to the last.
        own = {k: row for k, row in asides.items() if row is not target.quarantined.get(k)}
        asides = {**target.quarantined, **before, **own}
    _plan_asides(before, asides, plan)
    _plan_leftovers(target, stored, plan)


def _import(
    pair: PairKey,
    row: RecordRow,
    have: StoredRecord | None,
    books: ReferenceData,
    plan: MigrationPlan,
    asides: _Asides,
) -> None:
    if have is None:
        _put(pair, row, books, plan)
        plan.counts["written"] += 1
    elif have.owner is None and have[1:3] == pair and row.chat_id in books.adopted:
        plan.counts[ADOPTED] += 1
    else:
        plan.counts["taken"] += 1
        details = {"started_at": row.started_at_ms, "ended_at": row.ended_at_ms}
        _aside(have, pair, TAKEN, (row.active_ms, row.cost_micro), details, asides)


def _stays(target: TargetRecords, known: Mapping[str, StoredRecord | None]) -> bool:
    """Whether a pair has no old record, and something was counted for it."""
    haves = (have for have in known.values() if have is not None)
    return target.is_gone and any(have.active_ms or have.cost_micro for have in haves)


def _again(
    row: RecordRow, have: StoredRecord, books: ReferenceData, plan: MigrationPlan, asides: _Asides
) -> None:
    """A chat that was imported before."""
    assert have.owner is not None, "it was imported for a pair"
    if _figures(row) == have[3:7]:
        plan.counts["unchanged"] += 1
    elif not have.is_used:
        _take(have, books, plan)
        _put(have.owner, row, books, plan)
        plan.counts["replaced"] += 1
    else:
        _keep(have, (row.active_ms, row.cost_micro), plan, asides)


def _leave(
    target: TargetRecords,
    have: StoredRecord,
    books: ReferenceData,
    plan: MigrationPlan,
    asides: _Asides,
) -> None:
    """A chat that was imported before and is not to be imported any more."""
    runs = any(one.chat_id == have.chat_id for one in target.split.running)
    if not (runs or (CHAT, have.chat_id) in target.quarantined or have.chat_id in books.elsewhere):
        # The old system has forgotten it. It was there, so it stays known.
        _again(_emptied(have), have, books, plan, asides)
    elif have.is_used:
        _keep(have, (0, 0), plan, asides)
    else:
        _take(have, books, plan)
        plan.counts["removed"] += 1


def _keep(have: StoredRecord, due: tuple[int, int], plan: MigrationPlan, asides: _Asides) -> None:
    """A record that has been used stays; what it lacks, or has too much, is set aside."""
    assert have.owner is not None, "it was imported for a pair"
    plan.counts["kept"] += 1
    lacks = (due[0] - have.active_ms, due[1] - have.cost_micro)
    if any(lacks):
        details = {"due_ms": due[0], "due_micro": due[1]}
        _aside(have, have.owner, USED, lacks, details, asides)


def _aside(
    have: StoredRecord,
    pair: PairKey,
    reason: str,
    amounts: tuple[int, int],
    details: dict[str, Any],
    asides: _Asides,
) -> None:
    name = (CHAT, have.chat_id)
    before = asides.get(name)
    if before is not None:
        amounts = (before.total_ms + amounts[0], before.cost_micro + amounts[1])
        details = {**before.details, **details}
    asides[name] = QuarantinedRow(*pair, *name, reason, *amounts, details)


def _put(pair: PairKey, row: RecordRow, books: ReferenceData, plan: MigrationPlan) -> None:
    plan.changes.imported.append(row)
    books.named[row.chat_id] = StoredRecord._make((*row[:3], *_figures(row), row.seq, pair))


def _take(have: StoredRecord, books: ReferenceData, plan: MigrationPlan) -> None:
    plan.changes.deleted.append(have.chat_id)
    books.named.pop(have.chat_id, None)


def _figures(row: RecordRow) -> tuple[int, int | None, int, int]:
    return row.started_at_ms, row.ended_at_ms, row.active_ms, row.cost_micro


def _emptied(have: StoredRecord) -> RecordRow:
    assert have.ended_at_ms is not None, "what was imported has ended"
    lasted_ms = have.ended_at_ms - have.started_at_ms
    return RecordRow(
        *have[:3], "ended", have.started_at_ms, have.ended_at_ms, "migrated", None, 0, lasted_ms,
        0, 0, 0, 0, 0, 0, 0, 0, 0, "migrated", 1, have.ended_at_ms,
    )  # fmt: skip


def _plan_asides(
    before: Mapping[tuple[str, str], QuarantinedRow], after: _Asides, plan: MigrationPlan
) -> None:
    for name, aside in before.items():
        if after.get(name) != aside:
            plan.changes.quarantined_gone.append(aside)
    for name, aside in after.items():
        if before.get(name) != aside:
            plan.changes.quarantined.append(aside)


def _plan_leftovers(target: TargetRecords, stored: ImportedState, plan: MigrationPlan) -> None:
    before = stored.remainders.get(target.pair, {})
    if target.is_gone:
        return
    for key, remainder in before.items():
        if target.remainders.get(key) != remainder:
            plan.changes.remainders_gone.append(remainder)
    for key, remainder in target.remainders.items():
        if before.get(key) != remainder:
            plan.changes.remainders.append(remainder)
