"""Several Locust processes as one run: what each is asked for, and their figures as one. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from loadtests.load.figures import Measured
from loadtests.load.options import LoadOptions, OptionsError

Figures = Mapping[str, Any]

SEEDS_APART: Final = 1_000
"""More than a generator has backends, each of which takes the next seed."""
_DIVIDED: Final = ("rate", "start_rate", "chats", "accounts", "backends", "frontends", "reads")


def shares(options: LoadOptions, barrier: str) -> list[LoadOptions]:
    """What each generator is asked for: all together, what the run is.

    Args:
        options: of the run.
        barrier: the folder in which generators wait for each other.

    Raises:
        OptionsError: there is too little for so many.
    """
    count = options.generators
    for name in ("rate", "start_rate", "chats", "accounts", "reads"):
        if 0 < getattr(options, name) < count:
            flag = f"--{name.replace('_', '-')}"
            raise OptionsError(f"{flag} {getattr(options, name)} can't be shared by {count}: give "
                               f"{flag} at least {count}, or fewer --generators")  # fmt: skip
    frontends = max(options.frontends, count) if options.frontends else 0
    whole = options._replace(backends=max(options.backends, count), frontends=frontends)

    def divided(number: int) -> dict[str, Any]:
        return {name: _share(getattr(whole, name), number, count) for name in _DIVIDED}

    return [
        whole._replace(
            **divided(number),
            notices=options.notices if number == 0 else 0,
            seed=options.seed + SEEDS_APART * number,
            audit="none",
            barrier=barrier,
        )
        for number in range(count)
    ]


def _share(whole: int, number: int, count: int) -> int:
    return whole // count + (number < whole % count)


def merged(parts: Sequence[Figures]) -> dict[str, Any]:
    """The figures of a run out of those of its generators, in their order.

    Percentiles are of all values together. Second by second there are no values any more: the p50
    is the mean by rate there, the p99 that of the slowest generator.
    """
    lasted_s = max(part["measured_s"] for part in parts)
    drained = [part["drained_s"] for part in parts]
    raw = [part["raw"] for part in parts]
    return {
        **{name: value for name, value in parts[0].items() if name != "raw"},
        "measured_s": lasted_s,
        "overall": Measured.merged([one["overall"] for one in raw]).document(lasted_s),
        "commands": _kinds([one["commands"] for one in raw], lasted_s),
        "reads": _kinds([one["reads"] for one in raw], lasted_s),
        "series": [_second(at_once) for at_once in _at_once(parts)],
        "asked_per_s": round(sum(part["asked_per_s"] for part in parts), 3),
        "measured_from_s": min(part["measured_from_s"] for part in parts),
        "measured_to_s": max(part["measured_to_s"] for part in parts),
        "open_chats": sum(part["open_chats"] for part in parts),
        "generator_waited_for_cpu_s": max(part["generator_waited_for_cpu_s"] for part in parts),
        "drained_s": None if None in drained else max(drained),
        "problems": list(dict.fromkeys(found for part in parts for found in part["problems"])),
    }


def _kinds(raw: Sequence[Mapping[str, Any]], lasted_s: float) -> dict[str, Any]:
    names = sorted({name for one in raw for name in one})
    found = {name: Measured.merged([one[name] for one in raw if name in one]) for name in names}
    return {name: measured.document(lasted_s) for name, measured in found.items()}


def _at_once(parts: Sequence[Figures]) -> list[list[Mapping[str, Any]]]:
    """The same second of each; at the end not all have one."""
    longest = max(len(part["series"]) for part in parts)
    return [
        [part["series"][n] for part in parts if n < len(part["series"])] for n in range(longest)
    ]


def _second(at_once: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    per_s = sum(one["commands_per_s"] for one in at_once)
    p50_ms = sum(one["latency_ms_p50"] * one["commands_per_s"] for one in at_once)
    return {
        "at_s": max(one["at_s"] for one in at_once),
        "commands_per_s": per_s,
        "failures": sum(one["failures"] for one in at_once),
        "latency_ms_p50": p50_ms / per_s if per_s else 0.0,
        "latency_ms_p99": max(one["latency_ms_p99"] for one in at_once),
        "open_chats": sum(one["open_chats"] for one in at_once),
    }
