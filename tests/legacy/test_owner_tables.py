"""Tables of the owner's shape with everything ugly in them: read as they are, migrated once."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.legacy.diff import Databases
from daemon.legacy.errors import LegacyError
from daemon.legacy.migrate import WRITES
from daemon.legacy.rules.rows import OldChat, OldRecord, Pair
from daemon.legacy.store.reader import read_only, read_pairs
from daemon.legacy.store.shape import LegacyShape
from meterd.rules.model import RUNNING
from tests.legacy.owner import SHAPE, create_empty
from tests.legacy.owner_pairs import owner_pairs
from tests.legacy.system import bring, rows, sql, verdict_of

pytestmark = pytest.mark.postgres

ZONES = {"": "UTC", "with": "UTC", "Asia/Kolkata": "Asia/Kolkata"}
"""How moments are stored: without a zone in UTC, with a zone, without one in local time."""
_MOMENTS = {"chat": ["createdAt"], "conversationTimeRecord": ["timestamp", "lastHeartbeatTime"]}
TABLES = st.lists(
    st.sampled_from([(u, a) for u in ("u1", "u2") for a in ("a1", "a2")]).flatmap(
        lambda key: owner_pairs(*key)
    ),
    unique_by=lambda pair: (pair.user_id, pair.advisor_id),
    max_size=4,
)


@pytest.fixture
def tables(sides: Databases) -> Databases:
    """Empty ones, in which a status is text and anything may be missing."""
    create_empty(sides.old)
    sql(
        sides.old,
        'ALTER TABLE "conversationTimeRecord" ALTER "isActive" TYPE text, ALTER id DROP DEFAULT',
        *(
            f'ALTER TABLE "conversationTimeRecord" ALTER "{column}" DROP NOT NULL'
            for column in ("duration", "creditsUsed", "freeTimeUsed")
        ),
        'ALTER TABLE "conversationTimeRecord" ALTER "creditsUsed" TYPE numeric',
        'ALTER TABLE "conversationTimeRecord" ALTER duration TYPE bigint',
        'ALTER TABLE "conversationTimeRecord" ALTER "freeTimeUsed" TYPE bigint',
        "ALTER TABLE chat ALTER duration DROP NOT NULL, ALTER duration TYPE bigint",
    )
    return sides


def _moment(ms: int | None, zone: str) -> str:
    if ms is None:
        return "NULL"
    at = f"to_timestamp({ms} / 1000.0)"
    return at if zone == "with" else f"({at} AT TIME ZONE '{ZONES[zone]}')"


def _amount(units: int | None, per: int) -> str:
    """Nothing counted is not written down at all."""
    return "NULL" if not units else f"{units} / {per}.0"


def _chat(one: OldChat, zone: str) -> str:
    values = f"'{one.chat_id}', '{one.user_id}', '{one.advisor_id}'"
    created = _moment(one.created_at, zone)
    return f"INSERT INTO chat VALUES ({values}, {created}, {_amount(one.duration_ms, 1_000)})"


def _record(one: OldRecord, key: int, zone: str) -> str:
    times = (_moment(one.started_at, zone), _moment(one.updated_at, zone))
    return (
        f"INSERT INTO \"conversationTimeRecord\" VALUES ({key}, '{one.user_id}',"
        f" '{one.advisor_id}', '{one.chat_id}', {_amount(one.total_ms, 1_000)},"
        f" {_amount(one.cost_micro, 1_000_000)}, {_amount(one.free_ms, 1_000)}, 60,"
        f" '{one.word}', {', '.join(times)})"
    )


def _fill(sides: Databases, pairs: list[Pair], zone: str) -> list[Pair]:
    """Write the pairs down; gives them as they are to be read, each record with its own key."""
    type_ = "timestamptz" if zone == "with" else "timestamp"
    sql(
        sides.old,
        'TRUNCATE chat, "conversationTimeRecord"',
        *(
            f'ALTER TABLE "{table}" ALTER "{column}" TYPE {type_}'
            for table, columns in _MOMENTS.items()
            for column in columns
        ),
        *(_chat(chat, zone) for pair in pairs for chat in pair.chats),
        *(
            _record(record, 10 * number + int(record.key), zone)
            for number, pair in enumerate(pairs)
            for record in pair.records
        ),
    )
    return [
        pair._replace(records=[r._replace(key=str(10 * n + int(r.key))) for r in pair.records])
        for n, pair in enumerate(pairs)
    ]


def _sorted(pairs: list[Pair]) -> list[Any]:
    filled = [pair for pair in pairs if pair.records or pair.chats]
    return sorted((*pair[:2], sorted(pair.records), sorted(pair.chats)) for pair in filled)


@given(TABLES, st.sampled_from(list(ZONES)))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_everything_is_read_and_found_again(
    tables: Databases, pairs: list[Pair], zone: str
) -> None:
    """Whatever the tables hold: to the millisecond and the micro-credit, once; no chat that runs
    there has a record here; and another run has nothing to do."""
    wanted = _fill(tables, pairs, zone)
    owner = tables._replace(shape=SHAPE._replace(time_zone=ZONES[zone]))
    with read_only(tables.old) as connection:
        assert _sorted(list(read_pairs(connection, owner.shape))) == _sorted(wanted)
    sql(
        owner.own,
        "TRUNCATE legacy_chats, legacy_quarantine, legacy_residues, legacy_runs, chat_time_records",
    )
    bring(owner, "chat_duration")
    assert verdict_of(owner, "chat_duration").differences == []
    ended = {row[0] for row in rows(owner.own, "SELECT chat_id FROM chat_time_records")}
    assert ended.isdisjoint(
        record.chat_id for pair in pairs for record in pair.records if record.status == RUNNING
    )
    again = bring(owner, "chat_duration")
    assert not any(name in again.counts for name in WRITES)


def test_a_zone_that_the_database_does_not_know_is_named(tables: Databases) -> None:
    shape: LegacyShape = SHAPE._replace(time_zone="Mars/Olympus")
    with pytest.raises(
        LegacyError, match=r"legacy\.time_zone: the old database knows no time zone"
    ):
        bring(tables._replace(shape=shape), "chat_duration")
