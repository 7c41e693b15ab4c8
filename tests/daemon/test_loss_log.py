"""The daemon's output has one line for each loss of a process, and one for its replacement."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from daemon.process.daemon import without_figures
from daemon.process.loss_log import LossLog

WHY = "its process has ended"


def _process(restarts: int, attempt: int, name: str = "chat-1") -> dict[str, Any]:
    replacing = {"since": 1, "attempt": attempt, "why": WHY} if attempt else None
    return {"name": name, "pid": 7 + restarts, "restarts": restarts, "replacing": replacing}


def _status(actor: dict[str, Any], recorder: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"actors": [actor], "recorder": recorder or _process(0, 0)}


def _logged(*statuses: dict[str, Any]) -> list[dict[str, Any]]:
    losses = LossLog()
    with capture_logs() as lines:
        for status in statuses:
            losses.observe(status)
    return [dict(line) for line in lines]


LOST = {"event": "actor.lost", "log_level": "warning", "actor": "chat-1", "error": WHY}
REPLACED = {
    "event": "actor.replaced", "log_level": "info", "actor": "chat-1", "pid": 8, "restarts": 1,
}  # fmt: skip


def test_a_lost_actor_is_one_warning_and_its_replacement_one_line() -> None:
    """However often the status was read meanwhile."""
    well, lost, back = (_status(_process(*at)) for at in ((0, 0), (1, 1), (1, 0)))
    assert _logged(well, well, lost, lost, lost, back, back) == [LOST, REPLACED]


def test_a_loss_that_ends_between_two_statuses_is_logged_as_well() -> None:
    """A warm process takes over before anybody looks."""
    lines = _logged(_status(_process(0, 0)), _status(_process(1, 0)))
    assert lines == [{**LOST, "error": "see logs/supervisor.log"}, REPLACED]


def test_a_lost_recorder_is_logged_under_its_own_name() -> None:
    statuses = (_status(_process(0, 0), _process(*at)) for at in ((0, 0), (1, 1), (1, 0)))
    lines = _logged(*statuses)
    assert [line["event"] for line in lines] == ["recorder.lost", "recorder.replaced"]


def test_a_new_supervisor_is_no_loss_of_its_actors() -> None:
    """It counts from 0 again; before it works, its status has no actors."""
    before, starting = _status(_process(3, 0)), {"state": "starting", "why": ""}
    assert _logged(before, starting, _status(_process(0, 0)))[2:] == []
    assert _logged(before, _status(_process(0, 0)))[2:] == []
    assert _logged({}) == []


@given(st.lists(st.integers(0, 3), max_size=12))
def test_losses_and_replacements_take_turns(attempts: list[int]) -> None:
    """Whatever happens to a process: a loss is followed by its replacement, and by no other."""
    statuses, restarts = [_status(_process(0, 0))], 0
    for attempt in attempts:
        restarts += attempt
        statuses.append(_status(_process(restarts, attempt)))
    events = [line["event"] for line in _logged(*statuses)]
    assert events[::2] == ["actor.lost"] * len(events[::2])
    assert events[1::2] == ["actor.replaced"] * len(events[1::2])
    assert len(events) % 2 == bool(attempts and attempts[-1])


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("chat-1: attempt 1, for 0 s: it ended", "chat-1: attempt 2, for 1 s: it ended", True),
        ("Postgres: away; 7 commits wait for it", "Postgres: away; 12 commits wait for it", True),
        ("Postgres: away", "Redis: away", False),
        ("", "Redis: away", False),
    ],
)  # fmt: skip
def test_a_reason_whose_figures_grow_is_not_reported_again(
    one: str, other: str, is_same: bool
) -> None:
    assert (without_figures(one) == without_figures(other)) is is_same
