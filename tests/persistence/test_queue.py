"""Reading the queue: in order, by the leader alone, without losing what nobody finished."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis

from meterd.rules.commands import Command, InvalidCommand
from meterd.rules.redis_keys import Keys
from persistence.errors import NotLeadingError
from persistence.redis.client import connect_async
from persistence.redis.command_stream import CommandStream, LeaseStatus, ReadNotice
from persistence.redis.functions import source

KEYS = Keys()
LEASE_MS = 60_000


def _with_queues(
    server: str, use: Callable[[CommandStream, CommandStream], Awaitable[None]]
) -> None:
    async def act() -> None:
        client = connect_async(server)
        first, second = CommandStream(client, KEYS, "first"), CommandStream(client, KEYS, "second")
        await first.create_group()
        await use(first, second)
        await client.aclose()

    asyncio.run(act())


async def _lead(queue: CommandStream) -> None:
    """Lead, and find that Redis remembers everything."""
    await queue.acquire_lease(LEASE_MS)
    assert await queue.confirm_integrity("m")


def _settle(client: redis.Redis, entry: str = "*") -> str:
    added: Any = client.xadd(KEYS.commands, {"type": "settle", "user_id": "u"}, id=entry)
    return str(added.decode())


def test_only_one_leads_until_it_resigns_or_its_lease_ends(
    server: str, client: redis.Redis
) -> None:
    async def use(first: CommandStream, second: CommandStream) -> None:
        assert (await first.acquire_lease(LEASE_MS)).epoch
        refused = await second.acquire_lease(LEASE_MS)
        assert refused.epoch == ""
        assert 0 < refused.wait_ms <= LEASE_MS
        await first.resign()
        assert (await second.acquire_lease(LEASE_MS)).epoch

    _with_queues(server, use)


def test_who_was_superseded_reads_nothing_and_grants_nothing(
    server: str, client: redis.Redis
) -> None:
    """Otherwise it could swallow entries out of their order."""

    async def use(first: CommandStream, second: CommandStream) -> None:
        await _lead(first)
        await client_forgets(client)
        await _lead(second)
        entry = _settle(client)
        with pytest.raises(NotLeadingError):
            await first.new(10)
        with pytest.raises(NotLeadingError):
            await first.issue_epoch("chat-1")
        assert await first.renew_lease(LEASE_MS) is LeaseStatus.LOST
        assert [e.entry for e in (await second.new(10)).entries] == [entry]

    _with_queues(server, use)


async def client_forgets(client: redis.Redis) -> None:
    """The lease ends."""
    client.delete(KEYS.leader)


def test_what_was_delivered_and_not_finished_comes_again_in_order(
    server: str, client: redis.Redis
) -> None:
    async def use(first: CommandStream, second: CommandStream) -> None:
        await _lead(first)
        sent = [_settle(client) for _ in range(5)]
        assert [e.entry for e in (await first.new(3)).entries] == sent[:3]
        await first.resign()
        await _lead(second)
        assert [e.entry for e in (await second.pending("0", 2)).entries] == sent[:2]
        assert [e.entry for e in (await second.pending(sent[1], 10)).entries] == sent[2:3]
        assert [e.entry for e in (await second.new(10)).entries] == sent[3:]

    _with_queues(server, use)


def test_a_field_sent_twice_is_seen_and_a_deleted_entry_is_told(
    server: str, client: redis.Redis
) -> None:
    async def use(first: CommandStream, _second: CommandStream) -> None:
        await _lead(first)
        send: Any = client.execute_command
        send("XADD", KEYS.commands, "*", "type", "settle", "type", "settle")
        gone = _settle(client)
        twice, settle = (await first.new(10)).entries
        assert isinstance(twice, InvalidCommand)
        assert "twice" in twice.reason
        assert isinstance(settle, Command)
        client.xdel(KEYS.commands, gone)
        again = (await first.pending(twice.entry, 10)).entries
        assert isinstance(again[0], InvalidCommand)
        assert again[0].entry == gone

    _with_queues(server, use)


def test_trimming_keeps_what_was_not_handled_and_what_is_young(
    server: str, client: redis.Redis
) -> None:
    async def use(first: CommandStream, _second: CommandStream) -> None:
        await _lead(first)
        for n in range(400):
            _settle(client, f"{1_700_000_000_000 + n}-0")
        entries = (await first.new(300)).entries
        client.xack(KEYS.commands, "meterd", *(e.entry for e in entries[:200]))
        young = _settle(client)
        await first.trim(keep_ms=60_000)
        left: Any = client.xrange(KEYS.commands)
        assert left[0][0].decode() == entries[200].entry
        assert left[-1][0].decode() == young

    _with_queues(server, use)


def test_a_read_whose_answer_was_lost_is_made_up_for_in_order(
    server: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis has delivered the entries, the answer is gone: they come before newer ones."""

    async def use(first: CommandStream, _second: CommandStream) -> None:
        await _lead(first)
        seen = _settle(client)
        assert [e.entry for e in (await first.new(10)).entries] == [seen]
        lost = [_settle(client) for _ in range(3)]
        with monkeypatch.context() as patched:
            patched.setattr(first, "_client", _LosesAnswers(first._client))
            with pytest.raises(redis.ConnectionError):
                await first.new(2)
        newer = _settle(client)
        assert [e.entry for e in (await first.new(10)).entries] == lost[:2]
        assert [e.entry for e in (await first.new(10)).entries] == [lost[2], newer]

    _with_queues(server, use)


