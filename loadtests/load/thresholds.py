"""What a run has to reach, from a YAML file; ``loadtests/thresholds.yaml`` describes it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

SECTIONS: Final = ("overall", "commands", "reads", "notices")
COMMANDS: Final = ("end", "heartbeat", "pause", "resume", "set_rate", "start", "top_up")
READS: Final = ("snapshot", "wallet")

OF_ASKED: Final = "throughput_of_asked_min"
_OF_REQUESTS: Final = (
    "throughput_per_s_min",
    "latency_ms_p50_max",
    "latency_ms_p95_max",
    "latency_ms_p99_max",
    "latency_ms_max",
    "error_rate_max",
    "count_min",
)
_OF_NOTICES: Final = (
    "lateness_ms_p50_max",
    "lateness_ms_p95_max",
    "lateness_ms_p99_max",
    "lateness_ms_max",
    "count_min",
)
_FIELDS: Final = {
    "overall": (*_OF_REQUESTS, OF_ASKED),
    "commands": _OF_REQUESTS,
    "reads": _OF_REQUESTS,
    "notices": _OF_NOTICES,
}
_NAMES: Final = {"commands": COMMANDS, "reads": READS}
_SHARES: Final = ("error_rate_max", OF_ASKED)


class ThresholdsError(Exception):
    """The file is no good; the message names the place and the fix."""


class Threshold(NamedTuple):
    """One bound."""

    section: str
    name: str
    """The command or read; empty for ``overall`` and ``notices``."""
    field: str
    bound: float

    @property
    def place(self) -> str:
        """Where it stands in the file."""
        return ".".join(part for part in (self.section, self.name, self.field) if part)


class ThresholdResult(NamedTuple):
    """A threshold and what was measured."""

    threshold: Threshold
    found: float | None
    """None if nothing was measured that it could be compared with."""

    @property
    def holds(self) -> bool:
        """Whether the bound was kept."""
        if self.found is None:
            return False
        is_least = self.threshold.field.endswith("_min")
        bound = self.threshold.bound
        return self.found >= bound if is_least else self.found <= bound

    def line(self) -> str:
        """For a person."""
        sign = "at least" if self.threshold.field.endswith("_min") else "at most"
        found = "nothing was measured" if self.found is None else f"found {self.found:g}"
        return f"{self.threshold.place}: {found}, wanted {sign} {self.threshold.bound:g}"


def read_thresholds(path: Path) -> list[Threshold]:
    """Read a file; raises ThresholdsError, which names the place and the fix."""
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ThresholdsError(f"{path}: {error.strerror}; name another file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ThresholdsError(f"{path} is no YAML: {error}") from None
    try:
        return list(parse(document))
    except ThresholdsError as error:
        raise ThresholdsError(f"{path}: {error}") from None


def parse(document: Any) -> Iterator[Threshold]:
    """The thresholds of a document; an empty one has none."""
    for section, content in _mapping("the file", {} if document is None else document).items():
        if section not in SECTIONS:
            raise ThresholdsError(_unknown(str(section), SECTIONS))
        if section in _NAMES:
            yield from _named(section, content)
        else:
            yield from _bounds(section, "", content)


def _named(section: str, content: Any) -> Iterator[Threshold]:
    for name, bounds in _mapping(section, content).items():
        if name not in _NAMES[section]:
            raise ThresholdsError(_unknown(f"{section}.{name}", _NAMES[section]))
        yield from _bounds(section, str(name), bounds)


def _bounds(section: str, name: str, content: Any) -> Iterator[Threshold]:
    place = f"{section}.{name}" if name else section
    for field, bound in _mapping(place, content).items():
        if field not in _FIELDS[section]:
            raise ThresholdsError(_unknown(f"{place}.{field}", _FIELDS[section]))
        yield Threshold(section, name, str(field), _number(f"{place}.{field}", bound))


def _number(place: str, bound: Any) -> float:
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        raise ThresholdsError(f"{place}: {bound!r} is no number; write one such as 0.5 or 100")
    if not 0 <= bound < float("inf"):
        raise ThresholdsError(f"{place}: {bound} is impossible; it is 0 or more, and finite")
    if place.endswith(_SHARES) and bound > 1:
        raise ThresholdsError(f"{place}: {bound} is more than all; it is a share from 0 to 1")
    return float(bound)


def _mapping(place: str, content: Any) -> Mapping[Any, Any]:
    if not isinstance(content, Mapping):
        raise ThresholdsError(f"{place}: {content!r} has no names; write lines such as `name: 1`")
    return content


def _unknown(place: str, known: tuple[str, ...]) -> str:
    return f"{place}: there is no such name here; known are {', '.join(known)}"


def judge(thresholds: list[Threshold], figures: Mapping[str, Any]) -> list[ThresholdResult]:
    """Compare; ``figures`` as ``RunFigures.document`` has them, with ``notices`` and ``asked``."""
    return [ThresholdResult(t, _found(t, figures)) for t in thresholds if _applies(t, figures)]


def _applies(threshold: Threshold, figures: Mapping[str, Any]) -> bool:
    return threshold.field != OF_ASKED or bool(figures.get("asked_per_s"))


def _found(threshold: Threshold, figures: Mapping[str, Any]) -> float | None:
    part: Mapping[str, Any] = figures.get(threshold.section, {})
    if threshold.name:
        part = part.get(threshold.name, {})
    if threshold.field == OF_ASKED:
        return float(part.get("throughput_per_s", 0.0) / figures["asked_per_s"])
    count = part.get("count", 0)
    if threshold.field == "count_min":
        return float(count)
    return float(part[_key(threshold.field)]) if count else None


def _key(field: str) -> str:
    """What the figure is called: the bound's name without ``_min``, or without ``_p99_max``'s."""
    if field in ("latency_ms_max", "lateness_ms_max"):
        return field
    return field.removesuffix("_min").removesuffix("_max")
