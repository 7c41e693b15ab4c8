"""How one pair's old time is divided among its chats: whole milliseconds, whole micro-credits.

The system before meterd kept one record for each user and advisor and moved it to whichever chat
came last. What such a record has counted is given to chats by a policy; what can't be decided is
set aside with its reason. Nothing is lost and nothing is counted twice: the sum of what comes out
is the sum of what went in.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from daemon.legacy.rules.rows import (
    ACTIVE,
    AMOUNT_MAX,
    BAD_ADVISOR_ID,
    BAD_CHAT_ID,
    BAD_USER_ID,
    CHAT,
    CHAT_GONE,
    COMPLETED,
    DUPLICATE,
    DURATION_MS_MAX,
    ENDS_BEFORE_START,
    FOREIGN_CHAT,
    LONGER_THAN_ITS_SPAN,
    NEGATIVE,
    NEVER_ENDED,
    NO_CHAT,
    NO_RECORD,
    NO_START,
    OLD_PAUSED,
    OUT_OF_RANGE,
    POINTS_NOWHERE,
    POLICIES,
    PROPORTIONAL,
    RECORD,
    RUNS_AFTER_END,
    STATUSES,
    UNKNOWN_STATUS,
    UNREADABLE,
    Anomaly,
    ImportedChat,
    OldChat,
    OldRecord,
    Pair,
    Quarantined,
    Running,
    Split,
)
from meterd.rules.commands import is_identifier

__all__ = [
    "ACTIVE",
    "AMOUNT_MAX",
    "DURATION_MS_MAX",
    "ImportedChat",
    "OldChat",
    "OldRecord",
    "Pair",
    "Running",
    "Split",
    "largest_remainder",
    "split",
]


class _Target(NamedTuple):
    """A chat to be, whether the old chats have it or only a record names it."""

    chat: OldChat
    started_at: int
    ended_at: int
    record: OldRecord | None
    """The record that says it runs."""

    @property
    def span_ms(self) -> int:
        return self.ended_at - self.started_at


def split(pair: Pair, policy: str) -> Split:
    """Divide what a pair's records have counted among its chats.

    Args:
        pair: the rows of one user and advisor.
        policy: ``latest`` or ``proportional``.
    """
    assert policy in POLICIES, f"policy is one of {', '.join(POLICIES)}"
    out = Split([], [], [], [])
    records = _usable_records(pair, out)
    targets = _targets(pair, records, out)
    for chat_id, (total_ms, cost_micro) in _shares(records, targets, policy, out).items():
        _close(targets[chat_id], total_ms, cost_micro, out)
    return out


def _usable_records(pair: Pair, out: Split) -> list[OldRecord]:
    """Those whose totals can be given to a chat, the oldest first; the others are set aside."""
    usable: dict[str | None, OldRecord] = {}
    for record in sorted(pair.records, key=lambda r: (r.updated_at, r.key)):
        reason = _fault_of(record)
        if reason:
            _quarantine(RECORD, record.key, reason, record, out)
            continue
        before = usable.pop(record.chat_id, None)
        if before is not None:  # two for one chat: the later one has all of it, as far as we know
            _quarantine(RECORD, before.key, DUPLICATE, before, out)
        usable[record.chat_id] = record
    return list(usable.values())


def _fault_of(record: OldRecord) -> str:
    total_ms, cost_micro = record.total_ms, record.cost_micro
    if total_ms is None or cost_micro is None:
        return UNREADABLE
    if total_ms < 0 or cost_micro < 0:
        return NEGATIVE
    if total_ms > DURATION_MS_MAX or cost_micro > AMOUNT_MAX:
        return OUT_OF_RANGE
    if not is_identifier(record.user_id):
        return BAD_USER_ID
    if not is_identifier(record.advisor_id):
        return BAD_ADVISOR_ID
    if record.chat_id is not None and not is_identifier(record.chat_id):
        return BAD_CHAT_ID
    return FOREIGN_CHAT if record.points_elsewhere else ""


def _targets(pair: Pair, records: Iterable[OldRecord], out: Split) -> dict[str, _Target]:
    """Every chat of the pair that can have a record, by its id, the oldest first."""
    named = {chat.chat_id: chat for chat in sorted(pair.chats, key=_chat_order, reverse=True)}
    usable = [chat for chat in named.values() if _is_usable(chat, out)]
    gone = [r for r in records if r.chat_id is not None and r.chat_id not in named]
    for record in gone:
        out.anomalies.append(Anomaly(CHAT_GONE, record.key))
        usable.append(_chat_of(record))
    if pair.chats and not pair.records:
        out.anomalies.append(Anomaly(NO_RECORD, pair.chats[0].chat_id))
    usable.sort(key=_chat_order)
    pointing = {record.chat_id: record for record in records}
    following = [*(chat.created_at for chat in usable[1:]), None]
    return {
        chat.chat_id: _target(chat, pointing.get(chat.chat_id), after, out)
        for chat, after in zip(usable, following, strict=False)
    }


def _chat_order(chat: OldChat) -> tuple[int, str, int]:
    return chat.created_at or 0, chat.chat_id, chat.ended_at or 0


def _is_usable(chat: OldChat, out: Split) -> bool:
    reason = ""
    if not is_identifier(chat.chat_id):
        reason = BAD_CHAT_ID
    elif not is_identifier(chat.user_id):
        reason = BAD_USER_ID
    elif not is_identifier(chat.advisor_id):
        reason = BAD_ADVISOR_ID
    elif chat.created_at is None or chat.created_at < 0:
        reason = NO_START
    if reason:
        out.quarantined.append(
            Quarantined(kind=CHAT, key=chat.chat_id, reason=reason, total_ms=0, cost_micro=0)
        )
    return not reason


def _chat_of(record: OldRecord) -> OldChat:
    """The chat that a record alone still knows of."""
    assert record.chat_id is not None, "it names one"
    started = record.started_at if record.started_at is not None else record.updated_at
    return OldChat(
        chat_id=record.chat_id,
        user_id=record.user_id,
        advisor_id=record.advisor_id,
        created_at=started,
        ended_at=record.ended_at,
    )


def _target(chat: OldChat, record: OldRecord | None, after: int | None, out: Split) -> _Target:
    started = chat.created_at
    assert started is not None, "a chat without a start was set aside"
    ended = chat.ended_at
    if ended is None:
        ended = _end_of(record, after, started)
        if record is None or record.status not in (ACTIVE, OLD_PAUSED):
            out.anomalies.append(Anomaly(NEVER_ENDED, chat.chat_id))
    if ended < started:
        out.anomalies.append(Anomaly(ENDS_BEFORE_START, chat.chat_id))
        ended = started
    return _Target(chat, started, ended, _running_record(chat, record, out))


def _end_of(record: OldRecord | None, after: int | None, started: int) -> int:
    """When a chat without an end ended: as its record says, else when the next one began."""
    if record is not None:
        return record.ended_at if record.ended_at is not None else max(started, record.updated_at)
    return after if after is not None else started


def _running_record(chat: OldChat, record: OldRecord | None, out: Split) -> OldRecord | None:
    """The record, if it says that the chat runs and the chat does not say otherwise."""
    if record is None or record.status == COMPLETED:
        return None
    if record.status not in STATUSES:
        out.anomalies.append(Anomaly(UNKNOWN_STATUS, record.key))
        return None
    if chat.ended_at is not None:
        out.anomalies.append(Anomaly(RUNS_AFTER_END, record.key))
        return None
    return record


_Shares = dict[str, tuple[int, int]]


def _shares(
    records: Iterable[OldRecord], targets: dict[str, _Target], policy: str, out: Split
) -> _Shares:
    """Milliseconds and micro-credits of each chat."""
    shares: _Shares = dict.fromkeys(targets, (0, 0))
    for record in records:
        aim = _aim(record, targets, out)
        if aim is None:
            reason = NO_CHAT if record.chat_id is None else NO_START
            _quarantine(RECORD, record.key, reason, record, out)
        elif policy == PROPORTIONAL:
            _share_out(record, targets, aim, shares)
        else:
            _add(shares, aim, record.total_ms or 0, record.cost_micro or 0)
    return shares


def _aim(record: OldRecord, targets: dict[str, _Target], out: Split) -> str | None:
    """The chat that the record points to; the pair's newest if it points nowhere."""
    if record.chat_id is not None:
        return record.chat_id if record.chat_id in targets else None
    out.anomalies.append(Anomaly(POINTS_NOWHERE, record.key))
    return next(reversed(targets), None)