def test_who_has_nothing_to_read_waits(server: str, client: redis.Redis) -> None:
    """Also where an earlier life has handled all that is there; and it hears of the next entry."""

    async def use(first: CommandStream, second: CommandStream) -> None:
        await _lead(first)
        handled = [_settle(client) for _ in range(3)]
        assert [e.entry for e in (await first.new(10)).entries] == handled
        client.xack(KEYS.commands, "meterd", *handled)
        await first.resign()
        await _lead(second)
        assert not (await second.pending("0", 10)).entries
        assert not (await second.new(10)).entries
        waiting = asyncio.create_task(second.wait(60_000))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done, "it does not wait"
        newer = _settle(client)
        await waiting
        assert [e.entry for e in (await second.new(10)).entries] == [newer]

    _with_queues(server, use)


@pytest.mark.parametrize("is_notice_lost", [False, True])
def test_a_lost_answer_is_made_up_for_in_a_group_that_was_made_again(
    server: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, is_notice_lost: bool
) -> None:
    """What is read again is behind what had been read before, and comes all the same."""

    async def use(first: CommandStream, _second: CommandStream) -> None:
        await _lead(first)
        sent = [_settle(client) for _ in range(6)]
        assert [e.entry for e in (await first.new(10)).entries] == sent
        client.xgroup_destroy(KEYS.commands, "meterd")

        async def lose() -> None:
            with monkeypatch.context() as patched:
                patched.setattr(first, "_client", _LosesAnswers(first._client))
                with pytest.raises(redis.ConnectionError):
                    await first.new(2)

        if is_notice_lost:
            await lose()
        else:
            assert (await first.new(2)).notice is ReadNotice.RECREATED
        assert [e.entry for e in (await first.new(2)).entries] == sent[:2]
        await lose()
        assert [e.entry for e in (await first.new(10)).entries] == sent[2:4]
        assert [e.entry for e in (await first.new(10)).entries] == sent[4:]

    _with_queues(server, use)


def test_nobody_writes_before_a_leader_has_verified_the_state(
    server: str, client: redis.Redis
) -> None:
    """A Redis that was restarted, or emptied, grants and delivers nothing until it was compared."""

    async def use(first: CommandStream, second: CommandStream) -> None:
        assert not (await first.acquire_lease(LEASE_MS)).is_state_verified
        assert await first.renew_lease(LEASE_MS) is LeaseStatus.UNVERIFIED
        with pytest.raises(NotLeadingError):
            await first.issue_epoch("chat-1")
        assert await first.confirm_integrity("m")
        assert await first.renew_lease(LEASE_MS) is LeaseStatus.VERIFIED
        await first.resign()
        assert (await second.acquire_lease(LEASE_MS)).is_state_verified, (
            "nothing has happened to this server"
        )
        client.function_load(source(), replace=True)  # a restart loads the functions again, too
        assert await second.renew_lease(LEASE_MS) is LeaseStatus.UNVERIFIED
        with pytest.raises(NotLeadingError):
            await second.new(1)
        assert not await second.confirm_integrity("another"), "this is not the memory that it was"
        assert await second.confirm_integrity("m")

    _with_queues(server, use)


class _LosesAnswers:
    """Does what it is told and loses the answer."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def fcall(self, *args: Any) -> None:
        await self._client.fcall(*args)
        raise redis.ConnectionError("the answer was lost")
