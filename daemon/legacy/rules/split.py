"""How one pair's old time is divided among its chats: whole milliseconds, whole micro-credits.

What the old records of a user and an advisor have counted is given to chats by a policy; what can't
be decided is set aside with its reason. Nothing is lost and nothing is counted twice: the sum of
what comes out is the sum of what went in.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from daemon.legacy.rules.rows import (
    CHAT,
    CHATS_EXCEED,
    DUPLICATE,
    LONGER_THAN_ITS_SPAN,
    MOMENT_MS_MAX,
    NO_CHAT,
    NO_START,
    POINTS_NOWHERE,
    POLICIES,
    RECORD,
    Anomaly,
    Division,
    ImportedChat,
    OldRecord,
    Pair,
    Running,
    Split,
)
from daemon.legacy.rules.shares import AimedRecord, ChatTargets, Shares, shares_of
from daemon.legacy.rules.usable import (
    ChatTarget,
    set_aside_chat,
    set_aside_record,
    targets_of,
    undecided_chats,
    usable_records,
)


def split(pair: Pair, division: Division) -> Split:
    """Divide what a pair's records have counted among its chats.

    Args:
        pair: the rows of one user and advisor.
        division: how they are read and divided.
    """
    assert division.policy in POLICIES, f"policy is one of {', '.join(POLICIES)}"
    out = Split([], [], [], [])
    records = usable_records(pair, division, out)
    targets = targets_of(pair, records, division, out)
    aimed = list(_aimed(records, targets, out))
    shares = shares_of(aimed, targets, division.policy, pair.trusted, out)
    if shares is None:
        _set_all_aside(aimed, targets, out)
        return out
    for chat_id, target in targets.items():
        _close(target, _Share.of(shares, chat_id), division, out)
    return out._replace(
        surplus_ms=shares.surplus_ms,
        free_used_ms=max((one.free_ms for one in aimed), default=0),
    )


def _aimed(records: Iterable[OldRecord], targets: ChatTargets, out: Split) -> Iterator[AimedRecord]:
    """Each record with the chat that gets what it has counted; the others are set aside."""
    reasons = {chat_id: one.reason for chat_id, one in undecided_chats(out).items()}
    reasons |= {one.key: one.reason for one in out.quarantined if one.kind == CHAT}
    for record in records:
        if record.chat_id is None:
            out.anomalies.append(Anomaly(POINTS_NOWHERE, record.key))
            chat_id, reason = next(reversed(list(targets)), None), NO_CHAT
        else:
            chat_id = record.chat_id if record.chat_id in targets else None
            reason = reasons.get(record.chat_id, NO_START)
        if chat_id is None:
            set_aside_record(record, reason, out)
        else:
            yield AimedRecord(record, chat_id)


def _set_all_aside(aimed: Iterable[AimedRecord], targets: ChatTargets, out: Split) -> None:
    """The chats say more than the records: each is set aside with what records say of it.

    If a record of the pair could not be used, that is why.
    """
    reason = next(
        (q.reason for q in out.quarantined if q.kind == RECORD and q.reason != DUPLICATE),
        CHATS_EXCEED,
    )
    amounts = dict.fromkeys(targets, (0, 0))
    for one in aimed:
        ms, micro = amounts[one.chat_id]
        amounts[one.chat_id] = ms + one.total_ms, micro + one.cost_micro
    for chat_id, target in targets.items():
        status = target.running.status if target.running else ""
        set_aside_chat(chat_id, reason, status, out, amounts[chat_id])


class _Share(NamedTuple):
    """What one chat gets."""

    total_ms: int
    free_ms: int
    cost_micro: int

    @staticmethod
    def of(shares: Shares, chat_id: str) -> "_Share":
        return _Share(shares.total_ms[chat_id], shares.free_ms[chat_id], shares.cost_micro[chat_id])


def _close(target: ChatTarget, share: _Share, division: Division, out: Split) -> None:
    """One chat as it will be: an ended record, or one that is still to be adopted."""
    chat, running = target.chat, target.running
    if running is not None:
        out.running.append(
            Running(
                chat_id=chat.chat_id,
                user_id=chat.user_id,
                advisor_id=chat.advisor_id,
                status=running.status,
                started_at=target.started_at,
                since=running.last_resumed_at,
                carried_ms=share.total_ms,
                carried_cost_micro=share.cost_micro,
                seen_at=running.updated_at,
                free_ms=share.free_ms if division.has_free_time else None,
                rate_micro=running.rate_micro,
            )
        )
        return
    started, ended = _times(target, share.total_ms, out)
    out.imported.append(
        ImportedChat(
            chat_id=chat.chat_id,
            user_id=chat.user_id,
            advisor_id=chat.advisor_id,
            started_at=started,
            ended_at=ended,
            active_ms=share.total_ms,
            cost_micro=share.cost_micro,
        )
    )


def _times(target: ChatTarget, total_ms: int, out: Split) -> tuple[int, int]:
    """Start and end, so far apart that the time fits in between.

    An end that no column could say is later then; else the start is earlier.
    """
    started, ended = target.started_at, target.ended_at
    if total_ms <= target.span_ms:
        return started, ended
    if not target.is_end_known and started + total_ms <= MOMENT_MS_MAX:
        return started, started + total_ms
    out.anomalies.append(Anomaly(LONGER_THAN_ITS_SPAN, target.chat.chat_id))
    return max(0, ended - total_ms), max(ended, total_ms)
