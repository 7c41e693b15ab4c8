"""``python -m loadtests.bench.many_chats``: a million open chats on one daemon, and an audit.

Chats are opened step by step, five to an account; then memory a chat in the chat actors and in
Redis, CPU while nobody talks, the throughput of a backlog, and the audit. A million takes about a
quarter of an hour and 5 GB of memory.
"""

import argparse
import time
from typing import Final

from loadtests.bench.backlog import work_off
from loadtests.bench.daemon import BenchDaemon, running
from loadtests.bench.throughput import ACTORS
from loadtests.bench.usage import CHAT_ACTORS, pid_of, redis_bytes, watch
from loadtests.bench.workload_model import EncodedWorkload
from loadtests.common.processes import MIB

CHATS: Final = 1_000_000
STEP: Final = 100_000
CHATS_PER_ACCOUNT: Final = 5
COMMANDS: Final = 16_000
SETTLE_S: Final = 5.0
IDLE_S: Final = 30.0
AUDIT_S_MAX: Final = 3_600.0


def measure(chats: int) -> None:
    """Open so many chats, and print what they cost.

    Raises:
        BooksDifferError: the audit found a difference.
    """
    env = {"METERD_ACTORS__CHATS_PER_ACTOR": str(chats), "METERD_ACTORS__MAX": str(ACTORS)}
    with running(env) as daemon:
        daemon.wait_for_actors(ACTORS)
        workload = EncodedWorkload("m", CHATS_PER_ACCOUNT)
        before = _held_bytes(daemon)
        while len(workload) < chats:
            began_s = time.monotonic()
            step = min(STEP, chats - len(workload))
            daemon.open(workload, step)
            per_s = step / (time.monotonic() - began_s)
            _say(f"{len(workload):,} open, {per_s:,.0f} opened a second")
        actors, redis = (now - then for now, then in zip(_held_bytes(daemon), before, strict=True))
        _say(f"actors {actors / chats:,.0f} B a chat ({actors / MIB:,.0f} MiB)")
        _say(f"Redis {redis / chats:,.0f} B a chat ({redis / MIB:,.0f} MiB), with ids and streams")
        _say(f"nobody talks: {watch(pid_of(daemon), IDLE_S).cpu_percent:.1f} % of a core")
        backlog = work_off(daemon, workload.toggles(COMMANDS, reply_to="bench"))
        _say(f"a backlog over the first {COMMANDS:,}: {backlog.handled_per_s:,.0f} commands/s")
        began_s = time.monotonic()
        audited = daemon.run("audit", timeout_s=AUDIT_S_MAX)
        _say(f"audit in {time.monotonic() - began_s:,.0f} s: {audited.stdout.strip()[-200:]}")
        if audited.returncode:
            raise SystemExit(1)


def _held_bytes(daemon: BenchDaemon) -> tuple[int, int]:
    """Memory of the chat actors, and of Redis' data."""
    window = watch(pid_of(daemon), SETTLE_S)
    return window.roles[CHAT_ACTORS].memory_bytes, redis_bytes(daemon)


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chats", type=int, default=CHATS, help=f"how many (default {CHATS})")
    measure(parser.parse_args().chats)


if __name__ == "__main__":
    main()
