"""What actors tell of their batches adds up, and is timed by the queue's clock."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.messages import CREDIT_MOVEMENTS, INVALID_TYPE, BatchStats, Task
from actors.supervisor.histogram import BUCKETS_MS
from actors.supervisor.stats import STAGES, SupervisorStats
from meterd.rules.commands import Command, InvalidCommand, parse_entry
from meterd.rules.events import EVENTS
from meterd.rules.money import format_micro


def a_task(at_ms: int, kind: str) -> Task:
    """A command, or what can't be one."""
    flat = [b"type", kind.encode(), b"id", b"k", b"chat_id", b"c"]
    found = parse_entry(f"{at_ms}-0", flat)
    return Task("u", found) if isinstance(found, Command) else Task("", None, invalid=found)


def _bucket(told: dict[str, list[int]], value_ms: int) -> int:
    return told["counts"][BUCKETS_MS.index(value_ms)]


def test_batches_add_up_by_type_and_outcome() -> None:
    """And ``outcomes`` is the same without the types."""
    counts = SupervisorStats(lambda: 0)
    counts.add([], BatchStats({"pause": {"ok": 2, "not_running": 1}}, replayed=1, commits=3))
    counts.add(
        [], BatchStats({"pause": {"ok": 1}, INVALID_TYPE: {"invalid_command": 1}}, commits=1)
    )
    told = counts.as_dict()
    assert told["commands"] == {
        "pause": {"ok": 3, "not_running": 1},
        INVALID_TYPE: {"invalid_command": 1},
    }
    assert told["outcomes"] == {"ok": 3, "not_running": 1, "invalid_command": 1}
    assert told["work"] == {"replayed": 1, "commits": 4, "redecided": 0, "failed": 0}


def test_credits_add_up_to_the_micro_credit_and_everything_is_there_from_the_start() -> None:
    """A metric that is not there before its first time can't be told from one that is broken."""
    counts = SupervisorStats(lambda: 0)
    told = counts.as_dict()
    assert told["credits"] == dict.fromkeys(CREDIT_MOVEMENTS, "0.000000")
    assert told["events"] == dict.fromkeys(EVENTS, 0)
    assert told["dead_letters"] == {"invalid_command": 0, "internal_error": 0}
    for _ in range(3):
        counts.add(
            [],
            BatchStats(
                credits_micro={"charged": 2**53 + 1},
                events={"credits.low": 2},
                dead={"internal_error": 1},
                active_ms=7,
            ),
        )
    told = counts.as_dict()
    assert told["credits"]["charged"] == format_micro(3 * (2**53 + 1)), "no float on the way"
    assert (told["events"]["credits.low"], told["events"]["chat.paused"]) == (6, 0)
    assert (told["dead_letters"]["internal_error"], told["active_ms"]) == (3, 21)


def test_a_command_is_timed_from_its_entry_and_a_due_change_from_its_millisecond() -> None:
    """Entries that can't be a command as well: their senders wait for an answer, too."""
    counts = SupervisorStats(lambda: 1_000)
    tasks = [a_task(1_000, "pause"), a_task(995, "end"), a_task(991, "nonsense")]
    counts.add(tasks, BatchStats(dues={900: 3, 990: 1}))
    latency, lateness = counts.as_dict()["latency_ms"], counts.as_dict()["lateness_ms"]
    assert (latency["count"], latency["sum_ms"]) == (3, 14)
    assert [_bucket(latency, ms) for ms in (1, 5, 10)] == [1, 1, 1]
    assert (lateness["count"], lateness["sum_ms"]) == (4, 310)
    assert [_bucket(lateness, ms) for ms in (10, 100)] == [1, 3]


def test_nothing_takes_less_than_no_time() -> None:
    """Though the queue's clock is known to a few milliseconds only."""
    counts = SupervisorStats(lambda: 1_000)
    counts.add([a_task(1_003, "pause")], BatchStats(dues={1_002: 1}))
    for name in ("latency_ms", "lateness_ms"):
        assert (counts.as_dict()[name]["count"], counts.as_dict()[name]["sum_ms"]) == (1, 0)


def test_what_cannot_be_a_command_has_a_type_of_its_own() -> None:
    """Its own words may be anything: as labels of a metric they would have no end."""
    assert a_task(1, "pause").kind == "pause"
    assert a_task(1, "nonsense").kind == INVALID_TYPE
    assert isinstance(a_task(1, "nonsense").invalid, InvalidCommand)


def _stages(told: dict[str, Any]) -> list[int]:
    return [told["stages_ms"][stage] for stage in STAGES]


def test_what_a_command_took_is_divided_among_its_stages() -> None:
    """What no other stage has was spent on the way; all together are the latency."""
    counts = SupervisorStats(lambda: 1_000)
    tasks = [a_task(900, "pause"), a_task(960, "end")]
    counts.add(tasks, BatchStats(decided_us=20_000, committed_us=5_000), counts.ages_ms(tasks) - 70)
    told = counts.as_dict()
    assert _stages(told) == [70, 140 - 70 - 40 - 10, 40, 10, 0]
    assert sum(_stages(told)) == told["latency_ms"]["sum_ms"]


@given(
    now_ms=st.integers(900, 1_100),
    at_ms=st.lists(st.integers(900, 1_100), min_size=1, max_size=5),
    stats=st.builds(
        BatchStats,
        decided_us=st.integers(0, 10**6),
        committed_us=st.integers(0, 10**6),
        ended_at_us=st.integers(0, 2**52),
    ),
)
def test_no_stage_ever_loses_time(now_ms: int, at_ms: list[int], stats: BatchStats) -> None:
    """Clocks of other machines are off, and the sums are counters of Prometheus."""
    counts = SupervisorStats(lambda: now_ms)
    tasks = [a_task(at, "pause") for at in at_ms]
    before = _stages(counts.as_dict())
    for _ in range(2):
        counts.add(tasks, stats, counts.ages_ms(tasks))
        after = _stages(counts.as_dict())
        assert all(b <= a for b, a in zip(before, after, strict=True))
        before = after
