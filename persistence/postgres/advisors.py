"""An advisor's chats summed up: how many are open now, and what ended ones came to."""

from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, func, select

from persistence.postgres.convert import check_texts, micro_from_credits
from persistence.postgres.tables import chat_time_records

_records = chat_time_records.c
_RUNNING: Final = "running"


class AdvisorTotals(NamedTuple):
    """Sums over an advisor's chats; credits in micro-credits."""

    open: dict[str, int]
    """How many chats are open, by status; a status that no chat has is left out."""
    burn_rate_micro: int
    """Credits a minute of the running ones."""
    chats: int
    """Ended ones, of all time, and what they came to:"""
    active_ms: int
    billed_ms: int
    cost_micro: int
    refunded_micro: int


def advisor_totals(connection: Connection, advisor_id: str) -> AdvisorTotals:
    """Give an advisor's sums; zeros of one that nobody had a chat with.

    Raises:
        UnstorableError: A text that PostgreSQL can't hold.
    """
    open_chats: dict[str, int] = {}
    burn_rate_micro, ended = 0, (0, 0, 0, 0, 0)
    for status, chats, rate, active_ms, billed_ms, cost, refunded in connection.execute(
        advisor_totals_query(advisor_id)
    ):
        if status == "ended":
            credits_micro = micro_from_credits(cost), micro_from_credits(refunded)
            ended = (chats, int(active_ms), int(billed_ms), *credits_micro)
            continue
        open_chats[status] = chats
        if status == _RUNNING:
            burn_rate_micro = micro_from_credits(rate)
    return AdvisorTotals(open_chats, burn_rate_micro, *ended)


def advisor_totals_query(advisor_id: str) -> Select[Any]:
    """Give the statement, so that a test can see its plan."""
    check_texts((advisor_id,))
    columns = ("rate", "active_ms", "billed_ms", "cost", "refunded")
    sums = [func.sum(_records[name]) for name in columns]
    is_theirs = _records.advisor_id == advisor_id
    return select(_records.status, func.count(), *sums).where(is_theirs).group_by(_records.status)
