"""Due changes: how long after its computed millisecond each is announced.

Some chats run on with a warning in the window, some are paused as idle in it, some use up their
credits in it. Both times are the queue's: that of the event's entry, and the event's ``at``.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import redis

from loadtests.bench.daemon import BenchDaemon, running
from loadtests.bench.figures import BenchFigures
from loadtests.bench.plan import BenchPlan
from loadtests.bench.throughput import ACTORS
from loadtests.bench.wire import blast, encode_command
from loadtests.common.live import KEYS
from loadtests.common.queue import credits_for, queue_ms
from loadtests.common.statistics import PERCENTS, parts, percentile

WARN_MS: Final = 60_000
LEAD_MS: Final = 12_000
"""From the first command until the window begins: opening them takes its time."""
ENV: Final = {
    "METERD_CREDITS__WARN_MS": str(WARN_MS),
    "METERD_QUEUE__EVENT_ENTRIES_MAX": "1000000",
}
WATCHED: Final = ("credits.low", "credits.exhausted", "chat.paused")
PAGE: Final = 5_000


class MissingNoticesError(Exception):
    """Fewer changes were announced than fell due."""


class Notice(NamedTuple):
    """An announced change."""

    event: str
    at_ms: int
    late_ms: int


def measure(plan: BenchPlan, figures: BenchFigures) -> None:
    """Open the chats, wait for the window to pass, and read the events."""
    size, window_ms = plan.sizes.due_chats, int(plan.sizes.due_s * 1000)
    with running(ENV) as daemon:
        daemon.wait_for_actors(ACTORS)
        plan.say(f"opening {size:,} chats that run on, and {size // 2:,} that don't")
        before, opening = daemon.handled(), commands(size, window_ms)
        began_ms = _now_ms(daemon)
        blast(daemon.redis_url, opening)
        daemon.watch(len(opening), before)
        opened_ms = _now_ms(daemon)
        plan.say(f"a window of {plan.sizes.due_s:.0f} s")
        time.sleep(max(0.0, (began_ms + LEAD_MS + window_ms - _now_ms(daemon)) / 1000) + 3)
        found = [n for n in notices(daemon) if n.at_ms > opened_ms]
        plan.say("the audit")
        daemon.audit()
    _conclude(plan, found, figures)


def commands(size: int, window_ms: int) -> list[bytes]:
    """Credits and starts: ``size`` with a warning, a quarter idle, a quarter used up."""
    made: list[bytes] = []
    for i in range(size):
        made += _pair(f"w{i}", WARN_MS + LEAD_MS + i * window_ms // size)
    for i in range(size // 4):
        made += _pair(f"x{i}", LEAD_MS + i * window_ms // (size // 4))
        made += _pair(f"i{i}", 10**9, idle_ms=LEAD_MS + i * window_ms // (size // 4))
    return made


def _pair(name: str, lasts_ms: int, idle_ms: int = 0) -> list[bytes]:
    """An account whose credits last so long, and its chat, at one credit a second."""
    opening = {"chat_id": name, "user_id": name, "advisor_id": "a", "rate": "60"}
    idle = {"idle_ms": str(idle_ms)} if idle_ms else {}
    return [
        _command("top_up", f"t{name}", user_id=name, amount=credits_for(lasts_ms)),
        _command("start", f"s{name}", **opening, **idle),
    ]


def _command(type_: str, id_: str, **fields: str) -> bytes:
    return encode_command({"type": type_, "id": id_, **fields}.items())


def _now_ms(daemon: BenchDaemon) -> int:
    with daemon.client() as client:
        return queue_ms(client)


def notices(daemon: BenchDaemon) -> list[Notice]:
    """All announced changes that time alone brings, in order."""
    found: list[Notice] = []
    after = "-"
    with daemon.client() as client:
        while page := _page(client, after):
            found += read_notices(page)
            after = f"({page[-1][0].decode()}"
    return found


def _page(client: redis.Redis, after: str) -> list[Any]:
    page: Any = client.xrange(KEYS.events, min=after, count=PAGE)
    return list(page)


def read_notices(page: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[Notice]:
    """What entries of the events stream say."""
    return [
        Notice(fields[b"event"].decode(), at, int(entry.split(b"-")[0]) - at)
        for entry, fields in page
        if fields[b"event"].decode() in WATCHED and (at := int(fields[b"at"]))
    ]


def _conclude(plan: BenchPlan, found: Sequence[Notice], figures: BenchFigures) -> None:
    size = plan.sizes.due_chats
    wanted = size + 2 * (size // 4)
    if len(found) < 0.9 * wanted:
        raise MissingNoticesError(f"{len(found)} of {wanted} fell into the window")
    figures.add("notices", len(found), "")
    for part in parts(sorted(found, key=lambda n: n.at_ms), plan.rounds):
        late = [n.late_ms for n in part]
        for name, percent in PERCENTS.items():
            figures.add(f"{name}_ms", percentile(late, percent), "ms")
    for event in WATCHED:
        late = [n.late_ms for n in found if n.event == event]
        if late:
            figures.add(f"p99_ms of {event}", percentile(late, 99), "ms")
