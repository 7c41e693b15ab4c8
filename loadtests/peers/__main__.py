"""``python -m loadtests.peers``: how many equal transactions a second each peer does."""

import argparse
import json
import signal
import sys
from pathlib import Path

from loadtests.peers.catalogue import PEERS
from loadtests.peers.environment import PeerEnvironmentError
from loadtests.peers.processes import PeerFailedError
from loadtests.peers.run import TIMEOUT_S, PeerFigure, measure

DESCRIPTION = """\
Measure how many jobs a second the peers do, each job one Redis transaction that is equal to what
one command costs meterd. One peer after the other, each on an empty embedded server of its own.
Run it while nothing else does: every figure is of the whole machine."""

EXAMPLES = """\
examples:
  python -m loadtests.peers
  python -m loadtests.peers --peer dramatiq --jobs 20000
  python -m loadtests.peers --peer arq --peer ray_calls --json peers.json

A peer's environment is made in .meterd/peers the first time, from its requirements.lock; that
needs a package index. What is compared, and why so: loadtests/peers/README.md."""


def main() -> int:
    """Measure, print, perhaps write."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    figures = []
    for name in options.peer or PEERS:
        try:
            figures.append(measure(name, options.jobs, options.timeout_s))
        except (PeerEnvironmentError, PeerFailedError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(_line(figures[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([f._asdict() for f in figures], indent=2) + "\n")
    return 0


def _line(figure: PeerFigure) -> str:
    again = f", {figure.duplicates} done twice" if figure.duplicates else ""
    return (
        f"{figure.name} {figure.version}: {figure.jobs_per_s:,.0f} jobs/s of {figure.jobs}{again}"
        f" ({figure.settings}; {figure.cpu_ms_per_job:.2f} ms of processor a job, and the"
        f" server's {figure.server_cpu_ms_per_job:.2f})"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.peers",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--peer", action="append", choices=[*PEERS], help="only this one (repeat for more)"
    )
    parser.add_argument("--jobs", type=_jobs, default=10_000, help="how many (default: 10000)")
    parser.add_argument(
        "--timeout-s", type=float, default=TIMEOUT_S, metavar="SECONDS",
        help=f"how long each may take for them (default: {TIMEOUT_S})",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser


def _jobs(text: str) -> int:
    jobs = int(text)
    if jobs < 100:
        raise argparse.ArgumentTypeError("at least 100, or there is no pace to see")
    return jobs


if __name__ == "__main__":
    sys.exit(main())
