"""A chat that was imported as ended, and runs there again at the cut-over, is not passed over."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from daemon.legacy.adopt import CAME_OVER, foresee
from meterd import Meter
from tests.audit_check import assert_clean
from tests.legacy.cutover.conftest import Both
from tests.legacy.cutover.cut_over import (
    CARRIED,
    CUT,
    POLICY,
    adopt_all,
    bring_records,
    old_system,
    run_sql,
    shown,
)

_RESUMED = "UPDATE conversation_time_records SET status = '{}' WHERE chat_id = 'runs'"


@pytest.fixture
def came_over(both: Both) -> Both:
    """All was imported while one of the running chats was over."""
    old_system(both)
    run_sql(both, _RESUMED.format("completed"))
    bring_records(both, "latest")
    run_sql(both, _RESUMED.format("active"))
    return both


def _set_aside(both: Both) -> list[tuple[Any, ...]]:
    query = "SELECT reason, total_ms, cost FROM legacy_quarantine WHERE key = 'runs'"
    with both.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_it_is_told_and_adopted_after_the_next_migrate(came_over: Both) -> None:
    """All others are adopted meanwhile; foreseeing says the same; nothing of it is written down."""

    def act() -> None:
        foreseen = {one.adoption.chat_id: one for one in foresee(came_over.targets, CUT).plans}
        assert foreseen["runs"].outcome == CAME_OVER
        assert shown(adopt_all(came_over)) == CARRIED | {"runs": (30_000, 1_000_000, 0, CAME_OVER)}
        bring_records(came_over, "latest")
        assert adopt_all(came_over)["runs"].outcome == "adopted"

    came_over.while_working(act, POLICY)


def test_one_that_was_refunded_stays_ended(came_over: Both) -> None:
    """Its record has been used. Once it is over there, the difference is set aside."""

    def act() -> None:
        with Meter(came_over.redis_url) as meter:
            meter.refund("runs", "1")
            for _ in range(2):
                assert adopt_all(came_over)["runs"].outcome == CAME_OVER
                bring_records(came_over, "latest")
            assert meter.snapshot("runs").status == "ended"
        run_sql(came_over, _RESUMED.format("completed', total_seconds = 50, credits_used = '2.5"))
        bring_records(came_over, "latest")
        assert _set_aside(came_over) == [("changed_since_it_was_used", 30_000, Decimal("1.5"))]
        assert adopt_all(came_over).keys() == CARRIED.keys() - {"runs"}

    came_over.while_working(act, POLICY)
    assert_clean(came_over.engine, came_over.redis_url)
