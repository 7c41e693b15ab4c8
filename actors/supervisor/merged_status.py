"""The status of several partitions as one: numbers are added up, and the worst state is told."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from meterd.rules.money import format_micro, read_micro

Status = Mapping[str, Any]

WORST_FIRST: Final = (
    "down", "lost", "held", "degraded", "recovering", "starting", "stopping", "ready", "standby",
)  # fmt: skip
"""A daemon that stands by for some partitions works for the others."""

_SUMS: Final = (
    "open_chats", "in_flight", "active_ms", "clock_steps", "lease_changes", "actor_restarts",
)  # fmt: skip
_COUNTS: Final = ("outcomes", "work", "events", "dead_letters", "stages_ms")
_LARGEST: Final = ("uptime_ms",)
_SERVERS: Final = ("used_bytes", "limit_bytes", "log_bytes", "memory_bytes")
"""Of the server or the machine, not of a partition."""


def merge_statuses(statuses: Sequence[Status]) -> dict[str, Any]:
    """One status out of those of several partitions, in the order of their numbers.

    A partition that says nothing but its state, as before it works, adds nothing but that.
    """
    if len(statuses) == 1:
        return dict(statuses[0])
    worst = min(statuses, key=lambda one: WORST_FIRST.index(one["state"]))
    merged: dict[str, Any] = {
        "state": worst["state"],
        "state_since": worst.get("state_since"),
        "why": "; ".join(_reasons(statuses)),
        "partitions": [line for one in statuses for line in one.get("partitions", ())],
    }
    whole = [one for one in statuses if "uptime_ms" in one]
    return merged | _merge_whole(whole) if whole else merged


def _reasons(statuses: Sequence[Status]) -> Iterable[str]:
    """Why each is as it is; standing by for some partitions is as it should be."""
    is_standby = all(one["state"] == "standby" for one in statuses)
    for number, one in enumerate(statuses):
        if one.get("why") and (is_standby or one["state"] != "standby"):
            yield f"partition {number}: {one['why']}"


def _merge_whole(statuses: Sequence[Status]) -> dict[str, Any]:
    """Of those that work: all but their states."""
    first = statuses[0]
    return {
        "now": max(one["now"] for one in statuses),
        "recovery": _added([one["recovery"] for one in statuses if one["recovery"]]) or None,
        "version": first["version"],
        "functions": first.get("functions"),
        "pid": first["pid"],
        "epoch": first["epoch"],
        **{name: sum(one[name] for one in statuses) for name in _SUMS},
        **{name: max(one[name] for one in statuses) for name in _LARGEST},
        **{name: dict(_total(one.get(name, {}) for one in statuses)) for name in _COUNTS},
        "commands": _commands([one["commands"] for one in statuses]),
        "credits": _credits([one["credits"] for one in statuses]),
        "latency_ms": _histogram([one["latency_ms"] for one in statuses]),
        "lateness_ms": _histogram([one["lateness_ms"] for one in statuses]),
        "recent": _added([one["recent"] for one in statuses]),
        "limits": _added([one["limits"] for one in statuses]),
        "memory": _added([one["memory"] for one in statuses]),
        "queue": _added([one["queue"] for one in statuses]),
        "recorder": _recorder([one["recorder"] for one in statuses]),
        "actors": [actor for one in statuses for actor in one["actors"]],
    }


def _added(parts: Sequence[Status]) -> dict[str, Any]:
    """Numbers added up; of times, and of what is the server's, the largest; None is nothing."""
    merged: dict[str, Any] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        values = [part[name] for part in parts if part.get(name) is not None]
        if not values:
            merged[name] = None
        elif isinstance(values[0], Mapping):
            merged[name] = _added(values)
        elif name.endswith("_ms") or name in _SERVERS:
            merged[name] = max(values)
        else:
            merged[name] = sum(values)
    return merged


def _total(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for one in counts:
        total.update(one)
    return total


def _commands(parts: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    kinds = dict.fromkeys(kind for part in parts for kind in part)
    return {kind: dict(_total(part.get(kind, {}) for part in parts)) for kind in kinds}


def _credits(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {name: format_micro(sum(read_micro(part[name]) for part in parts)) for name in parts[0]}


def _histogram(parts: Sequence[Status]) -> dict[str, Any]:
    counts = zip(*(part["counts"] for part in parts), strict=True)
    return {
        "buckets_ms": parts[0]["buckets_ms"],
        "counts": [sum(bucket) for bucket in counts],
        "sum_ms": sum(part["sum_ms"] for part in parts),
        "count": sum(part["count"] for part in parts),
    }


def _recorder(parts: Sequence[Status]) -> dict[str, Any]:
    """Several recorders: the first process stands for them, and each trouble is told once."""
    troubles = dict.fromkeys(part["trouble"] for part in parts if part.get("trouble"))
    return {
        **parts[0],
        "up": all(part.get("up") for part in parts),
        "written": sum(part.get("written", 0) for part in parts),
        "refused": sum(part.get("refused", 0) for part in parts),
        "restarts": sum(part["restarts"] for part in parts),
        "trouble": "; ".join(troubles),
        "replacing": next(filter(None, (part["replacing"] for part in parts)), None),
    }
