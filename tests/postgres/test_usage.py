"""The usage of a period is the sum of its records and ledger entries, however it is grouped."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from persistence.postgres.pages import Period
from persistence.postgres.rows import LedgerRow, RecordRow
from persistence.postgres.usage import GroupBy, UsageFilter, UsageRow, usage_page
from persistence.postgres.writer import write_batch
from tests.postgres.strategies import shared

DAY_MS = 86_400_000
MIDNIGHT_MS = 1_790_035_200_000
"""Midnight of a day in UTC; around it lie the moments of all rows."""
MOMENTS = st.integers(-2, 2).map(lambda ms: MIDNIGHT_MS + ms)
BY = get_args(GroupBy)
OF_CHATS = ("charge", "refund")
KINDS = ("charge", "refund", "adjustment", "top_up")


@st.composite
def ended_chats(draw: st.DrawFn) -> list[RecordRow]:
    """Chats that ended around midnight, some of which began in the hour before; some run still."""
    rows = []
    for number in range(draw(st.integers(0, 6))):
        active_ms, cost = draw(st.integers(0, 3_600_000)), draw(st.integers(2, 9_000_000))
        ended_ms = draw(MOMENTS)
        is_open = draw(st.booleans())
        row = RecordRow(
            f"c{number}", draw(st.sampled_from("uv")), draw(st.sampled_from("ab")), "ended",
            ended_ms - active_ms, ended_ms, "ended", None, active_ms, 0, active_ms, 1, cost,
            draw(st.integers(0, cost)), cost // 2, 0, 0, 1, 0, "live", 1, ended_ms,
        )  # fmt: skip
        if is_open:
            row = row._replace(status="running", ended_at_ms=None, end_reason=None)
        rows.append(row)
    return rows


@st.composite
def entries(draw: st.DrawFn, chats: list[RecordRow]) -> list[LedgerRow]:
    """Movements of credits around midnight: of these chats, and of accounts alone."""
    found = []
    for number in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(KINDS if not chats else (*KINDS, *OF_CHATS)))
        amount = draw(st.integers(1, 9_000_000))
        chat = draw(st.sampled_from(chats)) if kind in OF_CHATS and chats else None
        user = chat.user_id if chat else draw(st.sampled_from("uv"))
        is_taken = kind == "charge" or (kind == "adjustment" and draw(st.booleans()))
        found.append(
            LedgerRow(
                f"e{number}", user, chat.chat_id if chat else None, kind,
                -amount if is_taken else amount, draw(MOMENTS), None,
            )
        )  # fmt: skip
    return found


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[RecordRow], list[LedgerRow]]:
    chats = draw(ended_chats())
    return chats, draw(entries(chats))


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d")


def _expected(
    chats: list[RecordRow], ledger: list[LedgerRow], wanted: UsageFilter
) -> list[UsageRow]:
    """The usage, summed up row by row."""
    advisors = {chat.chat_id: chat.advisor_id for chat in chats}
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * 8)

    def add(user: str, advisor: str | None, at_ms: int, figures: Iterable[int]) -> None:
        is_theirs = wanted.user_id in (None, user) and wanted.advisor_id in (None, advisor)
        begin, end = wanted.period
        assert begin is not None
        assert end is not None
        if is_theirs and begin <= at_ms < end:
            key = {"user": user, "advisor": advisor, "day": _day(at_ms)}[wanted.by]
            assert key is not None
            sums[key] = [one + more for one, more in zip(sums[key], figures, strict=True)]

    for chat in chats:
        if chat.ended_at_ms is not None:
            own = (1, chat.active_ms, chat.billed_ms, chat.cost_micro, 0, 0, 0, 0)
            add(chat.user_id, chat.advisor_id, chat.ended_at_ms, own)
    for entry in ledger:
        if wanted.is_of_chats and entry.chat_id is None:
            continue
        amount = -entry.amount_micro if entry.kind == "charge" else entry.amount_micro
        moved = [amount if kind == entry.kind else 0 for kind in KINDS]
        add(entry.user_id, advisors.get(entry.chat_id or ""), entry.at_ms, [0, 0, 0, 0, *moved])
    return [UsageRow(key, *sums[key]) for key in sorted(sums)]


def _paged(page: Callable[[str | None], list[UsageRow]]) -> list[UsageRow]:
    listed: list[UsageRow] = []
    while rows := page(listed[-1].key if listed else None):
        listed += rows
    return listed


@shared
@given(
    story=stories(),
    by=st.sampled_from(BY),
    whose=st.tuples(st.sampled_from([None, None, "u"]), st.sampled_from([None, None, "a"])),
    bounds=st.just([MIDNIGHT_MS - 2, MIDNIGHT_MS + 3]) | st.tuples(MOMENTS, MOMENTS).map(sorted),
)
def test_usage_is_the_sum_of_its_rows(
    connection: Connection,
    story: tuple[list[RecordRow], list[LedgerRow]],
    by: GroupBy,
    whose: tuple[str | None, str | None],
    bounds: list[int],
) -> None:
    """Of the period, of whom it is about, by days of UTC wherever the server is; paged too."""
    chats, ledger = story
    write_batch(connection, chats, ledger, [])
    connection.execute(text("SET LOCAL timezone = 'Asia/Tokyo'"))
    wanted = UsageFilter(by, Period(*bounds), *whose)
    whole = usage_page(connection, wanted, 100)
    paged = _paged(lambda after: usage_page(connection, wanted, 1, after))
    connection.rollback()
    assert whole == _expected(chats, ledger, wanted)
    assert paged == whole


def test_top_ups_and_adjustments_are_about_no_chat() -> None:
    """So whatever is asked about an advisor leaves them out."""
    always = Period(0, DAY_MS)
    assert UsageFilter("advisor", always).is_of_chats
    assert UsageFilter("user", always, advisor_id="a").is_of_chats
    assert not UsageFilter("user", always, user_id="u").is_of_chats
