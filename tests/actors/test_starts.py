"""Starts come one at a time, and a late one gets more time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from actors.errors import StartTimeoutError
from actors.supervisor.starts import FACTOR_MAX, StartLimit, Starts


def test_the_limit_doubles_up_to_a_bound_and_falls_back_when_it_is_met() -> None:
    """60, 120, … 960, 960 s; 60 again after a start in time."""
    limit, seen = StartLimit(60), []
    for _ in range(7):
        seen.append(limit.seconds)
        limit.exceeded()
    assert seen == [60, 120, 240, 480, 60 * FACTOR_MAX, 60 * FACTOR_MAX, 60 * FACTOR_MAX]
    limit.met()
    assert (limit.seconds, limit.attempt) == (60, 1)


def test_no_two_starts_run_at_once_and_they_keep_their_order() -> None:
    """The first to ask (the recorder, in a daemon) is the first to be up."""
    running, most, order = 0, 0, []

    def start(name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            order.append(name)

        return run

    async def play() -> None:
        starts = Starts(10)
        await asyncio.gather(*(starts.run(n, start(n)) for n in ("recorder", "a", "b")))

    asyncio.run(play())
    assert (most, order) == (1, ["recorder", "a", "b"])


def test_a_late_start_is_given_up_named_and_the_next_one_has_twice_the_time() -> None:
    """Whatever is started next: the machine is slow for all of them."""

    async def play() -> None:
        starts = Starts(0.02, "/var/ray.log")
        with pytest.raises(StartTimeoutError, match=r"chat-1 has not started within 0\.02 s"):
            await starts.run("chat-1", asyncio.Event().wait)
        waiting = asyncio.ensure_future(starts.run("chat-2", asyncio.Event().wait))
        await asyncio.sleep(0)
        assert starts.why == (
            "waiting for chat-2 to start: attempt 2, limit 0.04 s; log: /var/ray.log"
        )
        with pytest.raises(StartTimeoutError, match=r"chat-2 has not started within 0\.04 s"):
            await waiting
        await starts.run("chat-3", lambda: asyncio.sleep(0))
        assert starts.why == ""
        with pytest.raises(StartTimeoutError, match=r"within 0\.02 s"):
            await starts.run("chat-4", asyncio.Event().wait)

    asyncio.run(play())


def test_a_start_that_fails_by_itself_is_no_late_one() -> None:
    """Its error comes through, a TimeoutError of its own included, and the limit stays."""

    async def failing() -> None:
        raise TimeoutError("of a server")

    async def play() -> None:
        starts = Starts(10)
        with pytest.raises(TimeoutError, match="of a server"):
            await starts.run("chat-1", failing)
        assert starts.why == ""
        waiting = asyncio.ensure_future(starts.run("chat-2", asyncio.Event().wait))
        await asyncio.sleep(0)
        assert starts.why == "", "the first attempt, and it has just begun"
        waiting.cancel()

    asyncio.run(play())


def test_a_late_process_whose_place_was_taken_out_of_turn_lets_the_next_one_be_ended() -> None:
    """One replacement at a time, also where a process that was warm takes over."""
    starts = Starts(10)
    assert starts.may_replace("chat-1")
    assert not starts.may_replace("chat-2")
    starts.replaced("chat-1")
    assert starts.may_replace("chat-2")
