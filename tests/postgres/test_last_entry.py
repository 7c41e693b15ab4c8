"""The last entry of a partition's journal is found, and found without reading what others have."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from persistence.postgres.engine import make_engine
from persistence.postgres.partitions import ensure_partitions
from persistence.postgres.recorder_state import NOTHING, fetch_position, last_entry_queries
from persistence.postgres.rows import JournalRow
from persistence.postgres.writer import write_batch
from tests.databases import fresh
from tests.postgres.strategies import COMMAND, shared

ROWS = 200_000
BUSY, IDLE, NEW = 0, 1, 2
"""Partitions: of most rows, of the oldest ones, and without any."""
IDLE_ROWS = ROWS // 10
READ_MAX = 50
MONTH_MS = 31 * 86_400_000
FIRST_MS = 1_790_000_000_000
MANY = f"""
INSERT INTO command_journal
SELECT at_ms || '-0', at_ms, 0, 'user', NULL, '{{}}', 'ok', false, 'p', now(),
    CASE WHEN n <= {IDLE_ROWS} THEN {IDLE} ELSE {BUSY} END
FROM (SELECT n, {FIRST_MS} + n * {4 * MONTH_MS // ROWS}::bigint AS at_ms
    FROM generate_series(1, {ROWS}) AS n)
"""


@pytest.fixture(scope="module")
def many(server_url: str, template: str) -> Iterator[Connection]:
    """Four months of a busy partition, before which one that is idle since had some."""
    for url in fresh(server_url, template):
        engine = make_engine(url)
        with engine.connect() as connection:
            ensure_partitions(connection, FIRST_MS)
            connection.execute(text(MANY))
            connection.execute(text("ANALYZE command_journal"))
            connection.commit()
            yield connection
        engine.dispose()


def _rows_read(connection: Connection, partition: int) -> int:
    """How many rows of any table or index the statements look at."""
    read = 0
    for query in last_entry_queries(partition):
        compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
        sql = f"EXPLAIN (ANALYZE, FORMAT JSON) {compiled}".replace(":", "\\:")
        nodes: list[dict[str, Any]] = [connection.execute(text(sql)).scalar_one()[0]["Plan"]]
        for node in nodes:  # grows as it goes
            nodes += node.get("Plans", ())
            filtered = node.get("Rows Removed by Filter", 0)
            read += math.ceil((node["Actual Rows"] + filtered) * node["Actual Loops"])
    return read


@pytest.mark.parametrize("partition", [BUSY, IDLE, NEW])
def test_an_idle_partition_costs_no_more_than_a_busy_one(many: Connection, partition: int) -> None:
    """A handful of rows is read, of a journal of 200 000 rows in several months."""
    assert _rows_read(many, partition) <= READ_MAX


def test_what_the_busy_partition_has_is_not_the_idle_ones(many: Connection) -> None:
    """Each has its own last entry; who has no row has none."""
    step_ms = 4 * MONTH_MS // ROWS
    last = [fetch_position(many, partition).journal for partition in (BUSY, IDLE, NEW)]
    busy, idle = (f"{FIRST_MS + rows * step_ms}-0" for rows in (ROWS, IDLE_ROWS))
    assert last == [busy, idle, NOTHING]


MS = st.one_of(
    st.integers(0, 30),
    st.integers(10**12 - 2, 10**12 + 2),
    st.integers(10**13 - 2, 10**13 + 2),
    st.integers(0, 2**62),
)
"""Around where the number of digits changes, too."""
SEQ = st.one_of(st.integers(0, 12), st.integers(0, 2**64 - 1))
ENTRIES = st.sets(st.tuples(st.integers(0, 1), MS, SEQ), max_size=12)


@shared
@given(ENTRIES, st.just(COMMAND))
def test_the_last_entry_is_the_last_whatever_its_digits(
    connection: Connection, entries: set[tuple[int, int, int]], row: JournalRow
) -> None:
    """10-0 comes after 9-0, and 10-10 after 10-9, in each partition by itself."""
    connection.rollback()
    for partition, at_ms, seq in entries:
        one = row._replace(stream_id=f"{at_ms}-{seq}")
        write_batch(connection, [], [], [one], partition=partition)
    for partition in (0, 1):
        mine = [(at_ms, seq) for number, at_ms, seq in entries if number == partition]
        expected = "{}-{}".format(*max(mine)) if mine else NOTHING
        assert fetch_position(connection, partition).journal == expected
