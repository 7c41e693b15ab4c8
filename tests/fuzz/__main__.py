"""``python -m tests.fuzz``: fuzz each target in a process of its own, one after the other."""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from loadtests.common.timeouts import scaled
from tests.fuzz.targets import TARGETS, WORDS, seeds

INPUT_BYTES_MAX: Final = 20_000
"""More than an entry may have."""
INPUT_S: Final = 10
"""An input that takes longer than this is a finding."""
END_S: Final = 120
"""What starting and ending may take beside the fuzzing."""
INSTRUMENTED: Final = "meterd.rules,daemon.gateway.cursors,daemon.gateway.tokens,jwt"
PROGRAM: Final = """
import sys
import atheris
with atheris.instrument_imports(include=[*sys.argv.pop(1).split(",")]):
    from tests.fuzz.targets import TARGETS
target = TARGETS[sys.argv.pop(1)]
atheris.Setup(sys.argv, target)
atheris.Fuzz()
"""
_EXAMPLES: Final = """examples:
  python -m tests.fuzz --seconds 900          15 minutes for each target
  python -m tests.fuzz entry --seed 7         one target, as it was
  python -m tests.fuzz entry --input FILE     one input again, which a run has left
"""


def main() -> int:
    """Run what was asked for; 1 if something was found."""
    asked = _asked()
    if asked.input:
        TARGETS[asked.targets[0]](Path(asked.input).read_bytes())
        return 0
    found = [name for name in asked.targets if not _run(name, asked)]
    if found:
        print(f"FOUND something in: {', '.join(found)}; the inputs are in {asked.findings}/")
    return 1 if found else 0


def _run(name: str, asked: argparse.Namespace) -> bool:
    """One target; whether nothing was found."""
    folder = Path(asked.findings)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(seeds()[name]):
            (Path(corpus) / f"seed-{number}").write_bytes(data)
        words = folder / "words"
        words.write_text("".join(f'"{word}"\n' for word in WORDS))
        options = (
            f"-dict={words}",
            f"-max_total_time={asked.seconds}",
            f"-seed={asked.seed}",
            f"-max_len={INPUT_BYTES_MAX}",
            f"-timeout={INPUT_S}",
            f"-artifact_prefix={folder}/{name}-",
            "-print_final_stats=1",
        )
        begun_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, INSTRUMENTED, name, *options, corpus],
            capture_output=True,
            timeout=asked.seconds + scaled(END_S),
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        told = done.stderr.decode(errors="backslashreplace")
        kept = len(list(Path(corpus).iterdir()))
    took_s = time.monotonic() - begun_s
    runs = _figure(told, "number_of_executed_units")
    print(f"{name:8} seed {asked.seed}: {runs} inputs in {took_s:.0f} s, {kept} with new paths")
    if done.returncode or not runs:
        print(ascii(told[-4000:]).replace("\\n", "\n"))
    return done.returncode == 0 and runs > 0


def _figure(told: str, name: str) -> int:
    lines = [line for line in told.splitlines() if name in line]
    return int(lines[0].rpartition(":")[2]) if lines else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m tests.fuzz",
        description="Feed made-up bytes to what reads foreign bytes, and look for new paths.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help="all by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--seed", type=int, default=random.Random().randrange(1, 2**31))
    parser.add_argument("--findings", default="build/fuzz", help="where inputs are kept")
    parser.add_argument("--input", help="play this file only, on the one target")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    return asked


if __name__ == "__main__":
    raise SystemExit(main())
