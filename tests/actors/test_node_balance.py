"""Nodes on a real Redis: who is alive, whose turn it is, and when a partition moves."""

import asyncio
import contextlib
from typing import Any

import msgspec
import pytest

from actors.supervisor.balance import Turn, preferred_nodes
from actors.supervisor.node_balance import NodeBalance
from meterd.rules.redis_keys import Keys
from persistence.redis.client import connect_async
from persistence.redis.nodes import FORGOTTEN_MS, NodeEntry, NodeRegistry, NodesSeen
from tests.servers import redis_server

PARTITIONS = 8
LEASE_MS = 2_000
SETTLE_MS = 30_000


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _node(client: Any, name: str, clock: Clock, version: int = 9) -> NodeBalance:
    registry = NodeRegistry(client, name, version, f"host-{name}")
    return NodeBalance(
        registry, name, PARTITIONS, lease_ms=LEASE_MS, settle_ms=SETTLE_MS, clock=clock
    )


def _first(node: NodeBalance) -> set[int]:
    """The partitions that a node bids for at once."""
    return {n for n in range(PARTITIONS) if node.turn(n) is not Turn.LAST}


@contextlib.asynccontextmanager
async def _client(url: str) -> Any:
    client = connect_async(url)
    try:
        yield client
    finally:
        await client.aclose()


def test_nodes_share_the_partitions_and_one_that_leaves_is_followed_at_once() -> None:
    """Before a node has looked, it bids for all; afterwards each for its share, nothing twice."""

    async def play(url: str) -> None:
        async with _client(url) as client:
            one, two = _node(client, "one", Clock()), _node(client, "two", Clock())
            assert _first(one) == set(range(PARTITIONS))
            await one.look()
            await two.look()
            await one.look()
            assert _first(one) | _first(two) == set(range(PARTITIONS))
            assert len(_first(one)) == len(_first(two)) == PARTITIONS // 2
            await two.leave()
            await one.look()
            assert _first(one) == set(range(PARTITIONS))

    with redis_server() as url:
        asyncio.run(play(url))


def test_a_node_without_a_sign_of_life_is_dead_and_forgotten_in_the_end() -> None:
    """By the server's clock, which may have stepped back; what can't be read is no sign of life."""

    async def play(url: str) -> None:
        async with _client(url) as client:
            seconds, _ = await client.time()
            old = {
                "late": seconds * 1_000 - LEASE_MS - 1_000,
                "gone": seconds * 1_000 - FORGOTTEN_MS - 1_000,
                "here": seconds * 1_000,
                "ahead": seconds * 1_000 + LEASE_MS + 1_000,
            }
            for name, seen_ms in old.items():
                entry = msgspec.json.encode(NodeEntry(seen_ms, 9, "h"))
                await client.hset(Keys(0).nodes, name, entry)
            await client.hset(Keys(0).nodes, "nonsense", b"\xff")
            here = msgspec.json.encode(NodeEntry(seconds * 1_000, 9, "h"))
            await client.hset(Keys(0).nodes, b"\xff", here)
            seen = await NodeRegistry(client, "own", 9, "h").beat(is_able=True)
            assert seen.alive(LEASE_MS) == {"own", "here"}
            left = set(await client.hkeys(Keys(0).nodes))
            assert left == {b"own", b"here", b"late", b"ahead", b"nonsense", b"\xff"}

    with redis_server() as url:
        asyncio.run(play(url))


def test_only_nodes_of_the_newest_version_are_preferred() -> None:
    """So a partition moves to the newer one, and an older one leads what nobody else takes."""

    async def play(url: str) -> None:
        async with _client(url) as client:
            older, newer = _node(client, "older", Clock(), 9), _node(client, "newer", Clock(), 10)
            await older.look()
            await newer.look()
            await older.look()
            assert _first(older) == set()
            assert _first(newer) == set(range(PARTITIONS))

    with redis_server() as url:
        asyncio.run(play(url))


