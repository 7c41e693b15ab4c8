"""Partitions side by side: what happens to one leaves the others alone."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actors.supervisor.partitions import FAILURES_MAX, STOPPED, Made, Supervisors


class Played:
    """A supervisor that ends as its partition's play has it, else works until it is stopped."""

    def __init__(self, ends: list[Exception | str]) -> None:
        self._ends = ends
        self._stopping = asyncio.Event()
        self.is_closed = False

    @property
    def is_ready(self) -> bool:
        return not self._ends and not self._stopping.is_set()

    async def run(self) -> str:
        await asyncio.sleep(0)
        if self._ends:
            end = self._ends.pop(0)
            if isinstance(end, Exception):
                raise end
            return end
        await self._stopping.wait()
        return STOPPED

    def stop(self) -> None:
        self._stopping.set()

    def hand_over(self) -> None:
        self._stopping.set()

    def status(self) -> dict[str, Any]:
        return {"state": "stopping" if self._stopping.is_set() else "ready", "why": ""}

    async def close(self) -> None:
        self.is_closed = True


class Play:
    """Supervisors of partitions, with all that were made for each."""

    def __init__(self, *ends: list[Exception | str]) -> None:
        self.made: list[list[Played]] = [[] for _ in ends]
        self._ends = ends
        self.supervisors = Supervisors(len(ends), self._make)

    def _make(self, number: int) -> Made:
        one = Played(self._ends[number])
        self.made[number].append(one)
        return Made(one, one.close)

    async def run_until(self, holds: Callable[[], bool]) -> str:
        running = asyncio.create_task(self.supervisors.run())
        async with asyncio.timeout(30):
            while not holds() and not running.done():
                await asyncio.sleep(0.01)
            self.supervisors.stop()
            return await running


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.supervisor.partitions.PAUSE_S", 0.001)


@pytest.mark.parametrize("end", ["superseded", RuntimeError("broken")])
def test_one_that_ends_begins_anew_and_leaves_the_others_alone(end: Exception | str) -> None:
    """What it worked with is closed before."""

    async def play() -> None:
        play = Play([], [end, end, end], [])
        assert await play.run_until(lambda: len(play.made[1]) == 4) == STOPPED
        assert [len(made) for made in play.made] == [1, 4, 1]
        assert all(one.is_closed for made in play.made for one in made)

    asyncio.run(play())


def test_one_that_is_handed_over_stands_by_at_once_and_the_others_work_on() -> None:
    """Its supervisor ends in order, and the next one begins, however often."""

    async def play() -> None:
        play = Play([], [], [])

        def hand_over_twice() -> bool:
            if len(play.made[1]) < 3 and play.supervisors.held() == [0, 1, 2]:
                play.supervisors.hand_over(1)
                assert play.supervisors.held() == [0, 2]
                assert play.supervisors.status()["state"] == "ready", "the daemon works on"
            return len(play.made[1]) == 3

        assert await play.run_until(hand_over_twice) == STOPPED
        assert [len(made) for made in play.made] == [1, 3, 1]
        assert all(one.is_closed for made in play.made for one in made)

    asyncio.run(play())


def test_one_that_fails_again_and_again_ends_all() -> None:
    """A failure in between that was none begins the count again."""
    broken: list[Exception | str] = [RuntimeError("broken")] * (FAILURES_MAX - 1)

    async def play() -> None:
        play = Play([], [*broken, "superseded", *broken, RuntimeError("last")])
        with pytest.raises(ExceptionGroup) as caught:
            await play.run_until(lambda: False)
        assert "last" in str(caught.value.exceptions[0])
        assert len(play.made[1]) == 2 * FAILURES_MAX
        assert all(one.is_closed for made in play.made for one in made)

    asyncio.run(play())


@pytest.mark.parametrize("end", ["superseded", RuntimeError("broken")])
def test_the_end_of_the_only_one_is_the_end(end: Exception | str) -> None:
    """Whoever has started the process starts another."""

    async def play() -> str:
        return await Play([end]).run_until(lambda: False)

    if isinstance(end, Exception):
        with pytest.raises(RuntimeError, match="broken"):
            asyncio.run(play())
    else:
        assert asyncio.run(play()) == end


def test_who_is_told_to_stop_between_two_lives_stops() -> None:
    async def play() -> None:
        play = Play([], ["superseded"])
        assert await play.run_until(lambda: len(play.made[1]) >= 1) == STOPPED

    asyncio.run(play())
