"""Lists page by page: together the pages are the whole, whatever the limit and the filter."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from persistence.postgres import pages
from persistence.postgres.convert import MOMENT_MS_MAX
from persistence.postgres.pages import ChatFilter, PagePosition
from persistence.postgres.rows import LedgerRow, RecordRow
from persistence.postgres.writer import write_batch
from tests.postgres.strategies import ENTRY, RECORD, ledger_rows, records, shared

# A few starts and owners for many chats, so that they meet.
FEW_MS = st.sampled_from([0, 1_790_000_000_000, 1_790_000_000_001])
OWNERS = ["u", "v", "%", "a_b", "a\\b"]
SEARCHES = ["u", "c1", "_", "%", "\\", "b", "a_b", "no such"]
STATUSES = [*pages.OPEN, pages.ENDED]


@st.composite
def chats(draw: st.DrawFn) -> list[RecordRow]:
    """Chats with different names of which many started at once and belong to the same."""
    return [
        _started(row, draw(FEW_MS))._replace(
            chat_id=f"c{number}",
            user_id=draw(st.sampled_from(OWNERS)),
            advisor_id=draw(st.sampled_from(OWNERS)),
        )
        for number, row in enumerate(draw(st.lists(records(), max_size=14)))
    ]


def _started(row: RecordRow, at_ms: int) -> RecordRow:
    if row.ended_at_ms is None:
        return row._replace(started_at_ms=at_ms)
    return row._replace(started_at_ms=at_ms, ended_at_ms=at_ms + row.active_ms + row.paused_ms)


@st.composite
def filters(draw: st.DrawFn) -> ChatFilter:
    search = draw(st.just("") | st.sampled_from(SEARCHES))
    possible = st.sampled_from(pages.OPEN if search else STATUSES)
    return ChatFilter(
        draw(st.none() | st.sampled_from(OWNERS)),
        draw(st.none() | st.sampled_from(OWNERS)),
        tuple(draw(st.lists(possible, min_size=bool(search), max_size=4))),
        search,
    )


def _is_wanted(row: RecordRow, wanted: ChatFilter) -> bool:
    return (
        wanted.user_id in (None, row.user_id)
        and wanted.advisor_id in (None, row.advisor_id)
        and row.status in (wanted.statuses or STATUSES)
        and any(wanted.search in name for name in (row.chat_id, row.user_id, row.advisor_id))
    )


def _chat_place(row: RecordRow) -> PagePosition:
    return PagePosition(row.started_at_ms, row.chat_id)


def _entry_place(row: LedgerRow) -> PagePosition:
    return PagePosition(row.at_ms, row.entry_id)


def _all_pages(
    page: Callable[[PagePosition | None], list[Any]],
    place: Callable[[Any], PagePosition],
    limit: int,
) -> Iterator[Any]:
    """Every row, by asking for the page after the last one until a page is not full."""
    after = None
    while rows := page(after):
        assert len(rows) <= limit
        yield from rows
        after = place(rows[-1])


def _assert_newest_first(places: list[PagePosition]) -> None:
    """By time, then by name in the order of the database, which is its own affair, backwards."""
    assert all(one.at_ms >= two.at_ms for one, two in pairwise(places))
    assert len(set(places)) == len(places)


@shared
@given(rows=chats(), wanted=filters(), limit=st.integers(1, 5))
def test_pages_of_chats_are_together_what_was_wanted(
    connection: Connection, rows: list[RecordRow], wanted: ChatFilter, limit: int
) -> None:
    """Each chat that matches once, none that does not, the latest start first, none cut in two."""
    write_batch(connection, rows, [], [])
    found = list(
        _all_pages(lambda at: pages.chats_page(connection, wanted, limit, at), _chat_place, limit)
    )
    whole = pages.chats_page(connection, wanted, 100)
    connection.rollback()
    assert found == whole
    assert sorted(found) == sorted(row for row in rows if _is_wanted(row, wanted))
    _assert_newest_first([_chat_place(row) for row in found])


@shared
@given(
    rows=st.lists(ledger_rows(), unique_by=lambda row: row.entry_id, max_size=12),
    moments=st.lists(FEW_MS, min_size=12, max_size=12),
    limit=st.integers(1, 5),
)
def test_pages_of_a_ledger_are_together_the_users_entries(
    connection: Connection, rows: list[LedgerRow], moments: list[int], limit: int
) -> None:
    """Each of the user's entries once, nobody else's, the newest first; the sum is the balance."""
    entries = [
        row._replace(user_id="uv"[number % 3 == 0], at_ms=moments[number])
        for number, row in enumerate(rows)
    ]
    write_batch(connection, [], entries, [])
    found = list(
        _all_pages(lambda at: pages.ledger_page(connection, "u", limit, at), _entry_place, limit)
    )
    whole = pages.ledger_page(connection, "u", 100)
    balance = pages.balance_of_user(connection, "u")
    connection.rollback()
    mine = [row for row in entries if row.user_id == "u"]
    assert found == whole
    assert sorted(map(str, found)) == sorted(map(str, mine))
    _assert_newest_first([_entry_place(row) for row in found])
    assert balance == (sum(row.amount_micro for row in mine) if mine else None)


@shared
@given(rows=chats(), user=st.sampled_from(OWNERS))
def test_open_chats_are_those_without_an_end(
    connection: Connection, rows: list[RecordRow], user: str
) -> None:
    """A user's and the counts of everybody's."""
    write_batch(connection, rows, [], [])
    mine = pages.open_of_user(connection, user, 100)
    counts = pages.open_counts(connection)
    connection.rollback()
    still_open = [row for row in rows if row.ended_at_ms is None]
    assert sorted(mine) == sorted(row for row in still_open if row.user_id == user)
    statuses = [row.status for row in still_open]
    assert counts == {status: statuses.count(status) for status in set(statuses)}


def test_a_page_keeps_its_place_while_chats_start(connection: Connection) -> None:
    """What came at the front meanwhile neither moves nor repeats what comes after a page."""
    rows = [_started(RECORD, 10 * number)._replace(chat_id=f"c{number}") for number in range(4)]
    write_batch(connection, rows, [], [])
    first = pages.chats_page(connection, ChatFilter("u"), 2)
    newest = _started(RECORD, 1_000)._replace(chat_id="newest")
    write_batch(connection, [newest], [], [])
    second = pages.chats_page(connection, ChatFilter("u"), 2, _chat_place(first[-1]))
    assert first + second == rows[::-1]


@pytest.mark.parametrize("statuses", [(), ("ended",), ("running", "ended")])
def test_ended_chats_are_not_searched(statuses: tuple[str, ...]) -> None:
    """They are all that ever were: no index finds a part of a name in them."""
    with pytest.raises(ValueError, match="only open chats"):
        pages.chats_page_query(ChatFilter(statuses=statuses, search="c"), 10)


@pytest.mark.parametrize(
    ("wanted", "after"),
    [
        (ChatFilter("\x00"), None),
        (ChatFilter(advisor_id="\ud800"), None),
        (ChatFilter(statuses=("running",), search="\x00"), None),
        (ChatFilter("u"), PagePosition(0, "\x00")),
        (ChatFilter("u"), PagePosition(-1, "c")),
        (ChatFilter("u"), PagePosition(MOMENT_MS_MAX + 1, "c")),
    ],
)
def test_what_the_database_cannot_hold_is_refused_before_it_is_asked(
    wanted: ChatFilter, after: PagePosition | None
) -> None:
    """So that whoever asked is told, and a connection is not spoilt."""
    with pytest.raises(ValueError, match=r"NUL|surrogate|years"):
        pages.chats_page_query(wanted, 10, after)


def test_the_same_of_a_ledger_is_refused(connection: Connection) -> None:
    write_batch(connection, [], [ENTRY], [])
    for user, after in (
        ("\x00", None),
        ("u", PagePosition(-1, "e")),
        ("u", PagePosition(0, "\x00")),
    ):
        with pytest.raises(ValueError, match=r"NUL|years"):
            pages.ledger_page(connection, user, 10, after)
    with pytest.raises(ValueError, match="NUL"):
        pages.balance_of_user(connection, "\x00")
    assert pages.ledger_page(connection, "u", 10) == [ENTRY]
