"""Arrays as PostgreSQL reads them: what is written as one text is the same as one by one."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from persistence.postgres.bulk_insert import array_literal
from tests.postgres.strategies import shared, texts

integers = st.integers(-(2**63), 2**63 - 1)
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=6)
columns = (
    st.tuples(st.just("text"), st.lists(st.none() | texts, max_size=20))
    | st.tuples(st.just("bigint"), st.lists(st.none() | integers, max_size=20))
    | st.tuples(st.just("boolean"), st.lists(st.none() | st.booleans(), max_size=20))
    | st.tuples(st.just("numeric"), st.lists(st.none() | integers | decimals, max_size=20))
)


@shared
@given(columns)
def test_the_server_reads_the_elements_that_were_written(
    connection: Connection, column: tuple[str, Sequence[Any]]
) -> None:
    """Quotes, backslashes, braces and the word NULL included; so does the way one by one."""
    kind, values = column
    sql = f"SELECT e FROM unnest(%s::{kind}[]) WITH ORDINALITY AS u (e, n) ORDER BY n"
    found = list(connection.exec_driver_sql(sql, (array_literal(values),)).scalars())
    assert found == list(values)
    assert found == list(connection.exec_driver_sql(sql, (list(values),)).scalars())


@pytest.mark.parametrize("value", [1.0, b"x", float("nan"), object()])
def test_what_is_not_exact_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="can't be written"):
        array_literal([1, value])


def test_decimals_are_written_without_an_exponent() -> None:
    assert array_literal([Decimal("1E+3"), Decimal("1E-6")]) == "{1000,0.000001}"
