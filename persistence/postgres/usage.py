"""What chats came to in a period: time and credits, by user, by advisor or by day.

Time and cost are those of the chats that ended in the period; what was charged, refunded, adjusted
and topped up are the ledger's entries of the period. Days are those of UTC.
"""

from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Numeric,
    Select,
    case,
    cast,
    func,
    literal,
    select,
    union_all,
)

from persistence.postgres.convert import check_texts, integers
from persistence.postgres.pages import Period, within
from persistence.postgres.tables import chat_time_records, ledger_entries

GroupBy = Literal["user", "advisor", "day"]

_records = chat_time_records.c
_ledger = ledger_entries.c
_CREDITS: Final = Numeric(30, 6)


class UsageFilter(NamedTuple):
    """Which usage is wanted."""

    by: GroupBy
    period: Period
    user_id: str | None = None
    advisor_id: str | None = None

    @property
    def is_of_chats(self) -> bool:
        """Whether top-ups and adjustments, which are about no chat, are left out."""
        return self.by == "advisor" or self.advisor_id is not None


class UsageRow(NamedTuple):
    """One user's, advisor's or day's; credits in micro-credits."""

    key: str
    chats: int
    active_ms: int
    billed_ms: int
    cost_micro: int
    charged_micro: int
    refunded_micro: int
    adjusted_micro: int
    topped_up_micro: int


def usage_page(
    connection: Connection, wanted: UsageFilter, limit: int, after: str | None = None
) -> list[UsageRow]:
    """Give the groups that come after a key, in order of their keys.

    Raises:
        UnstorableError: A text or moment that PostgreSQL can't hold.
    """
    rows = connection.execute(usage_query(wanted, limit, after))
    return [UsageRow(row[0], *map(int, row[1:4]), *integers(row[4:])) for row in rows]


def usage_query(wanted: UsageFilter, limit: int, after: str | None = None) -> Select[Any]:
    """Give the statement, so that a test can see its plan."""
    check_texts((wanted.user_id, wanted.advisor_id, after))
    both = union_all(_of_chats(wanted, after), _of_ledger(wanted, after)).subquery()
    sums = [func.sum(column).label(column.name) for column in list(both.c)[1:]]
    in_order = both.c.key.collate("C")
    return select(both.c.key, *sums).group_by(both.c.key).order_by(in_order).limit(limit)


def _of_chats(wanted: UsageFilter, after: str | None) -> Select[Any]:
    key = _key(wanted.by, _records.user_id, _records.ended_at)
    nothing = [cast(literal(0), _CREDITS).label(name) for name in _MONEY]
    return (
        select(
            key.label("key"),
            func.count().label("chats"),
            func.sum(_records.active_ms).label("active_ms"),
            func.sum(_records.billed_ms).label("billed_ms"),
            cast(func.sum(_records.cost), _CREDITS).label("cost"),
            *nothing,
        )
        .where(*within(_records.ended_at, wanted.period), *_whose(wanted, _records.user_id))
        .where(*_after(key, after))
        .group_by(key)
    )


_MONEY: Final = ("charged", "refunded", "adjusted", "topped_up")
_KINDS: Final = ("charge", "refund", "adjustment", "top_up")


def _of_ledger(wanted: UsageFilter, after: str | None) -> Select[Any]:
    key = _key(wanted.by, _ledger.user_id, _ledger.at)
    none = [cast(literal(0), BigInteger).label(n) for n in ("chats", "active_ms", "billed_ms")]
    table: Any = ledger_entries
    if wanted.is_of_chats:
        table = ledger_entries.join(chat_time_records, _ledger.chat_id == _records.chat_id)
    return (
        select(
            key.label("key"),
            *none,
            cast(literal(0), _CREDITS).label("cost"),
            *(_sum(kind).label(name) for kind, name in zip(_KINDS, _MONEY, strict=True)),
        )
        .select_from(table)
        .where(_ledger.kind.in_(_KINDS[:2] if wanted.is_of_chats else _KINDS))
        .where(*within(_ledger.at, wanted.period), *_whose(wanted, _ledger.user_id))
        .where(*_after(key, after))
        .group_by(key)
    )


def _sum(kind: str) -> ColumnElement[Any]:
    """What entries of a kind come to; a charge is told as what was paid, so it is above zero."""
    amount = -_ledger.amount if kind == "charge" else _ledger.amount
    return cast(func.sum(case((_ledger.kind == kind, amount), else_=0)), _CREDITS)


def _key(by: GroupBy, user_id: ColumnElement[Any], at: ColumnElement[Any]) -> ColumnElement[Any]:
    if by == "day":
        return func.to_char(func.timezone("UTC", at), "YYYY-MM-DD")
    return user_id if by == "user" else _records.advisor_id


def _whose(wanted: UsageFilter, user_id: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    named = ((user_id, wanted.user_id), (_records.advisor_id, wanted.advisor_id))
    return [column == name for column, name in named if name is not None]


def _after(key: ColumnElement[Any], after: str | None) -> list[ColumnElement[bool]]:
    return [] if after is None else [key.collate("C") > after]
