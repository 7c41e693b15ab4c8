"""What is read of old rows, whatever they hold."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from daemon.legacy.diff import Databases
from daemon.legacy.rules.rows import Pair
from daemon.legacy.store.names import quoted
from daemon.legacy.store.reader import (
    old_balances,
    pair_of_chat,
    read_old_pair,
    read_old_pairs,
    read_only,
    read_pairs,
    whole,
)
from daemon.legacy.store.shape import LegacyShape
from daemon.settings.legacy import is_column, is_table
from tests.legacy.old_data import create_tables, create_ugly
from tests.legacy.system import sql

SHAPE = LegacyShape()


@given(st.decimals(allow_nan=False, allow_infinity=False), st.sampled_from([3, 6]))
def test_a_number_is_whole_ones_and_what_is_left_over(value: Decimal, digits: int) -> None:
    """Exactly; at most half of one is left over."""
    number, residue = whole(value, digits)
    if number is None:
        assert abs(value) >= Decimal("1e1000")
        return
    assert number + residue == value.scaleb(digits) or len(str(value)) > 20
    assert abs(residue) <= Decimal("0.5")


@pytest.mark.parametrize(
    ("text", "found"),
    [("0.0005", (0, "0.5")), ("0.0015", (2, "-0.5")), ("-0.0005", (0, "-0.5")),
     ("12", (12000, "0")), ("1e40", (10**43, "0")), ("0.00049999", (0, "0.49999"))],
)  # fmt: skip
def test_halves_go_to_the_even_one(text: str, found: tuple[int, str]) -> None:
    assert whole(Decimal(text), 3) == (found[0], Decimal(found[1]))


@pytest.mark.parametrize(
    ("text", "number"),
    [(None, 0), ("NaN", None), ("Infinity", None), ("-Infinity", None), ("1e4000", None)],
)
def test_nothing_is_zero_and_what_is_no_number_is_none(text: str | None, number: object) -> None:
    value = None if text is None else Decimal(text)
    assert whole(value, 3) == (number, Decimal(0))


@given(st.text(max_size=70))
def test_a_name_goes_into_a_statement_only_if_it_is_one(text: str) -> None:
    """Whatever is written in the settings, no quotation mark ends early."""
    if is_table(text):
        assert quoted(text).count('"') == 2 * (1 + text.count("."))
        assert ";" not in text
    assert not is_column(text) or is_table(text)


@pytest.fixture
def old(sides: Databases) -> Databases:
    with sides.old.begin() as connection:
        create_tables(connection)
    return sides


def _record(key: int, *values: str) -> str:
    return f"INSERT INTO conversation_time_records VALUES ({key}, {', '.join(values)})"


def _pairs(sides: Databases) -> list[Pair]:
    with read_only(sides.old) as connection:
        return list(read_pairs(connection, sides.shape))


@pytest.mark.postgres
def test_times_are_whole_milliseconds_and_impossible_ones_are_none(old: Databases) -> None:
    times = ("'2025-01-01 00:00:00.001999'", "'infinity'", "'0044-03-15 BC'")
    sql(old.old, _record(1, "'u'", "'a'", "'c'", "'x'", *times, "1", "1", "NULL", "'12000-01-01'"))
    (record,) = _pairs(old)[0].records
    assert record[5:8] == (1_735_689_600_001, None, None)
    assert record.updated_at == 1_735_689_600_001


@pytest.mark.postgres
def test_a_chat_of_another_pair_is_told_from_one_that_is_gone(old: Databases) -> None:
    """Of those that name a chat that is gone, the first pair has it."""
    more = ("'x'", "NULL", "NULL", "NULL", "1", "1", "NULL", "NULL")
    sql(
        old.old,
        "INSERT INTO chats VALUES ('c', 'u2', 'a'), ('d', 'u1', 'a')",
        *(
            _record(key, f"'{user}'", "'a'", f"'{chat}'", *more)
            for key, user, chat in [
                (1, "u1", "c"), (2, "u1", "d"), (3, "u3", "gone"), (4, "u2", "gone"),
                (5, "u2", "c"), (6, "u4", "gone"),
            ]
        ),
    )  # fmt: skip
    elsewhere = {r.key: r.points_elsewhere for pair in _pairs(old) for r in pair.records}
    assert elsewhere == {"1": True, "2": False, "3": True, "4": False, "5": False, "6": True}


@pytest.mark.postgres
@pytest.mark.parametrize("type_", ["text", "varchar(20)", "bigint", "uuid", "numeric"])
def test_ids_of_any_type(old: Databases, type_: str) -> None:
    """They are read as text; one that the type can't hold is simply not there."""
    one, two = ("7", "8") if type_ != "uuid" else (f"{'0' * 8}-{'0' * 4}-4000-8000-{'0' * 12}", "")
    cast = f"TYPE {type_} USING {{}}::{type_}"
    sql(
        old.old,
        "ALTER TABLE chats DROP CONSTRAINT chats_pkey",
        f"ALTER TABLE chats ALTER id {cast.format('id')}",
        f"ALTER TABLE chats ALTER user_id {cast.format('user_id')}",
        f"ALTER TABLE conversation_time_records ALTER user_id {cast.format('user_id')}",
        f"INSERT INTO chats VALUES ('{one}', '{one}', 'a', '2025-01-01')",
        _record(1, f"'{one}'", "'a'", f"'{one}'", "'x'", *["NULL"] * 7),
    )
    (pair,) = _pairs(old)
    assert (pair.user_id, pair.chats[0].chat_id, pair.records[0].points_elsewhere) == (
        one, one, False,
    )  # fmt: skip
    with read_only(old.old) as connection:
        assert pair_of_chat(connection, SHAPE, one) == pair
        for nobody in (two, "x" * 300, "7.4", "\u00fc"):
            assert pair_of_chat(connection, SHAPE, nobody) is None


