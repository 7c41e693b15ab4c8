"""What the design promises, and what the figures say to it."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from loadtests.bench.figures import BenchFigures, Figure
from loadtests.bench.stages import SHOWN

REACHED: Final = "reached"
MISSED: Final = "missed"
NOT_MEASURED: Final = "not measured"
MEASURED: Final = "measured"
"""Nothing was promised."""


class Check(NamedTuple):
    """A bound for one figure."""

    figure: str
    label: str
    least: float | None = None
    most: float | None = None

    @property
    def bound(self) -> float:
        """The one of both that is there."""
        found = self.most if self.least is None else self.least
        assert found is not None, "a check has a bound"
        return found

    def holds(self, value: float) -> bool:
        """Whether a value is within the bound."""
        return value >= self.bound if self.least is not None else value <= self.bound


class Promise(NamedTuple):
    """A line of the design, and the figures that it speaks of."""

    what: str
    measurement: str
    checks: tuple[Check, ...]
    shown: tuple[tuple[str, str], ...] = ()
    """Figures that belong to it without a bound: figure, label."""


class Row(NamedTuple):
    """A line of the table."""

    what: str
    target: str
    measured: str
    ratio: str
    verdict: str
    command: str


PROMISES: Final = (
    Promise(
        "commands handled, durable, with replies and events, against the best of arq, Celery,"
        " dramatiq and taskiq",
        "throughput",
        (Check("ratio_to_best_peer", "times the best peer", least=6),),
        (("commands_per_s", "a second"),),
    ),
    Promise(
        "the same, against one pipelined client pushing through the same commit function",
        "throughput",
        (Check("ratio_to_max_throughput", "of the maximum", least=0.6),),
        (("commands_per_s", "a second"), ("max_throughput_per_s", "the maximum")),
    ),
    Promise(
        "the same where nothing merges: 20 000 accounts, each with one command under way",
        "throughput",
        (Check("unmerged_ratio", "of the maximum", least=0.4),),
        (("unmerged_per_s", "a second"),),
    ),
    Promise(
        "command to reply, at 4 000 a second",
        "latency",
        (Check("steady_p99_ms", "p99", most=10),),
        (("steady_p50_ms", "p50"),),
    ),
    Promise(
        "command to reply, at half of the peak",
        "latency",
        (Check("half_p50_ms", "p50", most=8), Check("half_p99_ms", "p99", most=40)),
    ),
    Promise(
        "the stages of a command at 4 000 a second, on average",
        "stages",
        (),
        (
            *((f"{stage}_ms@4000", stage) for stage in SHOWN),
            ("cpu_percent@4000", "CPU of the daemon and its servers"),
            ("cpu_percent@1000", "at 1 000 a second"),
        ),
    ),
    Promise(
        "snapshot reads over HTTP, one worker process: as many as it can, and at 2 000 a second",
        "reads",
        (
            Check("reads_per_s", "a second", least=2_000),
            Check("steady_p99_ms", "p99 at 2 000/s", most=20),
        ),
        (("steady_p50_ms", "p50"),),
    ),
    Promise(
        "streams that one process carries, and how late their messages are",
        "reads",
        (),
        (
            ("streams", "streams"),
            ("stream_bytes", "memory each"),
            ("streams_cpu_percent", "CPU while nothing happens"),
            ("message_p50_ms", "commit to reader p50"),
            ("message_p99_ms", "p99"),
        ),
    ),
    Promise(
        "100 000 running chats, nobody talking: CPU beyond that of as many empty Ray actors",
        "idle_cost",
        (Check("cpu_over_empty_percent", "of a core more", most=3),),
        (("cpu_percent", "the daemon"), ("empty_cpu_percent", "empty actors"), ("chats", "chats")),
    ),
    Promise(
        "the same: memory a chat in the actors and in Redis",
        "idle_cost",
        (
            Check("actors_bytes_a_chat", "in the actors", most=3_000),
            Check("redis_bytes_a_chat", "in Redis", most=2_000),
        ),
        (("own_keys_bytes", "of it the chat's and its account's own keys"), ("chats", "chats")),
    ),
    Promise(
        "throughput at 100 000 open chats, of that at 1 000",
        "idle_cost",
        (Check("throughput_ratio", "of that at few", least=0.85),),
        (("chats", "chats"),),
    ),
    Promise(
        "notice of a due change at 10 000 running chats, after its computed millisecond",
        "timer_latency",
        (Check("p99_ms", "p99", most=50),),
        (("p50_ms", "p50"), ("max_ms", "at most")),
    ),
    Promise(
        "start on a warm spare",
        "actors",
        (Check("warm_p99_ms", "p99", most=20),),
        (("warm_p50_ms", "p50"),),
    ),
    Promise(
        "back in service with 100 000 open chats after kill -9 of everything, once servers are up",
        "recovery",
        (Check("first_reply_s", "first reply", most=10), Check("ready_s", "ready", most=10)),
        (("chats", "chats"),),
    ),
    Promise(
        "final records into Postgres, of what one client can upsert in the same batches",
        "records",
        (Check("ratio", "of one client", least=0.8),),
        (("recorder_per_s", "a second"),),
    ),
    Promise(
        "a command of an account with 100 open chats, against one of an account with one",
        "big_account",
        (Check("command_ratio", "times as long", most=3),),
        (("command_us", "it takes"), ("command_of_one_us", "with one chat")),
    ),
    Promise(
        "exhausting, waking or ending all chats of an account: each chat, against each of a tenth"
        " of them",
        "big_account",
        (
            Check("exhausting_ratio", "exhausting, times", most=1.5),
            Check("waking_ratio", "waking, times", most=1.5),
            Check("ending_ratio", "ending, times", most=1.5),
        ),
        (("waking_ms", "waking all"), ("chats", "chats")),
    ),
    Promise(
        "the command line: `meterd --help`, `meterd status`; a daemon's second start",
        "start_up",
        (
            Check("help_cpu_s", "CPU of the help", most=0.2),
            Check("status_s", "status", most=0.3),
            Check("second_start_s", "second start", most=8),
        ),
        (("help_s", "help"), ("status_cpu_s", "CPU of the status")),
    ),
)


def rows(measured: Mapping[str, BenchFigures]) -> list[Row]:
    """The table: a row for each promise, whatever was measured of it."""
    return [_row(promise, measured.get(promise.measurement)) for promise in PROMISES]


def _row(promise: Promise, figures: BenchFigures | None) -> Row:
    target = ", ".join(_target(check) for check in promise.checks)
    command = f'make bench ARGS="--only {promise.measurement}"'
    found = figures or BenchFigures()
    shown = [(check.figure, check.label) for check in promise.checks] + list(promise.shown)
    parts = [(found.get(name), label) for name, label in shown]
    measured_text = ", ".join(f"{label} {spread(f)}" for f, label in parts if f)
    return Row(
        what=promise.what,
        target=target,
        measured=measured_text,
        ratio=_ratio(promise, found),
        verdict=verdict(promise.checks, found),
        command=command,
    )


def verdict(checks: tuple[Check, ...], figures: BenchFigures) -> str:
    """Whether the medians keep all bounds."""
    found = [(check, figures.get(check.figure)) for check in checks]
    if not checks:
        return MEASURED if figures.by_name else NOT_MEASURED
    if any(figure is None for _, figure in found):
        return f"{NOT_MEASURED}: {figures.why}" if figures.why else NOT_MEASURED
    kept = all(figure and check.holds(figure.median) for check, figure in found)
    return REACHED if kept else MISSED


def _ratio(promise: Promise, figures: BenchFigures) -> str:
    """Measured by promised, for each bound."""
    found = [(check, figures.get(check.figure)) for check in promise.checks]
    return ", ".join(f"{f.median / check.bound:.2f}" for check, f in found if f)


def _target(check: Check) -> str:
    word = "at least" if check.least is not None else "at most"
    return f"{check.label} {word} {number(check.bound)}{_unit(check)}"


def _unit(check: Check) -> str:
    for ending, unit in (
        ("_per_s", ""),
        ("_ms", " ms"),
        ("_s", " s"),
        ("_percent", " %"),
        ("bytes_a_chat", " B"),
    ):
        if check.figure.endswith(ending):
            return unit
    return ""


def spread(figure: Figure) -> str:
    """A figure as people read it: the median, and both ends where rounds differ."""
    if not figure.unit:
        return f"{figure.median:,.0f}".replace(",", " ")
    unit = "" if figure.unit in ("x", "1/s") else f" {figure.unit}"
    if figure.low == figure.high:
        return f"{number(figure.median)}{unit}"
    return f"{number(figure.median)}{unit} ({number(figure.low)}–{number(figure.high)})"


def number(value: float) -> str:
    """Three digits, thousands apart."""
    if abs(value) >= 1_000:
        digits = 3 - len(str(int(abs(value))))
        return f"{int(round(value, digits)):,}".replace(",", " ")
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.3g}"
