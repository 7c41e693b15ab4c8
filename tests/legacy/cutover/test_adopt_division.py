"""What a running chat carries: its time as the last run, and people, have divided it."""

import contextlib
from typing import Any, NoReturn

import pytest

from daemon.legacy import migrate as migrating
from daemon.legacy.errors import CutoverError, LegacyError
from daemon.legacy.resolve import assign_record
from daemon.legacy.store.balances import BalancePlan
from tests.legacy.cutover.conftest import Both
from tests.legacy.cutover.cut_over import (
    POLICY,
    adopt_all,
    bring_records,
    kinds_that_differ,
    run_sql,
)
from tests.legacy.cutover.old import add_chat, add_record, set_balance


@pytest.fixture
def divided(both: Both) -> Both:
    """An ended chat and a running one share a record by the policy of the last run."""
    add_chat(both.engine, "over", 0, 30_000)
    add_chat(both.engine, "runs", 40_000, None)
    add_record(
        both.engine, "runs", status="active", last_resumed_at=90_000, updated_at=50_000,
        total_seconds=20, credits_used=1,
    )  # fmt: skip
    set_balance(both.engine, "u", 5)
    bring_records(both, "proportional")
    return both


def test_time_is_divided_as_the_last_run_has_divided_it(divided: Both) -> None:
    """Whatever the settings say: what it gave to other chats is not carried once more."""
    found: list[BalancePlan] = []
    divided.while_working(lambda: found.extend(adopt_all(divided).values()), POLICY)
    (one,) = found
    assert (one.adoption.share_ms, one.adoption.share_micro) == (5_000, 250_000)
    assert (one.adoption.carried_ms, one.adoption.carried_micro) == (15_000, 350_000)
    assert not {"adopted", "sum"} & kinds_that_differ(divided)


def _killed(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def test_the_policy_is_one_from_the_first_run_to_the_last(
    divided: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed may have divided half by another one; and what is adopted stays."""

    def act() -> None:
        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(migrating, "_finish", _killed)
            bring_records(divided, "proportional")
        with pytest.raises(CutoverError, match="migrate"):
            adopt_all(divided)
        bring_records(divided, "proportional")
        assert adopt_all(divided)["runs"].outcome == "adopted"
        with pytest.raises(LegacyError, match="twice"):
            bring_records(divided, "latest")

    divided.while_working(act, POLICY)


def test_what_is_carried_and_given_to_another_chat_too_is_found(divided: Both) -> None:
    """As if the old system had gone on and moved the record."""
    divided.while_working(lambda: adopt_all(divided), POLICY)
    assert "adopted" not in kinds_that_differ(divided)
    add_chat(divided.engine, "next", 200_000, 300_000)
    run_sql(divided, "UPDATE conversation_time_records SET chat_id = 'next'")
    bring_records(divided, "proportional")
    assert "adopted" in kinds_that_differ(divided)


def test_what_was_assigned_to_a_running_chat_is_carried(both: Both) -> None:
    """As migrate does, adopt obeys what somebody has said about a record: the chat runs by it."""
    add_chat(both.engine, "others", 0, 9_000, user_id="z")
    add_chat(both.engine, "runs", 0, None)
    add_record(
        both.engine, "others", status="active", last_resumed_at=90_000, total_seconds=20,
        credits_used=1,
    )  # fmt: skip
    set_balance(both.engine, "u", 5)
    bring_records(both, "latest")
    assign_record(both.targets.sides, "1", "runs")
    bring_records(both, "latest")
    found: list[BalancePlan] = []
    both.while_working(lambda: found.extend(adopt_all(both).values()), POLICY)
    (one,) = found
    assert (one.adoption.chat_id, one.adoption.carried_ms, one.outcome) == (
        "runs", 30_000, "adopted",
    )  # fmt: skip
    assert kinds_that_differ(both) == set()
