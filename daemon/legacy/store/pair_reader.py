"""One pair of the old tables, whatever driver asks: times and amounts exactly."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, NamedTuple

from daemon.legacy.rules.rows import OldChat, OldRecord, Pair
from daemon.legacy.store import queries
from daemon.legacy.store.decimals import EXACT, MICRO_DIGITS
from daemon.legacy.store.layout import Layout, Rows
from daemon.legacy.store.shape import LegacyShape

PairKey = tuple[str, str]
"""A user and an advisor."""

_MS_DIGITS: Final = 3
_ZERO: Final = Decimal(0)


class RoundingRemainder(NamedTuple):
    """What of a record's totals is less than a millisecond or micro-credit: exact − rounded."""

    key: str
    ms: Decimal
    micro: Decimal


class OldPair(NamedTuple):
    """A pair with what rounding left over."""

    pair: Pair
    remainders: Sequence[RoundingRemainder]
    """Of those records that have any."""


def read_old_pair(rows: Rows, layout: Layout, key: PairKey) -> OldPair:
    """Give one pair; without rows if the old tables know nothing of it."""
    of_records = queries.of_pair_sql(layout, "r", "records", key)
    of_chats = queries.of_pair_sql(layout, "c", "chats", key)
    records = rows(queries.records_sql(layout, of_records, alone=True), parameters(key))
    chats = rows(queries.chats_sql(layout, of_chats), parameters(key))
    return old_pair(layout.shape, key, records, chats)


def pair_of_chat(rows: Rows, layout: Layout, chat_id: str) -> Pair | None:
    """Give the pair whose chat this is, by the old chats, else by a record that names it."""
    found = rows(queries.owner_of_chat_sql(layout), {"chat_id": chat_id})
    if not found:
        return None
    return read_old_pair(rows, layout, (found[0][1], found[0][2])).pair


def whole(value: Decimal | None, digits: int) -> tuple[int | None, Decimal]:
    """Give a number times 10 to the ``digits`` as a whole one, and exact − whole.

    Nothing counted yet (NULL) is 0; what is no number is None.
    """
    if value is None:
        return 0, _ZERO
    if not value.is_finite() or value.adjusted() >= queries.DIGITS_MAX:
        return None, _ZERO
    exact = value.scaleb(digits, EXACT)
    rounded = exact.to_integral_value(ROUND_HALF_EVEN, EXACT)
    return int(rounded), EXACT.subtract(exact, rounded)


def old_pair(
    shape: LegacyShape, key: PairKey, records: Iterable[Any], chats: Iterable[Any]
) -> OldPair:
    """Give a pair out of its rows."""
    read: dict[str, OldRecord] = {}
    remainders: list[RoundingRemainder] = []
    for row in records:
        name = _apart(row[0], read)
        read[name], remainder = _record(shape, name, row)
        if remainder.ms or remainder.micro:
            remainders.append(remainder)
    return OldPair(Pair(*key, [*read.values()], [_chat(row) for row in chats]), remainders)


def _apart(key: str, known: Mapping[str, OldRecord]) -> str:
    """A name for a row; where the database lets two have one id, the second gets another."""
    name, number = key, 1
    while name in known:
        number += 1
        name = f"{key}#{number}"
    return name


def _record(shape: LegacyShape, name: str, row: Any) -> tuple[OldRecord, RoundingRemainder]:
    total_ms, ms = whole(row[8], _MS_DIGITS)
    cost_micro, micro = whole(row[9], MICRO_DIGITS)
    word: str = row[4]
    record = OldRecord(
        key=name,
        user_id=row[1],
        advisor_id=row[2],
        chat_id=row[3],
        status=shape.status_of(word) if shape.names.has("records_status") else word,
        started_at=row[5],
        ended_at=row[6],
        last_resumed_at=row[7],
        total_ms=total_ms,
        cost_micro=cost_micro,
        updated_at=row[10],
        points_elsewhere=row[11],
        word=word,
        free_ms=whole(row[12], _MS_DIGITS)[0],
        rate_micro=_rate(row[13]),
    )
    return record, RoundingRemainder(name, ms, micro)


def _rate(value: Decimal | None) -> int | None:
    if value is None:
        return None
    micro = whole(value, MICRO_DIGITS)[0]
    return -1 if micro is None else micro


def _chat(row: Any) -> OldChat:
    return OldChat._make((*row[:5], whole(row[5], _MS_DIGITS)[0]))


def parameters(key: PairKey) -> dict[str, str]:
    """Give the names that the statements know a pair by."""
    return {"user_id": key[0], "advisor_id": key[1]}
