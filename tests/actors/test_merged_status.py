"""The status of several partitions: nothing is lost and nothing is counted twice."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.supervisor.histogram import BUCKETS_MS
from actors.supervisor.merged_status import WORST_FIRST, merge_statuses
from meterd.rules.money import format_micro, read_micro

numbers = st.integers(0, 10**9)
maybe = st.none() | numbers
OUTCOMES = ("ok", "unknown_chat")


def counts(*names: str) -> Any:
    return st.dictionaries(st.sampled_from(names), numbers)


histograms = st.lists(numbers, min_size=14, max_size=14).map(
    lambda found: {
        "buckets_ms": list(BUCKETS_MS), "counts": found,
        "sum_ms": 2 * sum(found), "count": sum(found),
    }
)  # fmt: skip
states = st.fixed_dictionaries({"state": st.sampled_from(WORST_FIRST), "why": st.text(max_size=3)})
works = st.fixed_dictionaries(
    {
        "now": numbers,
        "state": st.sampled_from(WORST_FIRST),
        "state_since": numbers,
        "why": st.text(max_size=3),
        "recovery": st.none()
        | st.fixed_dictionaries({"chats_done": numbers, "chats_total": numbers}),
        "version": st.just("0.2.0"),
        "functions": st.just(10),
        "pid": st.just(7),
        "epoch": numbers.map(str),
        "partitions": st.tuples(st.fixed_dictionaries({"partition": numbers})).map(list),
        **dict.fromkeys(
            (
                "uptime_ms", "open_chats", "in_flight", "active_ms", "clock_steps",
                "lease_changes", "actor_restarts",
            ),
            numbers,
        ),
        "outcomes": counts(*OUTCOMES),
        "commands": st.dictionaries(st.sampled_from(("start", "end")), counts(*OUTCOMES)),
        "work": counts("commits", "failed"),
        "events": counts("chat.started"),
        "dead_letters": counts("invalid_command"),
        "stages_ms": counts("queued", "routed"),
        "credits": st.fixed_dictionaries({"charged": numbers.map(format_micro)}),
        "latency_ms": histograms,
        "lateness_ms": histograms,
        "recent": st.fixed_dictionaries({"open_chats": maybe, "latency_p99_ms": maybe}),
        "limits": st.fixed_dictionaries({"open_chats": numbers, "outbox": numbers}),
        "memory": st.fixed_dictionaries({"used_bytes": numbers, "kinds": counts("ids")}),
        "queue": st.fixed_dictionaries({"lag": numbers, "oldest_ms": numbers}),
        "recorder": st.fixed_dictionaries(
            {"written": numbers, "trouble": st.text(max_size=3), "restarts": numbers},
            optional={"up": st.booleans()},
        ).map(lambda found: {**found, "replacing": None}),
        "actors": st.lists(numbers, max_size=3),
    }
)  # fmt: skip


@given(works | states)
def test_one_partition_is_told_as_it_is(status: dict[str, Any]) -> None:
    assert merge_statuses([status]) == status


@given(st.lists(works | states, min_size=2, max_size=5))
def test_the_worst_state_is_told_with_each_reason(statuses: list[dict[str, Any]]) -> None:
    """Standing by needs no reason where others are led here."""
    merged = merge_statuses(statuses)
    ranks = [WORST_FIRST.index(one["state"]) for one in statuses]
    assert WORST_FIRST.index(merged["state"]) == min(ranks)
    is_standby = all(one["state"] == "standby" for one in statuses)
    told = [
        f"partition {n}: {one['why']}"
        for n, one in enumerate(statuses)
        if one["why"] and (is_standby or one["state"] != "standby")
    ]
    assert merged["why"] == "; ".join(told)


def _at(status: Any, path: Sequence[str]) -> int:
    """The number at a place of a status; 0 if there is none."""
    for name in path:
        status = status.get(name, 0) if isinstance(status, dict) else 0
    return int(status)


@given(st.lists(works, min_size=2, max_size=5))
def test_what_is_counted_is_added_up(statuses: list[dict[str, Any]]) -> None:
    merged = merge_statuses(statuses)
    assert merged.keys() == statuses[0].keys()

    def total(*path: str) -> int:
        return sum(_at(one, path) for one in statuses)

    for path in (
        ("open_chats",), ("lease_changes",), ("queue", "lag"), ("limits", "outbox"),
        ("memory", "kinds", "ids"), ("latency_ms", "sum_ms"), ("recorder", "written"),
        ("stages_ms", "routed"),
    ):  # fmt: skip
        assert _at(merged, path) == total(*path), path
    for kind in ("start", "end"):
        for outcome in OUTCOMES:
            told = merged["commands"].get(kind, {}).get(outcome, 0)
            assert told == total("commands", kind, outcome)
    charged = sum(read_micro(one["credits"]["charged"]) for one in statuses)
    assert read_micro(merged["credits"]["charged"]) == charged
    assert sum(merged["latency_ms"]["counts"]) == merged["latency_ms"]["count"]
    assert merged["partitions"] == [line for one in statuses for line in one["partitions"]]
    assert len(merged["actors"]) == sum(len(one["actors"]) for one in statuses)


@given(st.lists(works, min_size=2, max_size=5))
def test_of_times_and_of_the_server_the_largest_is_told(statuses: list[dict[str, Any]]) -> None:
    """Partitions on one server all see its memory."""
    merged = merge_statuses(statuses)
    for section, name in (("queue", "oldest_ms"), ("memory", "used_bytes")):
        assert merged[section][name] == max(one[section][name] for one in statuses)
    known = [one["recent"]["latency_p99_ms"] for one in statuses]
    known = [value for value in known if value is not None]
    assert merged["recent"]["latency_p99_ms"] == max(known, default=None)
    assert merged["recorder"]["up"] == all(one["recorder"].get("up") for one in statuses)
