"""Searches of any chat, and lists in other orders: whole, once each, in order, page by page."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from actors.chat.rows import chat_of_record
from meterd.rules import billing
from persistence.postgres import pages, search
from persistence.postgres.pages import ChatFilter
from persistence.postgres.rows import RecordRow
from persistence.postgres.search import SearchPage, SearchPosition, search_page
from persistence.postgres.sorted_pages import (
    SortBy,
    SortedPosition,
    SortedRow,
    Sorting,
    sorted_page,
)
from persistence.postgres.writer import write_batch
from tests.postgres.strategies import RECORD, records, shared
from tests.postgres.test_pages import OWNERS, STATUSES, chats

NAMES = ["c1", "c11", "u", "v", "1", "c", "_", "%", "a\\b", "no such"]
SOME_STATUSES = st.lists(st.sampled_from(STATUSES), max_size=4).map(tuple)


def _all_found(
    connection: Connection, wanted: ChatFilter, limit: int
) -> Iterator[tuple[int, RecordRow]]:
    """Every row with its stage, page by page."""
    after: SearchPosition | None = None
    while True:
        page = search_page(connection, wanted, limit, after)
        assert len(page.rows) <= limit
        yield from ((_stage(row, wanted.search), row) for row in page.rows)
        if page.next is None:
            return
        assert page.next != after
        after = page.next


def _stage(row: RecordRow, name: str) -> int:
    if row.chat_id == name:
        return 0
    if name in (row.user_id, row.advisor_id):
        return 1
    return 2 if row.ended_at_ms is None else 3


def _is_wanted(row: RecordRow, wanted: ChatFilter) -> bool:
    return (
        wanted.user_id in (None, row.user_id)
        and wanted.advisor_id in (None, row.advisor_id)
        and row.status in (wanted.statuses or STATUSES)
        and any(wanted.search in name for name in (row.chat_id, row.user_id, row.advisor_id))
    )


@pytest.fixture(params=[1, 3, search.LOOKED_AT_MAX])
def look(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many ended chats a page looks at."""
    monkeypatch.setattr(search, "LOOKED_AT_MAX", request.param)


@shared
@given(
    rows=chats(),
    name=st.sampled_from(NAMES),
    statuses=SOME_STATUSES,
    user=st.none() | st.sampled_from(OWNERS),
    limit=st.integers(1, 5),
)
@pytest.mark.usefixtures("look")
def test_a_search_finds_each_chat_once_exact_names_first(
    connection: Connection,
    rows: list[RecordRow],
    name: str,
    statuses: tuple[str, ...],
    user: str | None,
    limit: int,
) -> None:
    """Then open ones, then ended ones, the latest start first, however few a page looks at."""
    write_batch(connection, rows, [], [])
    wanted = ChatFilter(user, statuses=statuses, search=name)
    listed = list(_all_found(connection, wanted, limit))
    connection.rollback()
    assert sorted(row for _, row in listed) == sorted(
        row for row in rows if _is_wanted(row, wanted)
    )
    places = [(stage, -row.started_at_ms) for stage, row in listed]
    assert places == sorted(places)


