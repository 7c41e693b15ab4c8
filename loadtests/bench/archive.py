"""``python -m loadtests.bench.archive``: a large journal of version 0.2 is migrated and archived.

A PostgreSQL server of its own in a folder of its own; nothing else is touched. Prints a table with
the time, the CPU time and the peak memory of each step, and what is on the disk after it.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Engine, text

from daemon.embedded.home import make_home
from daemon.embedded.postgres import PostgresServer
from loadtests.bench.journal_rows import COMMANDS_PER_CHAT, make_rows
from loadtests.common.servers import folder
from persistence.postgres.engine import make_engine

ROWS: Final = 10_000_000
ROWS_MAX: Final = 100_000_000
BEFORE: Final = "2026-10-01"
"""Later than all rows that are made."""
STOP_MS: Final = 60_000
METERD: Final = str(Path(sys.executable).with_name("meterd"))
EXAMPLES: Final = """\
examples:
  nice python -m loadtests.bench.archive
  python -m loadtests.bench.archive --rows 100000     (does it work?)

Ten million rows take 10 GB of disk, and minutes to hours: see docs/retention.md."""


class Step(NamedTuple):
    """What one command took."""

    name: str
    seconds: float
    cpu_s: float
    peak_mib: int
    database_bytes: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the rows, run the commands, print what they took."""
    options = _parser().parse_args(arguments)
    rows = min(max(options.rows, 1_000), ROWS_MAX)
    with folder() as place, _server(place) as (url, engine):
        made = make_rows(engine, rows, lambda n: print(f"{n:,} rows", file=sys.stderr))
        print(
            f"{made:,} rows of the journal, {COMMANDS_PER_CHAT} to a chat: {_size(engine):,} bytes"
        )
        archives = place / "archives"
        for command in (
            ("db", "upgrade"),
            ("audit", "--no-redis"),
            ("archive", "--before", BEFORE, "--to", str(archives)),
            ("archive", "--verify", str(archives / f"begin_{BEFORE}")),
            ("audit", "--no-redis"),
        ):
            _print(_run(command, url, place, engine))
        print(f"the archive: {sum(p.stat().st_size for p in archives.glob('*/*')):,} bytes")
    return 0


def _run(command: tuple[str, ...], url: str, home: Path, engine: Engine) -> Step:
    env = {**os.environ, "METERD_POSTGRES__URL": url, "METERD_HOME": str(home)}
    began_s = time.monotonic()
    process = subprocess.Popen([METERD, *command], env=env)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"meterd {' '.join(command)} ended with {process.returncode}")
    return Step(
        name=" ".join(command[:2]),
        seconds=time.monotonic() - began_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss // 1024,
        database_bytes=_size(engine),
    )


def _print(step: Step) -> None:
    print(
        f"| `meterd {step.name}` | {step.seconds:,.0f} s | {step.cpu_s:,.0f} s |"
        f" {step.peak_mib:,} MiB | {step.database_bytes:,} bytes |",
        flush=True,
    )


def _size(engine: Engine) -> int:
    with engine.connect() as connection:
        size = text("SELECT pg_database_size(current_database())")
        return int(connection.scalar(size) or 0)


@contextlib.contextmanager
def _server(place: Path) -> Iterator[tuple[str, Engine]]:
    make_home(place)
    server = PostgresServer(place)
    server.start()
    engine = make_engine(server.url)
    try:
        yield server.url, engine
    finally:
        engine.dispose()
        server.stop(STOP_MS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench.archive",
        description="Migrate and archive a large journal of version 0.2.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rows", type=int, default=ROWS, help=f"of the journal; {ROWS:,} if not given")
    return parser


if __name__ == "__main__":
    sys.exit(main())