@pytest.mark.postgres
def test_rows_without_any_id(old: Databases) -> None:
    """Records without a user or an id count; a chat without an id is none."""
    sql(
        old.old,
        "ALTER TABLE conversation_time_records DROP CONSTRAINT conversation_time_records_pkey",
        "ALTER TABLE conversation_time_records ALTER id DROP NOT NULL",
        "ALTER TABLE chats DROP CONSTRAINT chats_pkey; ALTER TABLE chats ALTER id DROP NOT NULL",
        "INSERT INTO chats VALUES (NULL, 'u', 'a')",
        *["INSERT INTO conversation_time_records (total_seconds) VALUES (1)"] * 2,
    )
    (pair,) = _pairs(old)
    assert (pair.user_id, pair.advisor_id, len(pair.records)) == ("", "", 2)
    assert len({record.key for record in pair.records}) == 2


@pytest.mark.postgres
def test_two_chats_of_one_id_count_a_record_once(old: Databases) -> None:
    sql(
        old.old,
        "ALTER TABLE chats DROP CONSTRAINT chats_pkey",
        "INSERT INTO chats VALUES ('c', 'u', 'a'), ('c', 'u', 'a'), ('c', 'v', 'a')",
        _record(1, "'u'", "'a'", "'c'", "'x'", *["NULL"] * 7),
    )
    assert [len(pair.records) for pair in _pairs(old)] == [1, 0]


@pytest.mark.postgres
def test_a_pair_alone_is_read_as_among_all(sides: Databases) -> None:
    """And after any pair come those that come after it."""
    with sides.old.begin() as connection:
        create_ugly(connection, 150)
    with read_only(sides.old) as connection:
        every = list(read_old_pairs(connection, SHAPE))
        keys = [(one.pair.user_id, one.pair.advisor_id) for one in every]
        assert keys == sorted(set(keys))
        for one, key in zip(every, keys, strict=True):
            assert _in_order(read_old_pair(connection, SHAPE, key).pair) == _in_order(one.pair)
        for n in (0, 70, len(keys) - 1):
            assert len(list(read_pairs(connection, SHAPE, keys[n]))) == len(keys) - n - 1


def _in_order(pair: Pair) -> Pair:
    records, chats = sorted(pair.records), sorted(pair.chats, key=repr)
    return pair._replace(records=records, chats=chats)


@pytest.mark.postgres
def test_balances_by_user(old: Databases) -> None:
    sql(
        old.old,
        "INSERT INTO user_credits VALUES ('b', 1.0000005), ('a', 2), ('b', 3), ('c', 'NaN')",
    )
    with read_only(old.old) as connection:
        every = list(old_balances(connection, SHAPE))
        assert every == [
            ("a", 2_000_000, 0, 1), ("b", 4_000_000, Decimal("0.5"), 2), ("c", None, 0, 1),
        ]  # fmt: skip
        assert list(old_balances(connection, SHAPE, "a")) == every[1:]


@pytest.mark.postgres
def test_the_server_refuses_to_write(old: Databases) -> None:
    """Not that anybody would try."""
    with pytest.raises(DBAPIError, match="read-only"), read_only(old.old) as connection:
        connection.exec_driver_sql("DELETE FROM chats")