def test_a_page_looks_at_so_many_ended_chats_and_no_more(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be empty, and says where to go on."""
    monkeypatch.setattr(search, "LOOKED_AT_MAX", 2)
    rows = [
        RECORD._replace(
            chat_id=f"c{n}",
            started_at_ms=RECORD.started_at_ms + n,
            ended_at_ms=RECORD.started_at_ms + n + RECORD.active_ms + RECORD.paused_ms,
        )
        for n in range(5)
    ]
    write_batch(connection, rows, [], [])
    found: list[SearchPage] = []
    after: SearchPosition | None = None
    for _ in range(3):
        found.append(search_page(connection, ChatFilter(search="0"), 10, after))
        after = found[-1].next
    connection.rollback()
    assert [[row.chat_id for row in page.rows] for page in found] == [[], [], ["c0"]]
    assert after is None


SORTS: list[SortBy] = ["cost", "active_ms", "rate"]


@shared
@given(
    rows=chats(),
    sorting=st.builds(
        Sorting, st.sampled_from(SORTS), st.integers(0, 2_000_000_000_000), st.booleans()
    ),
    statuses=SOME_STATUSES,
    name=st.sampled_from(["", "c1", "u"]),
    limit=st.integers(1, 5),
)
def test_pages_in_another_order_are_together_what_was_wanted(
    connection: Connection,
    rows: list[RecordRow],
    sorting: Sorting,
    statuses: tuple[str, ...],
    name: str,
    limit: int,
) -> None:
    write_batch(connection, rows, [], [])
    wanted = ChatFilter(statuses=statuses, search=name)
    listed: list[SortedRow] = []
    after: SortedPosition | None = None
    while page := sorted_page(connection, wanted, sorting, limit, after):
        listed += page
        after = SortedPosition(page[-1].value, page[-1].record.chat_id)
    connection.rollback()
    found = [row.record for row in listed]
    assert sorted(found) == sorted(row for row in rows if _is_wanted(row, wanted))
    values = [row.value for row in listed]
    assert values == sorted(values, reverse=not sorting.is_up)


@shared
@given(row=records(), later_ms=st.integers(-1_000, 10**9))
def test_a_running_chat_counts_as_it_is_at_that_moment(
    connection: Connection, row: RecordRow, later_ms: int
) -> None:
    """By the rules of billing; a record of later than that is as it is."""
    row = row._replace(chat_id="c", rate_micro=row.rate_micro % 10**12)
    if row.ended_at_ms is None:
        row = row._replace(status="running", increment_ms=row.increment_ms + 1)
    write_batch(connection, [row], [], [])
    now_ms = max(0, row.updated_at_ms + later_ms)
    values = {
        by: sorted_page(connection, ChatFilter(), Sorting(by, now_ms), 1)[0].value for by in SORTS
    }
    connection.rollback()
    chat, at = chat_of_record(row), max(now_ms, row.updated_at_ms)
    assert values["active_ms"] == billing.active_ms(chat, at)
    assert values["cost"] == billing.cost(chat, at)
    assert values["rate"] == row.rate_micro


def test_what_is_sorted_by_is_exact(connection: Connection) -> None:
    """Also beyond the numbers that a float holds."""
    least = 10**17 + 1
    rows = [
        RECORD._replace(chat_id=f"c{n}", cost_micro=least + n, refunded_micro=0) for n in range(3)
    ]
    write_batch(connection, rows, [], [])
    listed = sorted_page(connection, ChatFilter(), Sorting("cost", 0, is_up=True), 3)
    connection.rollback()
    assert [row.value for row in listed] == [least, least + 1, least + 2]
    assert Decimal(listed[0].value) == least


def test_open_chats_are_listed_the_oldest_first_too(connection: Connection) -> None:
    """By statuses of both indexes, and of a user."""
    rows = [
        RECORD._replace(
            chat_id=f"c{n}",
            status="ended" if n % 2 else "running",
            started_at_ms=RECORD.started_at_ms + n,
            ended_at_ms=RECORD.ended_at_ms and RECORD.ended_at_ms + n if n % 2 else None,
            end_reason="ended" if n % 2 else None,
        )
        for n in range(4)
    ]
    write_batch(connection, rows, [], [])
    for wanted in (ChatFilter(oldest_first=True), ChatFilter("u", oldest_first=True)):
        first = pages.chats_page(connection, wanted, 2)
        place = pages.PagePosition(first[-1].started_at_ms, first[-1].chat_id)
        rest = pages.chats_page(connection, wanted, 9, place)
        assert [row.chat_id for row in (*first, *rest)] == ["c0", "c1", "c2", "c3"]
    connection.rollback()
