"""``python -m tests.chaos``: faults at random for some minutes, then the checks."""

import argparse
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.chaos.environment import ChaosEnvironment, short_folder
from tests.chaos.evidence import Evidence
from tests.chaos.faults import CATALOGUE, GROUPS, Fault
from tests.chaos.run import Run
from tests.servers import VALKEY

REST_S = (0.2, 1.5)
DOUBLE = 0.25
"""How often two faults are struck at once, if they can be."""

DESCRIPTION = """\
Break meterd at random under load, and check that no command was lost and no second billed twice.

Everything runs on this machine: a Redis-compatible server, a PostgreSQL, the daemon, and its
clients. Nothing of it is left afterwards, unless something was wrong; then the evidence is."""

EXAMPLES = """\
environment:
  CHAOS_MINUTES   how long faults are struck (default 5)
  CHAOS_SEED      the same seed strikes the same faults in the same order (default: at random)
  CHAOS_KILLS     go on, past the minutes if need be, until so many processes have been killed
  CHAOS_REDIS     valkey (default) or redis
  CHAOS_FAULTS    only faults whose names contain one of these words, separated by commas;
                  and none whose names contain a word after a minus
  CHAOS_RECOVERY_S  how long recovery may take before it counts as failed (default 60)
  CHAOS_RATE      commands a second (default 300)
  CHAOS_REPORT    a file for the report as JSON

examples:
  make chaos
  CHAOS_MINUTES=1 CHAOS_SEED=7 make chaos
  CHAOS_FAULTS=postgres,commit CHAOS_MINUTES=2 python -m tests.chaos
  CHAOS_FAULTS=-functions,-hung make chaos
  CHAOS_KILLS=1000 CHAOS_REPORT=chaos.json make chaos

faults:
"""


class ChaosOptions(NamedTuple):
    """What the environment asks for."""

    minutes: float
    seed: int
    kills: int
    redis: str
    words: tuple[str, ...]
    rate: int
    report: str


def chaos_options(env: Mapping[str, str]) -> ChaosOptions:
    """Read the environment."""
    return ChaosOptions(
        minutes=float(env.get("CHAOS_MINUTES", "5")),
        seed=int(env.get("CHAOS_SEED") or int.from_bytes(os.urandom(3))),
        kills=int(env.get("CHAOS_KILLS", "0")),
        redis=env.get("CHAOS_REDIS", VALKEY),
        words=tuple(word for word in env.get("CHAOS_FAULTS", "").lower().split(",") if word),
        rate=int(env.get("CHAOS_RATE", "300")),
        report=env.get("CHAOS_REPORT", ""),
    )


def main() -> int:
    """Run it; 0 if every promise was kept."""
    examples = EXAMPLES + "\n".join(f"  {name}" for name in CATALOGUE)
    argparse.ArgumentParser(
        prog="python -m tests.chaos", description=DESCRIPTION, epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()  # fmt: skip
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = chaos_options(os.environ)
    print(f"CHAOS_SEED={wanted.seed} {wanted.minutes:g} minutes on {wanted.redis}", flush=True)
    folder = short_folder()
    is_kept = True
    try:
        is_kept = not run_in(folder, wanted)
    finally:
        clean(folder, keep=is_kept)
        if is_kept:
            print(f"evidence: {folder}\nagain: CHAOS_SEED={wanted.seed} make chaos", flush=True)
    return int(is_kept)


def run_in(folder: Path, wanted: ChaosOptions) -> bool:
    """One whole run with everything it makes in this folder; True if every promise was kept."""
    with contextlib.closing(ChaosEnvironment(folder, wanted.redis)) as environment:
        environment.daemon.start()
        run = Run(environment, wanted.seed, wanted.rate // 2, lambda line: print(line, flush=True))
        evidence: Evidence | None = None
        try:
            strike_at_random(run, wanted)
            evidence = run.finish()
        finally:
            print(run.report.table(), flush=True)
            if wanted.report:
                run.report.write(Path(wanted.report))
        is_well = not run.report.problems()
        if not is_well:
            run.keep(evidence, folder / "evidence")
        return is_well


def strike_at_random(run: Run, wanted: ChaosOptions) -> None:
    """One fault after another, drawn by weight, or two at once, until time and kills are enough."""
    faults = [f for f in CATALOGUE.values() if _is_wanted(f.name, wanted.words)]
    weights = [fault.weight for fault in faults]
    while not _is_enough(run, wanted):
        first, second = run.draw.choices(faults, weights, k=2)
        is_double = run.draw.random() < DOUBLE
        run.strike(*(_together(first, second) if is_double else [first]))
        run.rest(run.draw.uniform(*REST_S))


def _together(first: Fault, second: Fault) -> list[Fault]:
    """Both in the order of their groups, if they may be struck at once; else the first alone."""
    groups = [g for fault in (first, second) for g, of in enumerate(GROUPS) if fault in of]
    if first.alone or second.alone or len(set(groups)) < 2:
        return [first]
    return [first, second] if groups[0] < groups[1] else [second, first]


def _is_wanted(name: str, words: tuple[str, ...]) -> bool:
    no = [word[1:] for word in words if word.startswith("-")]
    yes = [word for word in words if not word.startswith("-")]
    is_named = not yes or any(word in name.lower() for word in yes)
    return is_named and not any(word in name.lower() for word in no)


def _is_enough(run: Run, wanted: ChaosOptions) -> bool:
    return run.elapsed_s() >= wanted.minutes * 60 and run.report.kills >= wanted.kills


def clean(folder: Path, *, keep: bool) -> None:
    """Take everything away, or all but what tells what happened."""
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for large in (folder / "redis" / "appendonlydir", folder / "pg" / "postgres"):
        shutil.rmtree(large, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
