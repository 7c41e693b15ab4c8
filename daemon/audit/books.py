"""Records and ledger of one user against the fold."""

from collections.abc import Iterator
from typing import Any

from actors.chat.rows import record_row
from daemon.audit.differences import NOTHING, Difference, differing
from daemon.audit.digest import RowsDigest
from daemon.audit.folding import Folded
from daemon.audit.opening_state import digest_of_records, opening_rows
from meterd.rules.model import MIGRATED
from meterd.rules.money import format_micro
from meterd.rules.opening_balance import entry_id, number_of
from persistence.postgres.rows import LedgerRow, RecordRow
from persistence.redis.commit import ledger_row


def compare_books(folded: Folded, partition: int) -> Iterator[Difference]:
    """What Postgres has of a user and should not have, or not so, or has not."""
    yield from _records(folded)
    yield from _ended_before(folded)
    yield from _ledger(folded, partition)
    yield from _balance(folded)


def _records(folded: Folded) -> Iterator[Difference]:
    chats, left = folded.replay.chats, dict(folded.records)
    for chat_id, chat in chats.items():
        yield from _chat(record_row(chat), left.pop(chat_id, None))
    for row in left.values():
        yield _of_chat("extra_record", row, NOTHING, _plain(row))


def _ended_before(folded: Folded) -> Iterator[Difference]:
    """Records of chats that had ended before an archive, as they were: none has been changed."""
    archived = folded.opening.archived
    if archived is None:
        return
    had_ended = (chat for chat in folded.opening.ended if chat.chat_id not in folded.started_later)
    found = digest_of_records(had_ended)
    if found != archived.ended:
        yield _of_archive("archived_records", folded.user, archived.ended, found)


def _chat(expected: RecordRow, row: RecordRow | None) -> Iterator[Difference]:
    if row is None:
        yield _of_chat("missing_record", expected, _plain(expected), NOTHING)
        return
    if row != expected:
        yield _of_chat("record", row, *differing(_record(expected), _record(row)))
    yield from _times(row)


def _times(row: RecordRow) -> Iterator[Difference]:
    if row.ended_at_ms is None:
        return
    lasted_ms = row.ended_at_ms - row.started_at_ms
    if lasted_ms != row.active_ms + row.paused_ms:
        told = f"active_ms + paused_ms = {row.active_ms + row.paused_ms}"
        yield _of_chat("times", row, f"ended_at − started_at = {lasted_ms}", told)


def _ledger(folded: Folded, partition: int) -> Iterator[Difference]:
    yield from _openings(folded)
    left = _not_opening(folded)
    for entry in folded.replay.ledger:
        expected = ledger_row(entry, partition)
        row = left.pop(expected.entry_id, None)
        if row is None:
            yield _of_entry("missing_ledger_entry", expected, _plain(expected), NOTHING)
        elif row != expected:
            yield _of_entry("ledger_entry", row, *differing(_record(expected), _record(row)))
    cut_ms, rest = folded.opening.cut_ms, list(left.values())
    yield from _ledger_before(folded, [row for row in rest if row.at_ms < cut_ms])
    for row in rest:
        if row.at_ms >= cut_ms:
            yield _of_entry("extra_ledger_entry", row, NOTHING, _plain(row))


def _not_opening(folded: Folded) -> dict[str, LedgerRow]:
    """The entries that the journal has made; all of them where an archive has their digest."""
    if folded.opening.archived is not None:
        return dict(folded.ledger)
    return {k: row for k, row in folded.ledger.items() if row.kind != MIGRATED}


def _ledger_before(folded: Folded, rows: list[LedgerRow]) -> Iterator[Difference]:
    """Entries that were there before an archive: none was added, none is gone."""
    archived = folded.opening.archived
    if archived is None:
        return
    found = RowsDigest().plus(rows)
    if found != archived.ledger:
        yield _of_archive("archived_ledger", folded.user, archived.ledger, found)


def _of_archive(kind: str, user: str, expected: RowsDigest, found: RowsDigest) -> Difference:
    return Difference(
        kind=kind, user=user, chat=None, entry=None, expected=str(expected), found=str(found)
    )


def _openings(folded: Folded) -> Iterator[Difference]:
    """What was imported is taken as it is, but for its names: none is left out, none is twice."""
    if folded.opening.archived is not None:
        return
    steps = enumerate(folded.opening.steps, 1)
    numbers = {step.account.seq: number for number, step in steps}
    for row in opening_rows(folded.ledger.values()):
        number = numbers[number_of(row.entry_id)]
        expected = row._replace(
            entry_id=entry_id(folded.user, number), chat_id=None, command_id=None
        )
        if row != expected:
            yield _of_entry("ledger_entry", row, *differing(_record(expected), _record(row)))


def _balance(folded: Folded) -> Iterator[Difference]:
    total_micro = sum(row.amount_micro for row in folded.ledger.values())
    settled_micro = folded.replay.account.settled_micro
    if total_micro != settled_micro:
        yield Difference(
            kind="balance",
            user=folded.user,
            chat=None,
            entry=None,
            expected=f"ledger={format_micro(settled_micro)}",
            found=f"ledger={format_micro(total_micro)}",
        )


def _of_chat(kind: str, row: RecordRow, expected: str, found: str) -> Difference:
    return Difference(
        kind=kind, user=row.user_id, chat=row.chat_id, entry=None, expected=expected, found=found
    )


def _of_entry(kind: str, row: LedgerRow, expected: str, found: str) -> Difference:
    return Difference(
        kind=kind,
        user=row.user_id,
        chat=row.chat_id,
        entry=row.entry_id,
        expected=expected,
        found=found,
    )


def _plain(row: RecordRow | LedgerRow) -> str:
    return differing(_record(row), {})[0]


def _record(row: RecordRow | LedgerRow) -> dict[str, Any]:
    return row._asdict()
