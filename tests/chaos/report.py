"""What a run found, for people and for programs."""

import dataclasses
import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HEADER = f"{'fault':50} {'times':>5} {'answered, median':>17} {'max':>7} {'stored, max':>12}  seen"


@dataclasses.dataclass
class Strike:
    """One fault, once."""

    fault: str
    kills: int
    at_s: float
    what: str = ""
    answered_s: float | None = None
    """From the fix until every probe was answered."""
    stored_s: float | None = None
    """From the fix until Postgres had that, too."""
    states: list[str] = dataclasses.field(default_factory=list)
    trouble: list[str] = dataclasses.field(default_factory=list)

    def line(self) -> str:
        """One line of progress."""
        times = f"answered after {_s(self.answered_s)}, stored after {_s(self.stored_s)}"
        trouble = f"  TROUBLE: {'; '.join(self.trouble)}" if self.trouble else ""
        return f"[{self.at_s:6.1f} s] {self.fault}: {times}; {' > '.join(self.states)}{trouble}"


@dataclasses.dataclass
class Report:
    """All of a run."""

    seed: int
    strikes: list[Strike] = dataclasses.field(default_factory=list)
    findings: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    drained: bool = False
    audit: str = "not run"
    left_over: list[str] = dataclasses.field(default_factory=list)
    commands: int = 0
    epochs: int = 0
    elapsed_s: float = 0.0

    def add(self, strike: Strike) -> None:
        """One more."""
        self.strikes.append(strike)

    @property
    def kills(self) -> int:
        """Processes killed so far."""
        return sum(strike.kills for strike in self.strikes)

    def problems(self) -> list[str]:
        """Everything that is wrong; nothing if the promise was kept."""
        broken = [f"{name}: {what}" for name, found in self.findings.items() for what in found]
        late = [f"{s.fault} at {s.at_s:.1f} s: {t}" for s in self.strikes for t in s.trouble]
        drained = [] if self.drained else ["the queue was not worked off in time"]
        audit = [] if self.audit == "holds" else [f"meterd audit: {self.audit}"]
        left = [f"left behind: {what}" for what in self.left_over]
        return [*broken, *late, *drained, *audit, *left]

    def rows(self) -> list[dict[str, Any]]:
        """One row for each fault, in the order of their first strike."""
        by_fault: dict[str, list[Strike]] = {}
        for strike in self.strikes:
            by_fault.setdefault(strike.fault, []).append(strike)
        return [_row(name, strikes) for name, strikes in by_fault.items()]

    def table(self) -> str:
        """For people."""
        lines = [HEADER, *(_line(row) for row in self.rows()), ""]
        lines += [_check_line(name, found) for name, found in self.findings.items()]
        lines.append(f"{'meterd audit':45} {self.audit[:200]}")
        lines.append(
            f"seed {self.seed}: {self.commands} commands, {len(self.strikes)} faults, "
            f"{self.kills} kills, {self.epochs} epochs, {self.elapsed_s:.0f} s"
        )
        return "\n".join(lines + [f"WRONG {problem}" for problem in self.problems()])

    def write(self, path: Path) -> None:
        """For programs."""
        facts = {**dataclasses.asdict(self), "kills": self.kills, "faults": self.rows()}
        path.write_text(json.dumps({**facts, "problems": self.problems()}, indent=2) + "\n")


def _row(name: str, strikes: list[Strike]) -> dict[str, Any]:
    answered = _known(strike.answered_s for strike in strikes)
    stored = _known(strike.stored_s for strike in strikes)
    return {
        "fault": name,
        "times": len(strikes),
        "kills": sum(strike.kills for strike in strikes),
        "answered_s_median": statistics.median(answered) if answered else None,
        "answered_s_max": max(answered, default=None),
        "stored_s_max": max(stored, default=None),
        "states": sorted({state for strike in strikes for state in strike.states}),
        "trouble": [trouble for strike in strikes for trouble in strike.trouble],
    }


def _line(row: dict[str, Any]) -> str:
    trouble = f"  TROUBLE x{len(row['trouble'])}" if row["trouble"] else ""
    return (
        f"{row['fault']:50} {row['times']:5} {_s(row['answered_s_median']):>17} "
        f"{_s(row['answered_s_max']):>7} {_s(row['stored_s_max']):>12}  "
        f"{', '.join(row['states'])}{trouble}"
    )


def _check_line(name: str, found: list[str]) -> str:
    return f"{name:45} {'BROKEN' if found else 'held'}"


def _known(seconds: Iterable[float | None]) -> list[float]:
    return [each for each in seconds if each is not None]


def _s(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.2f} s"
