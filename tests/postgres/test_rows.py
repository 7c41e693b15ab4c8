"""What is written is read back: exactly, once, and whatever the order or number of attempts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from sqlalchemy import Connection, Select, Table, select, text

from persistence.errors import UnstorableError
from persistence.postgres.convert import MOMENT_MS_MAX
from persistence.postgres.reader import (
    fetch_policies,
    fetch_records,
    journal_of_user,
    journal_since,
    ledger_of_user,
)
from persistence.postgres.rows import JournalRow, LedgerRow, RecordRow, StoredJournalRow
from persistence.postgres.tables import chat_time_records, command_journal, ledger_entries
from persistence.postgres.writer import put_policy, write_batch
from persistence.redis.commit import OutboxPayload, pack_payload, unpack_stored
from tests.postgres import strategies as own
from tests.postgres.strategies import COMMAND, ENTRY, RECORD, shared


def _facts(table: Table) -> Select[Any]:
    # When a row was written differs from attempt to attempt, and may.
    return select(*(c for c in table.c if c.name != "written_at")).order_by(table.c[0])


def everything(connection: Connection) -> dict[str, list[Any]]:
    tables = (chat_time_records, ledger_entries, command_journal)
    return {t.name: list(connection.execute(_facts(t))) for t in tables}


@shared
@given(st.lists(own.records(), unique_by=lambda row: row.chat_id, max_size=8))
def test_a_record_comes_back_exactly(connection: Connection, rows: list[RecordRow]) -> None:
    connection.rollback()
    write_batch(connection, rows, [], [])
    assert fetch_records(connection, [r.chat_id for r in rows]) == {r.chat_id: r for r in rows}


@shared
@given(own.several(own.ledger_rows(), "entry_id"))
def test_a_ledger_entry_comes_back_exactly(connection: Connection, rows: list[LedgerRow]) -> None:
    connection.rollback()
    write_batch(connection, [], rows, [])
    found = [e for user in {r.user_id for r in rows} for e in ledger_of_user(connection, user, 99)]
    assert sorted(found, key=lambda e: e.entry_id) == sorted(rows, key=lambda e: e.entry_id)


def _position(row: JournalRow) -> tuple[int, ...]:
    return tuple(map(int, row.stream_id.split("-")))


@shared
@given(own.several(own.journal_rows, "stream_id"))
def test_the_journal_comes_back_exactly_and_in_the_order_of_the_stream(
    connection: Connection, rows: list[JournalRow]
) -> None:
    connection.rollback()
    write_batch(connection, [], [], rows)
    assert list(journal_since(connection, 0)) == sorted(rows, key=_position)
    for user in {row.user_id for row in rows if row.user_id is not None}:
        mine = [row for row in rows if row.user_id == user]
        assert list(journal_of_user(connection, user)) == sorted(mine, key=_position)


@shared
@given(
    st.data(),
    own.changing_records(),
    own.several(own.ledger_rows(), "entry_id"),
    own.several(own.journal_rows, "stream_id"),
)
def test_any_number_of_attempts_in_any_order_and_split_ends_in_the_same_rows(
    connection: Connection,
    data: st.DataObject,
    records: list[RecordRow],
    ledger: list[LedgerRow],
    journal: list[JournalRow],
) -> None:
    connection.rollback()
    facts: list[list[Any]] = [records, ledger, journal]
    write_batch(connection, *facts)
    once = everything(connection)
    connection.rollback()
    for _ in range(data.draw(st.integers(1, 4))):
        pieces = [data.draw(_some(rows)) for rows in facts]
        write_batch(connection, *pieces)
    write_batch(connection, *(data.draw(st.permutations(rows)) for rows in facts))
    many = everything(connection)
    connection.rollback()
    assert many == once
    assert [row.seq for row in once["chat_time_records"]] == [
        max(r.seq for r in records if r.chat_id == row.chat_id) for row in once["chat_time_records"]
    ]


def _some(rows: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(rows), max_size=8) if rows else st.just([])


def test_a_later_page_is_written_too(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.postgres.bulk_insert.PAGE_ROWS", 3)
    rows = [RECORD._replace(chat_id=str(i)) for i in range(10)]
    write_batch(connection, [*rows, *rows], [], [])
    assert len(fetch_records(connection, [r.chat_id for r in rows])) == 10


def test_nothing_is_kept_without_the_callers_commit(connection: Connection) -> None:
    write_batch(connection, [RECORD], [ENTRY], [COMMAND])
    connection.rollback()
    assert not any(everything(connection).values())


def test_a_commit_keeps_everything(connection: Connection) -> None:
    write_batch(connection, [RECORD], [ENTRY], [COMMAND])
    connection.commit()
    connection.rollback()
    assert all(everything(connection).values())


def test_an_entry_that_is_there_stays_as_it_was_first_written(connection: Connection) -> None:
    write_batch(connection, [], [ENTRY], [COMMAND])
    write_batch(connection, [], [ENTRY._replace(user_id="v")], [COMMAND._replace(outcome="no")])
    assert ledger_of_user(connection, "u", 9) == [ENTRY]
    assert list(journal_since(connection, 0)) == [COMMAND]


def test_a_ledger_begins_with_the_latest_and_ends_at_the_limit(connection: Connection) -> None:
    entries = [ENTRY._replace(entry_id=f"e{i}", at_ms=i) for i in range(4)]
    write_batch(connection, [], entries, [])
    assert ledger_of_user(connection, "u", 3) == entries[:0:-1]
    assert not ledger_of_user(connection, "nobody", 3)


def test_a_chat_without_a_record_is_left_out(connection: Connection) -> None:
    write_batch(connection, [RECORD], [], [])
    assert fetch_records(connection, ["c", "d"]) == {"c": RECORD}
    assert fetch_records(connection, []) == {}


def test_the_journal_is_read_by_a_cursor_of_the_server(connection: Connection) -> None:
    rows = [COMMAND._replace(stream_id=f"{i}-0") for i in range(2_500)]
    write_batch(connection, [], [], rows)
    stream = journal_of_user(connection, "u")
    assert next(stream) == rows[0]
    assert connection.scalar(text("SELECT count(*) FROM pg_cursors")) == 1
    assert list(stream) == rows[1:]


def test_rows_have_their_items_in_the_order_of_the_columns() -> None:
    plain = [c.name for c in chat_time_records.columns]
    moments, money = {"started_at", "ended_at", "updated_at"}, {"rate", "cost", "refunded"}
    units = dict.fromkeys(moments, "_ms") | dict.fromkeys(money | {"carried_cost"}, "_micro")
    assert [name + units.get(name, "") for name in plain] == list(RecordRow._fields)
    assert [c.name for c in ledger_entries.columns] == [
        name.removesuffix("_micro").removesuffix("_ms") for name in LedgerRow._fields
    ]


@shared
@given(st.dictionaries(own.ids, own.json_objects, max_size=3))
def test_a_policy_stays_as_it_was_first_written(
    connection: Connection, policies: dict[str, dict[str, Any]]
) -> None:
    connection.rollback()
    for policy_id, policy in policies.items():
        put_policy(connection, policy_id, policy)
        put_policy(connection, policy_id, {"another": 1})
    assert fetch_policies(connection) == policies


UNSTORABLE = {
    "NUL in text": ([RECORD._replace(user_id="a\x00b")], [], []),
    "half a pair in text": ([], [ENTRY._replace(command_id="\ud83d")], []),
    "NUL in a field": ([], [], [COMMAND._replace(fields={"type": "a\x00b"})]),
    "NUL in a field's name": ([], [], [COMMAND._replace(fields={"a": [{"\x00": 1}]})]),
    "half a pair in a field": ([], [], [COMMAND._replace(fields={"type": "\udc00"})]),
    "NUL in an outcome": ([], [], [COMMAND._replace(outcome="\x00")]),
    "after the year 9999": ([], [ENTRY._replace(at_ms=MOMENT_MS_MAX + 1)], []),
    "before 1970": ([RECORD._replace(updated_at_ms=-1)], [], []),
}


@pytest.mark.parametrize("rows", UNSTORABLE.values(), ids=UNSTORABLE)
def test_what_postgres_cannot_hold_is_refused_with_its_reason(
    connection: Connection, rows: tuple[Any, Any, Any]
) -> None:
    with pytest.raises(UnstorableError, match=r"NUL character|surrogate|years 1970 to 9999"):
        write_batch(connection, *rows)
    assert not any(everything(connection).values())


def test_a_policy_with_nul_is_refused(connection: Connection) -> None:
    with pytest.raises(UnstorableError):
        put_policy(connection, "p\x00", {})
    with pytest.raises(UnstorableError):
        put_policy(connection, "p", {"a": "\x00"})


@shared
@given(own.several(own.journal_rows, "stream_id"))
def test_what_the_outbox_has_is_written_as_if_it_had_been_read(
    connection: Connection, rows: list[JournalRow]
) -> None:
    """Row by row: the fields are not decoded on the way, and come out the same."""
    connection.rollback()
    payload = OutboxPayload(records=[], ledger=[], journal=rows)
    stored = unpack_stored(pack_payload(payload).encode()).journal
    assert [type(row) for row in stored] == [StoredJournalRow] * len(rows)
    write_batch(connection, [], [], stored)
    assert list(journal_since(connection, 0)) == sorted(rows, key=_position)


@pytest.mark.parametrize(
    "fields", [b'{"a":"\\u0000"}', b'{"\\u0000":1}', b'{"a":"\\ud800"}', b'{"a":"\xff"}']
)
def test_stored_json_that_no_server_can_hold_is_refused(
    connection: Connection, fields: bytes
) -> None:
    row = StoredJournalRow("10-2", "u", "c", Raw(fields), "ok", False, "p")
    with pytest.raises(UnstorableError):
        write_batch(connection, [], [], [row])
