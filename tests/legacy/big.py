"""A big migration, with figures: ``python -m tests.legacy.big --pairs 1000000``.

A database for it is made, on the server that METERD_TEST_POSTGRES_URL names or one of its own, and
dropped again.
"""

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from daemon.legacy.diff import Databases
from daemon.legacy.inspect import inspect
from daemon.legacy.migrate import MigrationProgress, migrate
from daemon.legacy.rollback import rollback
from daemon.legacy.store.shape import LegacyShape
from daemon.legacy.verify import verify
from persistence.postgres import migrate as schema
from persistence.postgres.engine import make_engine
from tests.databases import a_server, in_database, run
from tests.legacy.old_data import create_ugly

_TELL_EVERY_S = 20


def main() -> int:
    """Make the data, bring them over, twice, verify, and take them out again."""
    options = _options()
    with a_server() as server:
        name = f"meterd_big_{os.getpid()}"
        run(server, f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            return _play(in_database(server, name), options)
        finally:
            run(server, f"DROP DATABASE {name} WITH (FORCE)")


def _play(url: str, options: argparse.Namespace) -> int:
    pairs, policy = options.pairs, options.policy
    schema.upgrade(url)
    sides = Databases(make_engine(url), make_engine(url), LegacyShape())
    with _timed(f"generate {pairs:,} pairs"), sides.old.begin() as connection:
        create_ugly(connection, pairs)
    if not options.once:
        with _timed("inspect", pairs):
            print(inspect(sides.old, sides.shape, _seldom("inspect")).counts)
    for what in ("migrate",) if options.once else ("migrate", "migrate again"):
        with _timed(what, pairs):
            done = migrate(sides, policy, _progress(what))
        print({k: n for k, n in done.counts.items() if "." not in k})
    with _timed("verify", pairs):
        result = verify(sides, policy, _seldom("verify"))
    print(result.counts, result.differences[:5])
    if not options.once:
        with _timed("rollback", pairs):
            print(f"{rollback(sides.own, 1, _seldom('rollback')).removed:,} taken out")
    print("clean" if not result.differ else f"{result.differ} DIFFERENCES")
    return 1 if result.differ else 0


def _progress(what: str) -> Callable[[MigrationProgress], None]:
    tell = _seldom(what)
    return lambda progress: tell(progress.rows_done, progress.rows_total)


def _seldom(what: str) -> Callable[[int, int], None]:
    said_s = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal said_s
        if time.monotonic() - said_s > _TELL_EVERY_S:
            said_s = time.monotonic()
            print(f"  {what}: {done:,} of {total:,} rows, {_peak_mib()} MiB", flush=True)

    return tell


@contextmanager
def _timed(what: str, pairs: int = 0) -> Iterator[None]:
    began_s = time.monotonic()
    yield
    lasted_s = time.monotonic() - began_s
    rate = f", {pairs / lasted_s:,.0f} pairs/s" if pairs else ""
    print(f"{what}: {lasted_s:.1f} s{rate}, peak {_peak_mib()} MiB", flush=True)


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--policy", default="latest")
    parser.add_argument("--once", action="store_true", help="migrate and verify alone")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
