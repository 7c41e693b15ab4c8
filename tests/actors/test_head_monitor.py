"""Whether Ray's head answers is known within seconds, however long an answer takes."""

import asyncio

import pytest

from actors import head_monitor
from actors.head_monitor import HeadMonitor


def test_a_head_that_does_not_answer_or_fails_is_told_until_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One question at a time: what waits for the head is not asked again."""
    monkeypatch.setattr(head_monitor, "ANSWER_S_MAX", 0.01)
    now_s, asked = 10.0, 0
    answers: asyncio.Queue[Exception | None] = asyncio.Queue()

    async def ask() -> None:
        nonlocal asked
        asked += 1
        error = await answers.get()
        if error is not None:
            raise error

    async def until(is_well: bool) -> None:
        async with asyncio.timeout(10):
            while (monitor.trouble() == "") is not is_well:
                await asyncio.sleep(0)

    async def play() -> None:
        nonlocal now_s
        running = asyncio.create_task(monitor.run_forever(poll_s=0))
        await until(is_well=False)
        now_s += 33
        told = "Ray's head has not answered for 33 s: nothing can start, what runs goes on"
        assert (monitor.trouble(), asked) == (told, 1)
        answers.put_nowait(None)
        await until(is_well=True)
        answers.put_nowait(ConnectionError("no head"))
        await until(is_well=False)
        running.cancel()

    monitor = HeadMonitor(ask, lambda: now_s)
    asyncio.run(play())
