"""An hour of steady load: is memory flat in every process? ``make soak``, or ``SOAK_MINUTES=5``.

Chats start, live for a while and end, so that whatever is kept of them shows. Redis itself grows by
what it is told to remember (ids for 25 hours, ended chats for a day), and Postgres keeps all.
"""

import contextlib
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import redis

from daemon.process.ray_processes import descendants_of
from loadtests.common.live import LiveDaemon, live_daemon
from meterd.rules.redis_keys import Keys

KEYS = Keys()
PER_SECOND = int(os.environ.get("SOAK_RATE", "100"))
MINUTES = float(os.environ.get("SOAK_MINUTES", "60"))
SAMPLE_S = 15.0
TICK_S = 0.1
USERS = 200
OPEN_MAX = 400
GROWTH_MAX = 1.10
"""More than this from the second quarter of the time to the last one is not flat."""


class Load:
    """Commands of chats that come and go; nothing is kept of those that have ended."""

    def __init__(self, client: redis.Redis, seed: int) -> None:
        self._client = client
        self._random = random.Random(seed)
        self._count = 0
        self._open: list[str] = []
        self.sent = 0

    def tick(self) -> None:
        """Send what a tick's time asks for, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for _ in range(max(1, int(PER_SECOND * TICK_S))):
            pipeline.xadd(KEYS.commands, self._command())  # type: ignore[arg-type]
        self.sent += len(pipeline.execute())

    def _command(self) -> dict[str, str]:
        self._count += 1
        chance, id_ = self._random.random(), f"s{self._count}"
        if chance < 0.1:
            user = f"u{self._random.randrange(USERS)}"
            return {"type": "top_up", "id": id_, "user_id": user, "amount": "1", "reply_to": "soak"}
        if not self._open or (chance < 0.25 and len(self._open) < OPEN_MAX):
            return self._start(id_)
        chat = self._random.choice(self._open)
        if chance > 0.85:
            self._open.remove(chat)
            return {"type": "end", "id": id_, "chat_id": chat}
        return {
            "type": self._random.choice(["heartbeat", "pause", "resume"]),
            "id": id_,
            "chat_id": chat,
        }

    def _start(self, id_: str) -> dict[str, str]:
        self._open.append(f"c{self._count}")
        user = f"u{self._random.randrange(USERS)}"
        return {
            "type": "start",
            "id": id_,
            "chat_id": self._open[-1],
            "user_id": user,
            "advisor_id": "v",
            "rate": "1",
        }


class Sample(NamedTuple):
    """Resident memory of everything that belongs to the daemon, in KiB, by process."""

    rss_kib: dict[str, int]


def take_sample(daemon: LiveDaemon) -> Sample:
    """Names that stay the same while a process lives: what it is, and its id."""
    assert daemon.process is not None
    pids = [daemon.process.pid, *descendants_of(daemon.process.pid)]
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            found[f"{_name(pid)} {pid}"] = _rss_kib(pid)
    return Sample(found)


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    return " ".join(words.split("/")[-1].split()[:2])[:40] or "?"


def _rss_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def soak(daemon: LiveDaemon, load: Load) -> Iterator[Sample]:
    """Load for ``MINUTES``, a sample now and then."""
    began, sampled = time.monotonic(), 0.0
    while (now := time.monotonic() - began) < MINUTES * 60:
        load.tick()
        if now - sampled >= SAMPLE_S:
            sampled = now
            print(f"\r{now / 60:5.1f} min  {load.sent} commands", end="", file=sys.stderr)
            yield take_sample(daemon)
        time.sleep(TICK_S)


def table(samples: list[Sample]) -> list[tuple[str, float, float, float]]:
    """Process, median of the second quarter, of the last quarter (MiB), and their ratio."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    rows = []
    for name in late[-1].rss_kib:
        before = [s.rss_kib[name] for s in early if name in s.rss_kib]
        after = [s.rss_kib[name] for s in late if name in s.rss_kib]
        if before and after:
            rows.append(
                (name, median(before) / 1024, median(after) / 1024, median(after) / median(before))
            )
    return rows


def main() -> int:
    """Print the table; 1 if a process of meterd's has grown, or the audit finds differences."""
    seed = int(os.environ.get("SOAK_SEED", "1"))
    print(f"SOAK_SEED={seed} SOAK_MINUTES={MINUTES} SOAK_RATE={PER_SECOND}")
    with (
        live_daemon(METERD_CREDITS__WARN_MS="") as daemon,
        contextlib.closing(daemon.client()) as client,
    ):
        load = Load(client, seed)
        samples = list(soak(daemon, load))
        print(file=sys.stderr)
        rows = table(samples)
        for name, before, after, ratio in rows:
            print(f"{name:45} {before:8.1f} MiB {after:8.1f} MiB   x {ratio:.3f}", flush=True)
        daemon.until_handled(timeout_s=120)
        gauges: Any = daemon.published()["queue"]
        audit = daemon.run("audit", timeout_s=900)
    print(f"{load.sent} commands, {gauges}, audit: {audit.stdout.strip().splitlines()[-1:]}")
    grown = [name for name, _, _, ratio in rows if ratio > GROWTH_MAX and not _is_server(name)]
    return 1 if grown or audit.returncode else 0


def _is_server(name: str) -> bool:
    """Redis and Postgres keep what they are told to keep."""
    return name.startswith(("valkey", "postgres"))


if __name__ == "__main__":
    sys.exit(main())
