"""What was measured: how long commands took, second by second and in all."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from loadtests.common.statistics import LatencyHistogram, percentiles


class Measured:
    """One kind of command or read."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.latency_ms = LatencyHistogram()
        self.failures = 0

    @property
    def count(self) -> int:
        """Those that failed included."""
        return self.latency_ms.count

    def add(self, latency_ms: float, *, is_failure: bool) -> None:
        """One more."""
        self.latency_ms.add(latency_ms)
        self.failures += is_failure

    @classmethod
    def merged(cls, parts: Iterable[Mapping[str, Any]]) -> Self:
        """What several processes have measured, each as its ``raw``."""
        whole = cls()
        for raw in parts:
            whole.failures += raw["failures"]
            whole.latency_ms.merge(raw["latency_ms"])
        return whole

    def raw(self) -> dict[str, Any]:
        """All of it, for ``merged`` in another process."""
        return {"failures": self.failures, "latency_ms": self.latency_ms.raw()}

    def document(self, lasted_s: float) -> dict[str, Any]:
        """For thresholds, tables and programs."""
        return {
            "count": self.count,
            "failures": self.failures,
            "error_rate": self.failures / self.count if self.count else 0.0,
            "throughput_per_s": self.count / lasted_s if lasted_s > 0 else 0.0,
            **percentiles("latency_ms", self.latency_ms),
        }


class Second(NamedTuple):
    """What one stretch of the run was like."""

    at_s: float
    """Since the measured phase began, the end of the stretch."""
    commands_per_s: float
    failures: int
    latency_ms_p50: float
    latency_ms_p99: float
    open_chats: int


class RunFigures:
    """Everything that was measured since the last ``reset``."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.reset()

    def reset(self) -> None:
        """Forget what was: now the measured phase begins."""
        self.commands: dict[str, Measured] = {}
        self.reads: dict[str, Measured] = {}
        self.all_commands = Measured()
        self.series: list[Second] = []
        self._stretch = Measured()
        self._stretch_from_s = 0.0
        self._window = Measured()
        self._window_from_s = 0.0

    def add(self, kind: str, name: str, latency_ms: float, *, is_failure: bool) -> None:
        """A command or a ``read`` has come back."""
        if kind != "read":
            self.all_commands.add(latency_ms, is_failure=is_failure)
            self._stretch.add(latency_ms, is_failure=is_failure)
            self._window.add(latency_ms, is_failure=is_failure)
        group = self.reads if kind == "read" else self.commands
        group.setdefault(name, Measured()).add(latency_ms, is_failure=is_failure)

    def end_stretch(self, at_s: float, open_chats: int) -> Second:
        """Close a stretch of the series and begin the next."""
        stretch, lasted_s = self._stretch, at_s - self._stretch_from_s
        second = Second(
            at_s=at_s,
            commands_per_s=stretch.count / lasted_s if lasted_s > 0 else 0.0,
            failures=stretch.failures,
            latency_ms_p50=stretch.latency_ms.percentile(50),
            latency_ms_p99=stretch.latency_ms.percentile(99),
            open_chats=open_chats,
        )
        self._stretch, self._stretch_from_s = Measured(), at_s
        self.series.append(second)
        return second

    def take_window(self, at_s: float) -> dict[str, Any]:
        """What commands were like since this was last asked, for whoever watches."""
        told = self._window.document(at_s - self._window_from_s)
        self._window, self._window_from_s = Measured(), at_s
        return told

    def raw(self) -> dict[str, Any]:
        """What the runner needs to add up several generators."""
        return {
            "overall": self.all_commands.raw(),
            "commands": {name: one.raw() for name, one in self.commands.items()},
            "reads": {name: one.raw() for name, one in self.reads.items()},
        }

    def document(self, lasted_s: float) -> dict[str, Any]:
        """For thresholds, tables and programs."""
        return {
            "measured_s": round(lasted_s, 3),
            "overall": self.all_commands.document(lasted_s),
            "commands": {name: m.document(lasted_s) for name, m in sorted(self.commands.items())},
            "reads": {name: m.document(lasted_s) for name, m in sorted(self.reads.items())},
            "series": [second._asdict() for second in self.series],
        }
