"""``python -m loadtests.bench``: measure what the design promises, and write it down."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtests.bench import document, figures, plots, run, screen
from loadtests.bench.plan import FULL_CHATS, QUICK, BenchPlan, Sizes
from loadtests.bench.targets import rows

DESCRIPTION: Final = """\
Measure what the design promises, each against something else in the same run. Run it while
nothing else does: the figures are of the whole machine. Everything takes half an hour.

The results go into performance.md (between its markers), performance/figures.json and plots."""

EXAMPLES: Final = """\
examples:
  python -m loadtests.bench
  python -m loadtests.bench --only throughput latency --rounds 5
  python -m loadtests.bench --only idle_cost --full
  python -m loadtests.bench --quick                  (does it work? its figures mean nothing)
  make bench ARGS="--only records"

What is not measured in this run keeps its figures from before."""

DOCS: Final = Path("docs")
QUICK_OUT: Final = Path(".meterd/bench")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, show, write; 1 if something could not be measured."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    plan = BenchPlan(_sizes(options), _rounds(options), not options.no_peers, screen.teller())
    measured = run.run(plan, options.only or run.NAMES)
    shown = write(options.out or (QUICK_OUT if options.quick else DOCS), measured)
    screen.show(
        [row for row in rows(shown) if not options.only or _is_of(row.command, options.only)]
    )
    return 1 if any(one.why for one in measured.values()) else 0


def write(out: Path, measured: dict[str, figures.BenchFigures]) -> dict[str, figures.BenchFigures]:
    """Put the results with those of earlier runs; returns all of them."""
    file, machine = out / document.FOLDER / "figures.json", run.machine()
    kept = {**figures.read(file), **measured}
    ordered = {name: kept[name] for name in run.NAMES if name in kept}
    figures.write(file, machine, ordered)
    drawn = plots.draw(out / document.FOLDER, ordered)
    document.write(out / "performance.md", machine, ordered, drawn)
    print(f"written to {out}/performance.md", file=sys.stderr)
    return ordered


def _is_of(command: str, names: Sequence[str]) -> bool:
    return any(command.endswith(f'--only {name}"') for name in names)


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = QUICK if options.quick else Sizes()
    if options.full:
        sizes = sizes._replace(idle_chats=(*sizes.idle_chats, FULL_CHATS))
    return sizes


def _rounds(options: argparse.Namespace) -> int:
    return int(options.rounds or (1 if options.quick else 3))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=run.NAMES, metavar="NAME",
        help=f"only these: {', '.join(run.NAMES)}")  # fmt: skip
    add("--rounds", type=_count, metavar="N", help="how often each is measured (default: 3)")
    add("--quick", action="store_true", help=f"tiny sizes, one round, results in {QUICK_OUT}")
    add(
        "--full",
        action="store_true",
        help=f"idle_cost: also {FULL_CHATS} chats; takes minutes more",
    )
    add(
        "--no-peers",
        action="store_true",
        help="throughput: without arq, Celery, dramatiq, taskiq, Ray",
    )
    add("--out", type=Path, metavar="FOLDER", help=f"where the results go (default: {DOCS})")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


if __name__ == "__main__":
    sys.exit(main())
