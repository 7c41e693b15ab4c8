"""Whoever does not answer because the machine is slow is not taken for hung; what hangs is."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import HungError
from actors.silence import (
    FACTOR_MAX,
    ProcessSilence,
    Silence,
    answer_in_time,
    longest_wait_s,
    thread_waits_ns,
)
from actors.supervisor.starts import Starts
from loadtests.common.timeouts import scaled

LIMIT_S = 10.0
SHARES = st.floats(0, 1)
INTERVALS = st.lists(st.tuples(st.floats(0.01, 5), SHARES, SHARES), min_size=1, max_size=200)


def _silence(intervals: list[tuple[float, float, float]]) -> Silence:
    silence = Silence()
    for elapsed_s, waited, late in intervals:
        silence.add(elapsed_s, elapsed_s * waited, elapsed_s * late)
    return silence


@given(INTERVALS)
def test_on_a_quiet_machine_the_limit_is_the_limit(
    intervals: list[tuple[float, float, float]],
) -> None:
    """Nobody waits for a CPU, and the watcher is in time: hung exactly when silent for so long."""
    silence = _silence([(elapsed_s, 0, 0) for elapsed_s, _, _ in intervals])
    assert silence.counted_s == silence.total_s
    assert silence.is_over(LIMIT_S) == (silence.total_s >= LIMIT_S)


@given(INTERVALS)
def test_time_that_was_waited_for_a_cpu_never_counts(
    intervals: list[tuple[float, float, float]],
) -> None:
    """Whoever counts as hung before the last limit could have answered for the whole limit."""
    silence = _silence(intervals)
    could_s = sum(elapsed * (1 - max(waited, late)) for elapsed, waited, late in intervals)
    assert silence.counted_s == pytest.approx(could_s)
    is_over = silence.is_over(LIMIT_S)
    assert not is_over or could_s >= LIMIT_S - 1e-6 or silence.total_s >= LIMIT_S * FACTOR_MAX


@given(INTERVALS)
def test_what_hangs_is_ended_on_any_machine(
    intervals: list[tuple[float, float, float]],
) -> None:
    """However long the waits: after a multiple of the limit, at the latest."""
    silence = _silence(intervals)
    assert silence.is_over(silence.total_s / FACTOR_MAX)


@given(INTERVALS, st.floats(0.01, 100), st.floats(0.01, 100))
def test_more_silence_and_a_lower_limit_never_excuse(
    intervals: list[tuple[float, float, float]], one_s: float, other_s: float
) -> None:
    low_s, high_s = sorted((one_s, other_s))
    shorter, longer = _silence(intervals[:-1]), _silence(intervals)
    assert longer.is_over(low_s) or not longer.is_over(high_s)
    assert longer.is_over(low_s) or not shorter.is_over(low_s)


@given(
    st.dictionaries(st.integers(1, 9), st.integers(0, 10**12)),
    st.dictionaries(st.integers(1, 9), st.integers(0, 10**12)),
)
def test_a_wait_is_that_of_the_thread_that_waited_longest(
    before_ns: dict[int, int], more_ns: dict[int, int]
) -> None:
    """Threads that came meanwhile, and such as have ended, do not count."""
    now_ns = {thread: before_ns.get(thread, 0) + more for thread, more in more_ns.items()}
    both = before_ns.keys() & now_ns.keys()
    expected = max((more_ns[thread] for thread in both), default=0) / 1e9
    assert longest_wait_s(before_ns, now_ns) == expected


def test_a_process_that_is_gone_has_no_waits() -> None:
    assert thread_waits_ns(2**30) == {}


@pytest.fixture
def stopped() -> Iterator[int]:
    """A process that is stopped: it can't answer, and does not wait for a CPU."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)  # else it may wait for the CPU on which to stop
        yield process.pid
        process.kill()


def test_a_stopped_process_counts_as_hung_at_its_limit(stopped: int) -> None:
    """By the clock of whoever looks at it in time."""
    now_s = 0.0
    silence = ProcessSilence(lambda: now_s)
    for _ in range(39):
        now_s += 0.25
        silence.observe(stopped, 0.25)
    assert not silence.is_over(LIMIT_S)
    now_s += 0.25
    silence.observe(stopped, 0.25)
    assert silence.is_over(LIMIT_S)
    silence.answered()
    assert not silence.is_over(LIMIT_S)


def test_a_late_watcher_blames_nobody(stopped: int) -> None:
    """Whoever looks every second and comes after nine has seen one second."""
    now_s = 0.0
    silence = ProcessSilence(lambda: now_s)
    for _ in range(8):
        now_s += 9.0
        silence.observe(stopped, 1.0)
    assert silence.total_s == 72
    assert not silence.is_over(LIMIT_S)


def test_a_process_among_many_busy_ones_waits_for_its_cpu() -> None:
    """More of them than a CPU can carry, all on one: the kernel counts what each has waited."""
    cpu = min(os.sched_getaffinity(0))
    code = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nwhile os.getppid() == {os.getpid()}: 1"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    try:
        pid, deadline_s = running[0].pid, time.monotonic() + scaled(20)
        before_ns = thread_waits_ns(pid)
        while longest_wait_s(before_ns, thread_waits_ns(pid)) < 0.2:
            assert time.monotonic() < deadline_s, "it has waited for no CPU"
            time.sleep(0.02)
    finally:
        for process in running:
            process.kill()
            process.wait()


def _asked(play: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(play(), scaled(20)))


def test_an_answer_and_its_error_come_through_as_they_are() -> None:
    """An error of the question is that of its asker, a TimeoutError too."""

    async def failing() -> None:
        raise TimeoutError("of a server")

    async def play() -> None:
        assert await answer_in_time(asyncio.sleep(0, "yes"), 1, None, lambda: True) == "yes"
        with pytest.raises(TimeoutError, match="of a server"):
            await answer_in_time(failing(), 1, None, lambda: True)

    _asked(play)


def test_what_may_not_be_ended_is_waited_for_and_may_answer_yet() -> None:
    """Past its limit, while another one is on its way back."""

    async def play() -> None:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asked = []

        def may_end() -> bool:
            asked.append(True)
            if len(asked) == 3:
                answer.set_result("late")
            return False

        assert await answer_in_time(answer, 0.02, None, may_end) == "late"

    _asked(play)


def test_a_question_that_hangs_is_given_up_and_taken_back(stopped: int) -> None:
    async def play() -> None:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        with pytest.raises(HungError, match="no answer for"):
            await answer_in_time(answer, 0.05, stopped, lambda: True)
        assert answer.cancelled()

    _asked(play)


def test_only_one_late_process_is_replaced_at_a_time() -> None:
    """The next one may be when the first has been started, or has failed to."""

    async def failing() -> None:
        raise OSError("no memory")

    async def play() -> None:
        starts = Starts(10)
        assert starts.may_replace("chat-1")
        assert starts.may_replace("chat-1"), "it is the one"
        assert not starts.may_replace("chat-2")
        await starts.run("chat-3", lambda: asyncio.sleep(0))
        assert not starts.may_replace("chat-2"), "another start says nothing of the first one"
        await starts.run("chat-1", lambda: asyncio.sleep(0))
        assert starts.may_replace("chat-2")
        with pytest.raises(OSError, match="no memory"):
            await starts.run("chat-2", failing)
        assert starts.may_replace("chat-1")

    _asked(play)
