"""What version 0.1 wrote is read as before."""

import pytest
from sqlalchemy import Engine

from daemon.legacy.rules.adoption import commands_of
from daemon.legacy.store.balances import fetch_plans, write_plans
from daemon.legacy.store.quarantine import fetch_quarantined
from tests.legacy.system import sql

pytestmark = pytest.mark.postgres

ADOPTION = (
    "INSERT INTO legacy_adoptions (chat_id, user_id, advisor_id, share_ms, share_micro, carried_ms,"
    " carried_cost, unflushed_cost, rate, started_at, was_paused, at_ms, outcome) VALUES"
    " ('c', 'u', 'a', 20000, 1000000, 30000, 1.1, 0.1, 0.6, 1000, false, 100000, 'ready')"
)
ASIDES = (
    "INSERT INTO legacy_quarantine VALUES ('u', 'a', 'record', '{}', 'negative_total', -5, 0, 1,"
    ' \'{{"status": "{}", "chat_id": "c"}}\')'
)


def test_a_chat_that_it_planned_to_adopt_is_sent_as_it_was(engine: Engine) -> None:
    """With the fields of then: none of free time, none of the tariff but the rate."""
    sql(engine, ADOPTION)
    for _ in range(2):
        with engine.begin() as connection:
            (plan,) = fetch_plans(connection)
            write_plans(connection, [plan])
        assert commands_of(plan.adoption) == [
            {
                "type": "adopt", "id": "legacy-adopt:c", "chat_id": "c", "user_id": "u",
                "advisor_id": "a", "started_at": 1000, "carried_ms": 30000,
                "carried_cost": "1.100000", "rate": "0.600000",
            }
        ]  # fmt: skip


def test_a_record_that_it_set_aside_though_its_chat_runs_is_listed(engine: Engine) -> None:
    sql(engine, *(ASIDES.format(word, word) for word in ("active", "paused", "completed")))
    with engine.connect() as connection:
        found = [row.key for row, _ in fetch_quarantined(connection, None, 9, running=True)]
    assert found == ["active", "paused"]
