"""The timekeeper's own clock is a hint: the queue's clock decides."""

import threading
from collections.abc import Sequence

import pytest

from actors.chat.timer_service import Due, TimerService, wall_ms


@pytest.mark.parametrize("ahead_ms", [-50, 0, 3, 200])
def test_a_clock_that_is_wrong_delays_nothing_for_ever(ahead_ms: int) -> None:
    """Asked too early, it asks again, for the same millisecond; asked too late, it is late."""
    granted = threading.Event()
    asked: list[int] = []

    def ask(due: Sequence[Due]) -> list[int]:
        asked.extend(due_at for _, due_at, _ in due)
        waits = [max(0, due_at + 1 - wall_ms()) for _, due_at, _ in due]
        if not any(waits):
            granted.set()
        return waits

    timekeeper = TimerService(ask, lambda: wall_ms() + ahead_ms)
    timekeeper.start()
    due_at = wall_ms() + 20
    timekeeper.arm("u", due_at, "1-1")
    assert granted.wait(5)
    timekeeper.stop()
    assert set(asked) == {due_at}
