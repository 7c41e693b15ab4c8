"""The commands that the benchmarks send, as the rules take them."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import hiredis
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.bench import timer_latency
from loadtests.bench.wire import encode
from loadtests.bench.workload_model import EncodedWorkload
from meterd.rules.model import Policy
from tests.world import World

BEGAN_MS = 1_767_225_600_000


def _decode(commands: Iterable[bytes]) -> list[list[bytes]]:
    reader = hiredis.Reader()
    reader.feed(b"".join(commands))
    found: list[list[bytes]] = []
    while (command := reader.gets()) is not False:
        found.append(command)
    return found


def _outcomes(world: World, commands: Iterable[bytes]) -> set[str]:
    words: list[Any] = _decode(commands)
    return {world.feed(f"{BEGAN_MS + i}-0", command[3:]).outcome for i, command in enumerate(words)}


@given(
    st.lists(
        st.one_of(st.binary(), st.text(st.characters(exclude_categories=["Cs"])), st.integers()),
        min_size=1,
    )
)
def test_a_command_is_what_the_server_reads(words: list[bytes | str | int]) -> None:
    raw = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    assert _decode([encode(*words)]) == [raw]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 20), st.integers(0, 40), st.integers(0, 40))
def test_every_command_of_a_book_is_accepted(
    per_account: int, chats: int, toggles: int, mixed: int
) -> None:
    """Whatever is asked of it in whatever numbers: the workload knows which chats run."""
    workload = EncodedWorkload("b", per_account)
    commands = [
        *workload.open(chats), *workload.toggles(toggles, "r"), *workload.mixed(mixed, "r"),
        *workload.open(1), *workload.resumes(), *workload.ends(),
    ]  # fmt: skip
    assert _outcomes(World(Policy()), commands) == {"ok"}


@given(st.integers(1, 5), st.integers(1, 20))
def test_the_ids_of_the_last_commands_are_known(chats: int, count: int) -> None:
    """Replies are matched to commands by them."""
    workload = EncodedWorkload("b")
    workload.open(chats)
    sent = [dict(zip(c[3::2], c[4::2], strict=True)) for c in _decode(workload.toggles(count))]
    assert [fields[b"id"].decode() for fields in sent] == workload.last_ids(count)


def _settle(user: str) -> list[bytes]:
    return [b"type", b"settle", b"user_id", user.encode()]


def test_what_is_to_fall_due_does_so_in_the_window() -> None:
    """Warnings, idle pauses and used-up credits, by the rules, with the chats opened at once."""
    world, window_ms = World(Policy(warn_ms=(timer_latency.WARN_MS,))), 4_000
    commands = timer_latency.commands(8, window_ms)
    assert _outcomes(world, commands) == {"ok"}
    first_ms = BEGAN_MS + len(commands) + 1
    end_ms = BEGAN_MS + timer_latency.LEAD_MS + window_ms + len(commands)
    found = [
        event
        for i, user in enumerate(sorted(world.accounts))
        for event in world.feed(f"{end_ms}-{i}", _settle(user)).events
        if event.event in timer_latency.WATCHED and event.at_ms > first_ms
    ]
    assert all(first_ms + timer_latency.LEAD_MS / 2 < event.at_ms < end_ms for event in found)
    counts = Counter(event.event for event in found)
    assert counts == {"credits.low": 8, "credits.exhausted": 2, "chat.paused": 2}


def test_a_notice_is_as_late_as_its_entry_is_after_its_millisecond() -> None:
    page = [
        (b"1050-3", {b"event": b"credits.low", b"at": b"1000"}),
        (b"1060-0", {b"event": b"chat.started", b"at": b"1060"}),
    ]
    assert timer_latency.read_notices(page) == [timer_latency.Notice("credits.low", 1000, 50)]