def _share_out(record: OldRecord, targets: dict[str, _Target], aim: str, shares: _Shares) -> None:
    """By span; all to the chat it points to if none has any."""
    weights = {chat_id: target.span_ms for chat_id, target in targets.items()}
    if not any(weights.values()):
        weights[aim] = 1
    total_ms = largest_remainder(record.total_ms or 0, list(weights.values()))
    micro = largest_remainder(record.cost_micro or 0, list(weights.values()))
    for chat_id, ms, cost in zip(weights, total_ms, micro, strict=True):
        _add(shares, chat_id, ms, cost)


def largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    """Divide a whole number by weights: each share within one of its exact part, none is lost.

    Of equal remainders the earlier one gets more. The sum of ``weights`` is above zero.
    """
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-remainders[i], i))
    for index in order[: total - sum(shares)]:
        shares[index] += 1
    return shares


def _add(shares: _Shares, chat_id: str, total_ms: int, cost_micro: int) -> None:
    before_ms, before_micro = shares[chat_id]
    shares[chat_id] = before_ms + total_ms, before_micro + cost_micro


def _close(target: _Target, total_ms: int, cost_micro: int, out: Split) -> None:
    """One chat as it will be: an ended record, or one that is still to be adopted."""
    chat, running = target.chat, target.record
    if running is not None:
        out.running.append(
            Running(
                chat_id=chat.chat_id,
                user_id=chat.user_id,
                advisor_id=chat.advisor_id,
                status=running.status,
                started_at=target.started_at,
                since=running.last_resumed_at,
                carried_ms=total_ms,
                carried_cost_micro=cost_micro,
            )
        )
        return
    started, ended = target.started_at, target.ended_at
    if total_ms > target.span_ms:
        # All of a pair's time on one chat: it gets the time it needs, backwards from its end.
        out.anomalies.append(Anomaly(LONGER_THAN_ITS_SPAN, chat.chat_id))
        started = max(0, ended - total_ms)
        ended = max(ended, total_ms)
    out.imported.append(
        ImportedChat(
            chat_id=chat.chat_id, user_id=chat.user_id, advisor_id=chat.advisor_id,
            started_at=started, ended_at=ended, active_ms=total_ms, cost_micro=cost_micro,
        )
    )  # fmt: skip


def _quarantine(kind: str, key: str, reason: str, record: OldRecord, out: Split) -> None:
    out.quarantined.append(
        Quarantined(
            kind=kind,
            key=key,
            reason=reason,
            total_ms=record.total_ms or 0,
            cost_micro=record.cost_micro or 0,
        )
    )
