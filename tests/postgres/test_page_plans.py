"""Every list is read off an index in order, however many rows the table has."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text

from persistence.postgres import pages
from persistence.postgres.advisors import advisor_totals_query
from persistence.postgres.engine import make_engine
from persistence.postgres.operations import OperationFilter, operations_page_query
from persistence.postgres.pages import ChatFilter, PagePosition, Period, Query
from persistence.postgres.search import STAGES
from persistence.postgres.sorted_pages import SortBy, Sorting, sorted_page_query
from persistence.postgres.usage import UsageFilter, usage_query
from tests.databases import fresh

ROWS = 200_000
"""Chats, a hundredth of them open, of 2 000 users and 200 advisors; one of each has a tenth."""
RECORDS = f"""
INSERT INTO chat_time_records
SELECT 'chat-' || n, CASE WHEN n % 10 = 0 THEN 'heavy' ELSE 'user-' || n % 2000 END,
    CASE WHEN n % 10 = 1 THEN 'heavy' ELSE 'advisor-' || n % 200 END,
    CASE WHEN n % 100 > 0 THEN 'ended' WHEN n % 300 = 0 THEN 'paused' ELSE 'running' END,
    to_timestamp(1790000000 + n), CASE WHEN n % 100 > 0 THEN to_timestamp(1790000060 + n) END,
    CASE WHEN n % 100 > 0 THEN 'ended' END, NULL, 60000, 0, 60000, 1.5, 1.5, 0, 0, 0, 0, 1, 0,
    'live', 1, to_timestamp(1790000060 + n)
FROM generate_series(1, {ROWS}) AS n
"""
LEDGER = f"""
INSERT INTO ledger_entries
SELECT 'entry-' || n, CASE WHEN n % 10 = 0 THEN 'heavy' ELSE 'user-' || n % 2000 END,
    NULL, 'top_up', 1, to_timestamp(1790000000 + n), NULL
FROM generate_series(1, {ROWS}) AS n
"""
OPERATIONS = f"""
INSERT INTO operations
SELECT 'operation-' || n, to_timestamp(1790000000 + n), 'eve', 'chat.end', 'chat-' || n,
    jsonb_build_object('id', 'id-' || n, 'user_id', 'user-' || n % 2000, 'command', '{{}}'::jsonb)
