"""Which rows of a pair can be used, and which chats there are: what can't be used is set aside."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from daemon.legacy.rules.rows import (
    AMOUNT_MAX,
    BAD_ADVISOR_ID,
    BAD_CHAT_ID,
    BAD_RATE,
    BAD_USER_ID,
    CHAT,
    CHAT_DURATION,
    CHAT_GONE,
    DUPLICATE,
    DURATION_MS_MAX,
    ENDS_BEFORE_START,
    FOREIGN_CHAT,
    NEGATIVE,
    NEVER_ENDED,
    NO_RECORD,
    NO_START,
    OUT_OF_RANGE,
    RECORD,
    RUNS_AFTER_END,
    UNKNOWN,
    UNKNOWN_WORD,
    UNREADABLE,
    Anomaly,
    Division,
    OldChat,
    OldRecord,
    Pair,
    Quarantined,
    Split,
)
from meterd.rules.commands import is_identifier
from meterd.rules.model import ENDED, RUNNING


class ChatTarget(NamedTuple):
    """A chat to be, whether the old chats have it or only records name it."""

    chat: OldChat
    started_at: int
    ended_at: int
    is_end_known: bool
    """Whether a column says when it ended, or could."""
    is_gone: bool
    """Whether only records name it."""
    records: list[OldRecord]
    """Those that point to it, the oldest first."""
    running: OldRecord | None
    """The one that says that it runs or is paused."""

    @property
    def span_ms(self) -> int:
        """How long it was open."""
        return self.ended_at - self.started_at


def usable_records(pair: Pair, division: Division, out: Split) -> list[OldRecord]:
    """Those whose totals can be given to a chat, the oldest first; the others are set aside."""
    usable: list[OldRecord] = []
    for record in sorted(pair.records, key=lambda r: (r.updated_at, r.key)):
        if reason := _fault_of(record):
            set_aside_record(record, reason, out)
        else:
            usable.append(record)
    return usable if division.are_sessions else _latest_of_each_chat(usable, out)


def _latest_of_each_chat(records: Iterable[OldRecord], out: Split) -> list[OldRecord]:
    """Of two records of one chat the later one has all of it, as far as we know."""
    latest: dict[str | None, OldRecord] = {}
    for record in records:
        before = latest.pop(record.chat_id, None)
        if before is not None:
            set_aside_record(before, DUPLICATE, out)
        latest[record.chat_id] = record
    return list(latest.values())


def _fault_of(record: OldRecord) -> str:
    amounts = (record.total_ms, record.cost_micro, record.free_ms)
    return (
        _fault_of_amounts(amounts)
        or _fault_of_names(record.user_id, record.advisor_id, record.chat_id)
        or (FOREIGN_CHAT if record.points_elsewhere else "")
        or (UNKNOWN_WORD if record.status == UNKNOWN else "")
        or _fault_of_rate(record)
    )


def _fault_of_rate(record: OldRecord) -> str:
    """Only a chat that goes on needs its rate."""
    if record.status == ENDED or record.rate_micro is None:
        return ""
    return "" if 0 <= record.rate_micro <= AMOUNT_MAX else BAD_RATE


def _fault_of_amounts(amounts: tuple[int | None, ...]) -> str:
    known = [amount for amount in amounts if amount is not None]
    if len(known) < len(amounts):
        return UNREADABLE
    if min(known) < 0:
        return NEGATIVE
    most = (DURATION_MS_MAX, AMOUNT_MAX, DURATION_MS_MAX)
    return OUT_OF_RANGE if any(a > m for a, m in zip(known, most, strict=False)) else ""


def _fault_of_names(user_id: str, advisor_id: str, chat_id: str | None) -> str:
    if not is_identifier(user_id):
        return BAD_USER_ID
    if not is_identifier(advisor_id):
        return BAD_ADVISOR_ID
    return BAD_CHAT_ID if chat_id is not None and not is_identifier(chat_id) else ""


def set_aside_record(record: OldRecord, reason: str, out: Split) -> None:
    """Set a record aside with all that it has counted."""
    status = "" if record.status == ENDED or reason == DUPLICATE else record.status
    out.quarantined.append(
        Quarantined(
            kind=RECORD,
            key=record.key,
            reason=reason,
            total_ms=record.total_ms or 0,
            cost_micro=record.cost_micro or 0,
            status=status,
            chat_id=record.chat_id or "" if status else "",
        )
    )


def targets_of(
    pair: Pair, records: Iterable[OldRecord], division: Division, out: Split
) -> dict[str, ChatTarget]:
    """Every chat of the pair that can have a record, by its id, the oldest first."""
    named = {chat.chat_id: chat for chat in sorted(pair.chats, key=_chat_order, reverse=True)}
    undecided = undecided_chats(out)
    usable = [chat for chat in named.values() if _is_usable(chat, division, undecided, out)]
    pointing: dict[str, list[OldRecord]] = {}
    for record in records:
        if record.chat_id is not None:
            pointing.setdefault(record.chat_id, []).append(record)
    gone = {i: some for i, some in pointing.items() if i not in named and i not in undecided}
    usable += [_chat_of(some) for some in gone.values()]
    if division.has_chats:
        out.anomalies.extend(Anomaly(CHAT_GONE, r.key) for some in gone.values() for r in some)
    if pair.chats and not pair.records:
        out.anomalies.append(Anomaly(NO_RECORD, pair.chats[0].chat_id))
    usable.sort(key=_chat_order)
    following = [*(chat.created_at for chat in usable[1:]), None]
    return {
        chat.chat_id: _target(
            chat, pointing.get(chat.chat_id, []), (after, chat.chat_id in gone), division, out
        )
        for chat, after in zip(usable, following, strict=False)
    }


def undecided_chats(out: Split) -> dict[str, Quarantined]:
    """By chat: records that are set aside and do not say that it has ended.

    Of several, one whose word nobody knows.
    """
    open_ = [one for one in out.quarantined if one.status and one.chat_id]
    return {one.chat_id: one for one in sorted(open_, key=lambda one: one.status == UNKNOWN)}


def _chat_order(chat: OldChat) -> tuple[bool, int, str, int, bool, bool, int]:
    """By start; of two rows of one chat the first counts, whatever order they were read in.

    A row with a start comes before one without, and so does one that can be read.
    """
    return (
        chat.created_at is None,
        chat.created_at or 0,
        chat.chat_id,
        chat.ended_at or 0,
        chat.ended_at is None,
        chat.duration_ms is None,
        chat.duration_ms or 0,
    )


def _is_usable(
    chat: OldChat, division: Division, undecided: Mapping[str, Quarantined], out: Split
) -> bool:
    reason = _fault_of_names(chat.user_id, chat.advisor_id, chat.chat_id)
    if not reason and (chat.created_at is None or chat.created_at < 0):
        reason = NO_START
    if not reason and division.policy == CHAT_DURATION:
        reason = _fault_of_amounts((chat.duration_ms,))
    record = undecided.get(chat.chat_id)
    if record is not None and (record.status == UNKNOWN or chat.ended_at is None):
        # Its record can't be used, and does not say that it has ended.
        reason = reason or record.reason
    if reason:
        set_aside_chat(chat.chat_id, reason, "", out)
    return not reason


def set_aside_chat(
    chat_id: str, reason: str, status: str, out: Split, amounts: tuple[int, int] = (0, 0)
) -> None:
    """Set a chat aside, with so many milliseconds and micro-credits."""
    out.quarantined.append(
        Quarantined(CHAT, chat_id, reason, *amounts, status, chat_id if status else "")
    )


def _chat_of(records: list[OldRecord]) -> OldChat:
    """The chat that records alone still know of."""
    first = records[0]
    assert first.chat_id is not None, "it names one"
    starts = [r.started_at if r.started_at is not None else r.updated_at for r in records]
    ends = [r.ended_at for r in records if r.ended_at is not None]
    return OldChat(
        chat_id=first.chat_id,
        user_id=first.user_id,
        advisor_id=first.advisor_id,
        created_at=min(starts),
        ended_at=max(ends) if len(ends) == len(records) else None,
    )


def _target(
    chat: OldChat,
    records: list[OldRecord],
    around: tuple[int | None, bool],
    division: Division,
    out: Split,
) -> ChatTarget:
    after, is_gone = around
    started = chat.created_at
    assert started is not None, "a chat without a start was set aside"
    running = _running_record(chat, records, out)
    ended = chat.ended_at
    if ended is None:
        ended = _end_of(records, after, started)
        if division.has_ends and running is None:
            out.anomalies.append(Anomaly(NEVER_ENDED, chat.chat_id))
    if ended < started:
        out.anomalies.append(Anomaly(ENDS_BEFORE_START, chat.chat_id))
        ended = started
    return ChatTarget(
        chat=chat,
        started_at=started,
        ended_at=ended,
        is_end_known=division.has_ends,
        is_gone=is_gone,
        records=records,
        running=running,
    )


def _end_of(records: list[OldRecord], after: int | None, started: int) -> int:
    """When a chat without an end ended: as its records say, else when the next one began."""
    if records:
        return max(
            r.ended_at if r.ended_at is not None else max(started, r.updated_at) for r in records
        )
    return after if after is not None else started


def _running_record(chat: OldChat, records: list[OldRecord], out: Split) -> OldRecord | None:
    """The latest record that says that the chat runs, unless the chat says otherwise."""
    open_ = [record for record in records if record.status != ENDED]
    if not open_:
        return None
    if chat.ended_at is not None:
        out.anomalies.append(Anomaly(RUNS_AFTER_END, open_[-1].key))
        return None
    return next((one for one in reversed(open_) if one.status == RUNNING), open_[-1])