def test_what_another_should_lead_goes_one_by_one_once_all_is_calm() -> None:
    """30 s after the last change, and 5 s after the one before; then all is where it should be."""

    async def play(url: str) -> None:
        async with _client(url) as client:
            clock = Clock()
            one, two = _node(client, "one", clock), _node(client, "two", clock)
            await one.look()
            held = set(range(PARTITIONS))
            clock.now_s += 60
            assert one.next_handover(held) is None, "all of it is its own"
            await two.look()
            await one.look()
            gone: list[tuple[float, int]] = []
            began = clock.now_s
            for _ in range(120):
                clock.now_s += 1
                number = one.next_handover(held)
                if number is not None:
                    held.remove(number)
                    gone.append((clock.now_s - began, number))
            preferred = preferred_nodes(PARTITIONS, {"one", "two"})
            expected = [n for n in range(PARTITIONS) if preferred[n] == "two"]
            assert gone == [(30 + 5 * i, number) for i, number in enumerate(expected)]

    with redis_server() as url:
        asyncio.run(play(url))


class SlowRegistry(NodeRegistry):
    """Writes each sign of life later, when a test lets it."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, "slow", 9, "h")
        self.begun, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def beat(self, is_able: bool) -> NodesSeen:
        self.begun.set()
        await self.may_go_on.wait()
        return await super().beat(is_able)


async def _node_that_looks(client: Any) -> tuple[SlowRegistry, NodeBalance, asyncio.Task[Any]]:
    """A node whose sign of life is on its way."""
    registry = SlowRegistry(client)
    node = NodeBalance(registry, "slow", PARTITIONS, lease_ms=LEASE_MS, settle_ms=SETTLE_MS)
    looking = asyncio.create_task(node.look())
    await registry.begun.wait()
    return registry, node, looking


def test_a_node_that_leaves_while_it_gives_a_sign_of_life_is_gone() -> None:
    """The sign that is on its way does not come after the farewell, nor does another one."""

    async def play(url: str) -> None:
        async with _client(url) as client:
            registry, node, looking = await _node_that_looks(client)
            leaving = asyncio.create_task(node.leave())
            await asyncio.sleep(0)
            registry.may_go_on.set()
            await asyncio.gather(looking, leaving)
            await node.look()
            assert await client.hkeys(Keys(0).nodes) == []

    with redis_server() as url:
        asyncio.run(play(url))


def test_leaving_does_not_wait_for_a_redis_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops has chats to finish; the entry is over with the lease."""
    monkeypatch.setattr("actors.supervisor.node_balance.LEAVE_S_MAX", 0.05)

    async def play(url: str) -> None:
        async with _client(url) as client:
            registry, node, looking = await _node_that_looks(client)
            async with asyncio.timeout(30):
                await node.leave()
            registry.may_go_on.set()
            await looking

    with redis_server() as url:
        asyncio.run(play(url))


def test_a_node_that_still_starts_is_no_node_yet() -> None:
    """Alone it bids for all; beside others it leads only what they leave, until it is able."""

    async def play(url: str) -> None:
        async with _client(url) as client:
            able = False
            registry = NodeRegistry(client, "starting", 9, "h")
            starting = NodeBalance(
                registry, "starting", PARTITIONS,
                lease_ms=LEASE_MS, settle_ms=SETTLE_MS, is_able=lambda: able,
            )  # fmt: skip
            await starting.look()
            assert _first(starting) == set(range(PARTITIONS))
            await _node(client, "one", Clock()).look()
            await starting.look()
            assert _first(starting) == set()
            able = True
            await starting.look()
            assert len(_first(starting)) == PARTITIONS // 2

    with redis_server() as url:
        asyncio.run(play(url))


@pytest.mark.parametrize("leaves", [True, False])
def test_while_redis_is_away_what_was_known_stays(leaves: bool) -> None:
    async def play() -> None:
        with redis_server() as url:
            client = connect_async(url)
            one, two = _node(client, "one", Clock()), _node(client, "two", Clock())
            await one.look()
            await two.look()
            await one.look()
            before = _first(one)
        await one.look()
        if leaves:
            await one.leave()
        assert _first(one) == before
        assert len(before) == PARTITIONS // 2
        await client.aclose()

    asyncio.run(play())
