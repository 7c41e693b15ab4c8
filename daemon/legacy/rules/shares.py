"""How time, free time and cost of a pair are divided among its chats: whole units, none lost."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from daemon.legacy.rules.rows import (
    CHAT_DURATION,
    NOTHING_PAID,
    PROPORTIONAL,
    RECORDS_EXCEED,
    TRUST_CHATS,
    TRUST_RECORDS,
    Anomaly,
    OldRecord,
    Split,
)
from daemon.legacy.rules.usable import ChatTarget

ChatTargets = Mapping[str, ChatTarget]
"""Chats by id, the oldest first."""
Amounts = dict[str, int]
"""Milliseconds or micro-credits by chat."""


class AimedRecord(NamedTuple):
    """A record with the chat that it points to, or that is taken for it."""

    record: OldRecord
    chat_id: str

    @property
    def total_ms(self) -> int:
        """What it has counted."""
        assert self.record.total_ms is not None, "one that is no number was set aside"
        return self.record.total_ms

    @property
    def cost_micro(self) -> int:
        """What it has cost."""
        assert self.record.cost_micro is not None, "one that is no number was set aside"
        return self.record.cost_micro

    @property
    def free_ms(self) -> int:
        """The free time in it."""
        assert self.record.free_ms is not None, "one that is no number was set aside"
        return self.record.free_ms


class Shares(NamedTuple):
    """What each chat of a pair gets."""

    total_ms: Amounts
    free_ms: Amounts
    cost_micro: Amounts
    surplus_ms: int = 0
    """What the chats get beyond what the records have."""


def shares_of(
    aimed: Sequence[AimedRecord], targets: ChatTargets, policy: str, trusted: str, out: Split
) -> Shares | None:
    """Divide what records have counted.

    Args:
        aimed: the records, the oldest first.
        targets: all chats of the pair; none may be missing that a record points to.
        policy: ``latest``, ``proportional`` or ``chat_duration``.
        trusted: whom to believe where chats say more than records: ``chats``, ``records`` or
            nobody.
        out: takes what is odd.

    Returns:
        None if the chats say more than the records, and nobody is trusted.
    """
    if policy == CHAT_DURATION:
        return _by_chat_duration(aimed, targets, trusted, out)
    total_ms, cost_micro = _nothing(targets), _nothing(targets)
    for one in aimed:
        _share_out(one.total_ms, one.chat_id, targets, policy, total_ms)
        _share_out(one.cost_micro, one.chat_id, targets, policy, cost_micro)
    return Shares(total_ms, free_time_of(aimed, total_ms), cost_micro)


def free_time_of(aimed: Sequence[AimedRecord], total_ms: Amounts) -> Amounts:
    """Use the records' free time up from the first millisecond on, chat by chat.

    Args:
        aimed: the records of the pair.
        total_ms: the time of each chat, the oldest first.
    """
    left = sum(one.free_ms for one in aimed)
    free: Amounts = {}
    for chat_id, ms in total_ms.items():
        free[chat_id] = min(ms, left)
        left -= free[chat_id]
    return free


def _by_chat_duration(
    aimed: Sequence[AimedRecord], targets: ChatTargets, trusted: str, out: Split
) -> Shares | None:
    """Each chat's own duration; the cost by the time that was paid for."""
    counted_ms = sum(one.total_ms for one in aimed)
    total_ms = {chat_id: target.chat.duration_ms or 0 for chat_id, target in targets.items()}
    surplus_ms = max(0, sum(total_ms.values()) - counted_ms)
    if surplus_ms and trusted == TRUST_RECORDS:
        total_ms = _weighted(counted_ms, total_ms)
        surplus_ms = 0
    elif surplus_ms and trusted != TRUST_CHATS:
        return None
    if aimed:
        _give_rest(counted_ms - sum(total_ms.values()), aimed, targets, total_ms, out)
    free_ms = free_time_of(aimed, total_ms)
    cost_micro = _cost_by_paid_time(aimed, total_ms, free_ms, out)
    return Shares(total_ms, free_ms, cost_micro, surplus_ms)


def _give_rest(
    rest_ms: int,
    aimed: Sequence[AimedRecord],
    targets: ChatTargets,
    total_ms: Amounts,
    out: Split,
) -> None:
    """What no chat has: to each that is gone what its records say, then to the newest record's."""
    left = max(0, rest_ms)
    for chat_id, target in targets.items():
        if target.is_gone:
            part = min(left, sum(record.total_ms or 0 for record in target.records))
            total_ms[chat_id] += part
            left -= part
    if left:
        newest = newest_of(aimed)
        total_ms[newest.chat_id] += left
        out.anomalies.append(Anomaly(RECORDS_EXCEED, newest.record.key))


def newest_of(aimed: Sequence[AimedRecord]) -> AimedRecord:
    """The record that began last; of the same moment, the one that was written last."""
    return max(aimed, key=lambda one: _age(one.record))


def _age(record: OldRecord) -> tuple[int, int, int, str]:
    began = record.started_at if record.started_at is not None else record.updated_at
    # A serial number is text here: of two the longer one is the greater one.
    return began, record.updated_at, len(record.key), record.key


def _cost_by_paid_time(
    aimed: Sequence[AimedRecord], total_ms: Amounts, free_ms: Amounts, out: Split
) -> Amounts:
    cost = sum(one.cost_micro for one in aimed)
    paid_ms = {chat_id: ms - free_ms[chat_id] for chat_id, ms in total_ms.items()}
    if not cost or any(paid_ms.values()):
        return _weighted(cost, paid_ms)
    out.anomalies.append(Anomaly(NOTHING_PAID, newest_of(aimed).record.key))
    if any(total_ms.values()):
        return _weighted(cost, total_ms)
    return {**_nothing(total_ms), newest_of(aimed).chat_id: cost}


def _share_out(
    amount: int, chat_id: str, targets: ChatTargets, policy: str, shares: Amounts
) -> None:
    """All to the chat that is pointed to; or by span, if any chat has one."""
    if policy == PROPORTIONAL and any(target.span_ms for target in targets.values()):
        weights = {one: target.span_ms for one, target in targets.items()}
        for one, share in _weighted(amount, weights).items():
            shares[one] += share
    else:
        shares[chat_id] += amount


def _weighted(total: int, weights: Amounts) -> Amounts:
    """Divide by weights; nothing to nobody where all are zero."""
    if not total:
        return _nothing(weights)
    return dict(zip(weights, largest_remainder(total, list(weights.values())), strict=True))


def _nothing(chats: Mapping[str, object]) -> Amounts:
    return dict.fromkeys(chats, 0)


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
