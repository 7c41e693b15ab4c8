"""What becomes of a question that PostgreSQL does not answer."""

import asyncio

import pytest
from sqlalchemy import text

from daemon.gateway.errors import ProblemError
from daemon.gateway.postgres_reader import PostgresReader
from persistence.postgres.engine import make_engine

pytestmark = pytest.mark.postgres


def test_a_question_that_takes_too_long_is_no_failure_of_the_server(server_url: str) -> None:
    """Whoever asked is told to ask for less."""
    engine = make_engine(server_url, pool_size=1, statement_timeout_ms=50)
    reader = PostgresReader(engine, 1)
    try:
        with pytest.raises(ProblemError) as raised:
            asyncio.run(reader.ask(lambda c: c.scalar(text("SELECT pg_sleep(30)"))))
    finally:
        reader.close()
    assert (raised.value.status, raised.value.code) == (503, "too_slow")
    assert "ask for less" in raised.value.detail