FROM generate_series(1, {ROWS // 10}) AS n
"""
JOURNAL = f"""
INSERT INTO command_journal
SELECT 1790000000000 + n || '-0', 1790000000000 + n, 0, 'user-' || n % 2000, 'chat-' || n,
    jsonb_build_object('id', 'id-' || n, 'type', 'end'), 'ok', false, 'p'
FROM generate_series(1, {ROWS}) AS n
"""
LIMIT = 50
MIDDLE = PagePosition((1_790_000_000 + ROWS // 2) * 1_000, "chat-x")
USER = "ix_chat_time_records_user_id_started_at_chat_id"
ADVISOR = "ix_chat_time_records_advisor_id_started_at_chat_id"
OPEN = "ix_chat_time_records_open"
ENDED = "ix_chat_time_records_ended"
LEDGER_OF_USER = "ix_ledger_entries_user_id_at_entry_id"
CHAT = "pk_chat_time_records"
JOURNAL_OF_USER = "ix_command_journal_user_id_at_ms_at_seq"
OF_PARTITION = re.compile(r"command_journal_\w+_user_id_at_ms_at_seq_idx\d*")
EMPTY = re.compile(r"command_journal_\d{4}_\d\d")
FILTERS = [
    (ChatFilter("user-7"), {USER}),
    (ChatFilter("heavy"), {USER}),
    (ChatFilter("user-7", statuses=pages.OPEN), {USER}),
    (ChatFilter("heavy", statuses=("ended",)), {USER}),
    (ChatFilter("heavy", "advisor-7"), {USER, ADVISOR}),
    (ChatFilter(advisor_id="advisor-7"), {ADVISOR}),
    (ChatFilter(advisor_id="heavy", statuses=pages.OPEN), {ADVISOR}),
    (ChatFilter(statuses=("running",)), {OPEN}),
    (ChatFilter(statuses=pages.OPEN), {OPEN}),
    (ChatFilter(statuses=pages.OPEN, search="no such"), {OPEN}),
    (ChatFilter(statuses=("ended",)), {ENDED}),
    (ChatFilter(), {OPEN, ENDED}),
]
PAGES = [
    *((pages.chats_page_query(f, LIMIT, at), by) for f, by in FILTERS for at in (None, MIDDLE)),
    *((pages.ledger_page_query("heavy", LIMIT, at), {LEDGER_OF_USER}) for at in (None, MIDDLE)),
]
ACTS = {"ix_operations_at", JOURNAL_OF_USER}
SORTS: list[SortBy] = ["cost", "active_ms", "rate"]
RUNNING = ChatFilter(statuses=("running",))
DAY = Period(1_790_086_400_000, 1_790_096_400_000)
BY_TIME = {"ix_chat_time_records_ended_at", "ix_ledger_entries_at"}
SUMS = [
    (usage_query(UsageFilter("user", DAY), LIMIT), BY_TIME),
    (
        usage_query(UsageFilter("day", DAY, user_id="user-7"), LIMIT),
        {USER, LEDGER_OF_USER, *BY_TIME},
    ),
    (pages.balance_of_user_query("user-7"), {LEDGER_OF_USER}),
    (pages.open_counts_query(), {OPEN}),
    (advisor_totals_query("advisor-7"), {ADVISOR}),
    *((operations_page_query(OperationFilter(), LIMIT, at), ACTS) for at in (None, MIDDLE)),
    *((sorted_page_query(RUNNING, Sorting(by, 1), LIMIT), {OPEN}) for by in SORTS),
]
SEARCHES = [
    (query, by)
    for stage, by in zip(STAGES, ({CHAT}, {USER, ADVISOR}, {OPEN}, {ENDED}), strict=True)
    for place in (None, MIDDLE)
    for query in (stage(ChatFilter(search="user-7"), LIMIT, place),)
]
Node = dict[str, Any]


@pytest.fixture(scope="module")
def many(server_url: str, template: str) -> Iterator[Connection]:
    """A database with so many rows that nobody would read all of them for a page."""
    for url in fresh(server_url, template):
        engine = make_engine(url)
        with engine.connect() as connection:
            for sql in (RECORDS, LEDGER, OPERATIONS, JOURNAL, "ANALYZE"):
                connection.execute(text(sql))
            connection.commit()
            yield connection
        engine.dispose()


@pytest.fixture
def connection(many: Connection) -> Iterator[Connection]:
    yield many
    many.rollback()  # and whatever was set


def _plan(connection: Connection, query: Query) -> list[Node]:
    """The nodes of the plan, the root first."""
    compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
    sql = f"EXPLAIN (FORMAT JSON) {compiled}".replace(":", "\\:")
    nodes = [connection.execute(text(sql)).scalar_one()[0]["Plan"]]
    for node in nodes:  # grows as it goes
        nodes += node.get("Plans", ())
    return nodes


def _kinds(nodes: list[Node]) -> set[str]:
    """The kinds of nodes; how a month without a row is read does not matter."""
    return {node["Node Type"] for node in nodes if not EMPTY.match(node.get("Relation Name", ""))}


def _indexes(nodes: list[Node]) -> set[str]:
    """The indexes; those of the journal's partitions by the name that the journal's has."""
    names = {node["Index Name"] for node in nodes if "Index Name" in node}
    return {JOURNAL_OF_USER if OF_PARTITION.fullmatch(name) else name for name in names}


@pytest.mark.parametrize(("query", "by"), PAGES + SUMS + SEARCHES)
def test_no_list_reads_a_whole_table(connection: Connection, query: Query, by: set[str]) -> None:
    """As the planner likes it: it may sort the few rows of one user that an index gives it."""
    nodes = _plan(connection, query)
    assert "Seq Scan" not in _kinds(nodes), nodes
    assert _indexes(nodes), nodes
    assert _indexes(nodes) <= by, nodes


@pytest.mark.parametrize(("query", "by"), PAGES)
def test_an_index_has_each_page_in_order(
    connection: Connection, query: Query, by: set[str]
) -> None:
    """However many rows are one user's: none need be sorted, if sorting costs too much."""
    for what in ("sort", "incremental_sort", "bitmapscan", "seqscan"):
        connection.execute(text(f"SET LOCAL enable_{what} = off"))
    nodes = _plan(connection, query)
    assert not _kinds(nodes) & {"Sort", "Incremental Sort", "Bitmap Heap Scan", "Seq Scan"}, nodes
    assert _indexes(nodes) <= by, nodes
