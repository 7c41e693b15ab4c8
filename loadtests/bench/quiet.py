"""Chats that run and nobody talks to: what they cost, and what they do to the pace."""

from typing import Final, NamedTuple

from loadtests.bench.backlog import work_off
from loadtests.bench.book import Book
from loadtests.bench.daemon import BenchDaemon, folder, running
from loadtests.bench.empty_actors import empty_actors
from loadtests.bench.figures import Figures
from loadtests.bench.peak import ACTORS, PER_S
from loadtests.bench.plan import Plan
from loadtests.bench.usage import (
    CHAT_ACTORS,
    EMPTY,
    MIB,
    Window,
    own_keys_bytes,
    pid_of,
    redis_bytes,
    watch,
)

DESIGN_CHATS: Final = 100_000
"""The size that the design speaks of; a run that has fewer shows its largest."""
RAY_ACTORS: Final = ACTORS + 2
"""The daemon's: chat actors, supervisor, recorder."""
SETTLE_S: Final = 3.0
ENV: Final = {"METERD_ACTORS__CHATS_PER_ACTOR": "200000"}
"""Room for all of them: by default 100 000 is the most."""


class Held(NamedTuple):
    """Memory at a size."""

    chats: int
    actors_bytes: int
    redis_bytes: int


def measure(plan: Plan, figures: Figures) -> None:
    """Empty actors, the daemon with more and more chats, and empty actors again."""
    _empty(plan, figures)
    with running(ENV) as daemon:
        daemon.wait_for_actors(ACTORS)
        held = _sizes(plan, daemon, figures)
        plan.say("the audit")
        daemon.check()
    _empty(plan, figures)
    _conclude(held, figures)


def _empty(plan: Plan, figures: Figures) -> None:
    plan.say(f"{RAY_ACTORS} empty actors")
    with folder() as place, empty_actors(RAY_ACTORS, place) as pid:
        watch(None, SETTLE_S, {EMPTY: pid})
        for _ in range(plan.rounds):
            window = watch(None, plan.sizes.quiet_s / plan.rounds, {EMPTY: pid})
            figures.add("empty_cpu_percent", window.cpu_percent, "%")
            for size in plan.sizes.quiet_chats:
                figures.add(f"empty_cpu_percent@{size}", window.cpu_percent, "%")


def _sizes(plan: Plan, daemon: BenchDaemon, figures: Figures) -> list[Held]:
    book = Book("q")
    held = []
    for size in plan.sizes.quiet_chats:
        plan.say(f"opening {size:,} chats")
        daemon.open(book, size - len(book))
        plan.say(f"{size:,} quiet chats")
        watch(pid_of(daemon), SETTLE_S)
        held.append(_quiet(plan, daemon, size, figures))
        figures.add(f"own_keys_bytes@{size}", own_keys_bytes(daemon, *book.names(0)), "B")
        for _ in range(plan.rounds):
            pace = work_off(daemon, book.toggles(plan.sizes.quiet_commands, reply_to="bench"))
            figures.add(f"commands_per_s@{size}", pace.handled_per_s, PER_S)
        daemon.resume_all(book)
    return held


def _quiet(plan: Plan, daemon: BenchDaemon, size: int, figures: Figures) -> Held:
    window = Window({})
    for _ in range(plan.rounds):
        window = watch(pid_of(daemon), plan.sizes.quiet_s / plan.rounds)
        figures.add(f"cpu_percent@{size}", window.cpu_percent, "%")
        for role, used in window.roles.items():
            figures.add(f"cpu_percent {role}@{size}", used.cpu_percent, "%")
    assert window.actors == RAY_ACTORS, f"the daemon has {window.actors} actors"
    found = Held(size, window.roles[CHAT_ACTORS].memory_bytes, redis_bytes(daemon))
    figures.add(f"actors_mib@{size}", found.actors_bytes / MIB, "MiB")
    figures.add(f"redis_mib@{size}", found.redis_bytes / MIB, "MiB")
    return found


def _conclude(held: list[Held], figures: Figures) -> None:
    """The figures that the design speaks of, at its size or the largest below."""
    few = held[0]
    many = max((h for h in held if h.chats <= DESIGN_CHATS), key=lambda h: h.chats)
    more = many.chats - few.chats
    figures.add("chats", many.chats, "")
    if more:
        grown = many.actors_bytes - few.actors_bytes, many.redis_bytes - few.redis_bytes
        figures.add("actors_bytes_a_chat", grown[0] / more, "B")
        figures.add("redis_bytes_a_chat", grown[1] / more, "B")
    cpu = figures.by_name[f"cpu_percent@{many.chats}"]
    empty = figures.by_name["empty_cpu_percent"].median
    for value in cpu.values:
        figures.add("cpu_percent", value, "%")
        figures.add("cpu_over_empty_percent", value - empty, "%")
    slow = figures.by_name[f"commands_per_s@{few.chats}"].median
    for value in figures.by_name[f"commands_per_s@{many.chats}"].values:
        figures.add("throughput_ratio", value / slow, "x")
