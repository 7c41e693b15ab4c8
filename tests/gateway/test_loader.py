"""The loader: everybody gets what they asked for, whoever else asks, fails or goes meanwhile."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.gateway import dataloader
from daemon.gateway.dataloader import DataLoader
from daemon.gateway.errors import BusyLoaderError

ASKS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=4), min_size=1, max_size=30)
KEYS_MAX = 5
ASKED_MAX = 4
"""Keys of one asker: what a call may be over ``keys_max``."""


class Source:
    """Gives every key's value, a new one with every call; one call at a time, or it says so."""

    def __init__(self, failing: Sequence[int] = ()) -> None:
        self.failing = set(failing)
        self.calls: list[list[str]] = []
        self.busy = False

    async def fetch(self, keys: Sequence[str]) -> list[str]:
        assert not self.busy, "one call at a time"
        self.busy = True
        number = len(self.calls)
        self.calls.append(list(keys))
        for _ in range(3):
            await asyncio.sleep(0)
        self.busy = False
        if number in self.failing:
            raise OSError(f"call {number}")
        return [f"{key}{number}" for key in keys]


async def _ask(loader: DataLoader[str], wait: int, keys: list[str]) -> list[str] | str:
    for _ in range(wait):
        await asyncio.sleep(0)
    try:
        return await loader.load(*keys)
    except OSError as error:
        return str(error)


async def _all(
    source: Source, asks: list[list[str]], waits: list[int], gone: set[int]
) -> list[list[str] | str | BaseException]:
    loader = DataLoader(source.fetch, KEYS_MAX)
    tasks = [
        asyncio.create_task(_ask(loader, waits[number % len(waits)], keys))
        for number, keys in enumerate(asks)
    ]
    for turn in range(40):
        await asyncio.sleep(0)
        if turn in gone and turn < len(tasks):
            tasks[turn].cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


@given(
    asks=ASKS,
    waits=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    gone=st.sets(st.integers(0, 29)),
    failing=st.sets(st.integers(0, 9)),
)
def test_each_gets_the_values_of_its_own_keys(
    asks: list[list[str]], waits: list[int], gone: set[int], failing: set[int]
) -> None:
    """All of one call; those of a call that failed get its error; the gone harm nobody."""
    source = Source(tuple(failing))
    answers = asyncio.run(_all(source, asks, waits, gone))
    for number, (keys, answer) in enumerate(zip(asks, answers, strict=True)):
        if isinstance(answer, BaseException):
            assert isinstance(answer, asyncio.CancelledError)
            assert number in gone
        elif isinstance(answer, str):
            call = int(answer.removeprefix("call "))
            assert call in failing
            assert set(keys) <= set(source.calls[call])
        else:
            (call_of,) = {value[1:] for value in answer} or {""}
            assert answer == [f"{key}{call_of}" for key in keys]
            assert not call_of or int(call_of) not in failing


@given(asks=ASKS)
def test_what_waits_shares_calls_of_bounded_size(asks: list[list[str]]) -> None:
    """All that is asked meanwhile is in the next calls, filled up; no key is asked for twice."""
    source = Source()
    asyncio.run(_all(source, asks, [0], set()))
    asked = [key for keys in asks for key in keys]
    assert [key for call in source.calls for key in call] == asked
    assert all(len(call) < KEYS_MAX + ASKED_MAX for call in source.calls)
    assert len(source.calls) <= len(asked) // KEYS_MAX + 1


def test_after_a_failure_the_next_call_is_made() -> None:
    async def play() -> None:
        source = Source((0,))
        loader = DataLoader(source.fetch, KEYS_MAX)
        with pytest.raises(OSError, match="call 0"):
            await loader.load("a")
        assert await loader.load("a") == ["a1"]

    asyncio.run(play())


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused at once; those before it get their answers."""
    monkeypatch.setattr(dataloader, "PENDING_MAX", 3)

    async def play() -> None:
        source = Source()
        made = DataLoader(source.fetch, KEYS_MAX)
        tasks = [asyncio.create_task(made.load("a")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(BusyLoaderError):
            await made.load("b")
        assert await asyncio.gather(*tasks) == [["a0"]] * 3
        assert await made.load("b") == ["b1"]

    asyncio.run(play())
