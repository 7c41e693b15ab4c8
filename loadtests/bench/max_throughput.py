"""The maximum: what one pipelined client can push through the same commit function.

The commits are made before, by the code that the actors decide with, and are sent as bytes, some
calls ahead of their answers. The server is the daemon's own, with the same settings.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import redis

from actors.chat.account_batch import batches_by_account
from actors.chat.commit_builder import CommitContext
from actors.messages import Task
from loadtests.bench.wire import Wire, encode
from loadtests.bench.workload_model import EncodedWorkload
from loadtests.common.servers import queue_server
from meterd.rules.commands import Command, parse_entry
from meterd.rules.model import Account, Policy
from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.client import connect
from persistence.redis.command_stream import AHEAD_MS_MAX
from persistence.redis.commit import Limits, pack_limits
from persistence.redis.committer import groups_of
from persistence.redis.functions import function_name, load_functions

BATCH: Final = 1_000
"""Entries read at once, as the daemon does by default."""
CALLS_AHEAD: Final = 32
LEASE_MS: Final = 10_000_000

Memory = dict[str, tuple[str, Account]]


class CommitRefusedError(Exception):
    """A commit was not taken: what was pushed was not what the daemon pushes."""


class Decider:
    """Decides commands as an actor does, and keeps the commits instead of sending them."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        """Acquire the lease on an empty server."""
        self._client = client
        self._keys = keys
        load_functions(client)
        client.xgroup_create(keys.commands, GROUP, id="0", mkstream=True)
        self._leader, epoch = _acquire_lease(client, keys)
        self._writer = CommitContext(
            actor="chat-1", epoch=epoch, policy=Policy(), policy_id="0" * 16, limits=Limits()
        )
        self._accounts: Memory = {}
        self._owners: dict[str, str] = {}

    @property
    def head(self) -> tuple[str | bytes, ...]:
        """What stands before the commits in a call."""
        writer = self._writer
        limits = pack_limits(writer.limits)
        return (
            "FCALL", function_name("commit_all"), "1", self._keys.commands,
            writer.actor, writer.epoch, limits,
        )  # fmt: skip

    def decide(self) -> Iterator[list[bytes]]:
        """The commits for all that waits in the stream, batch by batch."""
        while tasks := self._read():
            yield [self._commit(batch) for batch in batches_by_account(tasks)]

    def _read(self) -> list[Task]:
        answer: Any = self._client.fcall(
            function_name("read"), 1, self._keys.commands, self._leader, ">", BATCH, AHEAD_MS_MAX
        )
        return [self._task(parse_entry(entry.decode(), fields)) for entry, fields in answer[1]]

    def _task(self, command: Any) -> Task:
        assert isinstance(command, Command), "the workload makes no commands that are none"
        if command.user_id and command.chat_id:
            self._owners[command.chat_id] = command.user_id
        return Task(command.user_id or self._owners[command.chat_id], command)

    def _commit(self, batch: Any) -> bytes:
        before = self._accounts.get(batch.user, ("", Account(batch.user)))
        packed: bytes | None = batch.decide(self._writer, before, {})
        assert packed is not None, "the workload's commands can be decided"
        self._accounts[batch.user] = batch.run.applied, batch.run.account
        return packed


def _acquire_lease(client: redis.Redis, keys: Keys) -> tuple[str, str]:
    """Become supervisor and chat actor; returns the epochs of both."""
    answer: Any = client.fcall(function_name("acquire_lease"), 1, keys.commands, "bench", LEASE_MS)
    leader = answer[1].decode()
    client.fcall(function_name("confirm_integrity"), 1, keys.commands, "bench", leader, "bench")
    granted: Any = client.fcall(function_name("issue_epoch"), 1, keys.commands, leader, "chat-1")
    return leader, granted.decode()


def push(wire: Wire, head: tuple[str | bytes, ...], batches: Sequence[Sequence[bytes]]) -> float:
    """Push commits through the commit function; returns how many seconds that took."""
    calls = [encode(*head, *group) for batch in batches for group in groups_of(batch)]
    began_s = time.perf_counter()
    verdicts = [verdict for answer in _pipelined(wire, calls) for verdict in answer]
    took_s = time.perf_counter() - began_s
    bad = [verdict for verdict in verdicts if verdict != [b"ok"]]
    if bad:
        raise CommitRefusedError(f"{len(bad)} commits, for example {bad[0]}")
    return took_s


def _pipelined(wire: Wire, calls: Sequence[bytes]) -> Iterator[Any]:
    wire.say(calls[:CALLS_AHEAD])
    for i in range(len(calls)):
        yield wire.hear(1)[0]
        wire.say(calls[i + CALLS_AHEAD : i + CALLS_AHEAD + 1])


def measure_max_throughput(chats: int, commands: int) -> float:
    """Commands a second whose commits one client can push.

    A batch's commands of one account share a commit, as they do in the daemon: with at least as
    many chats as a batch has commands, each has its own.
    """
    workload, keys = EncodedWorkload("p"), Keys()
    with queue_server() as (url, _), contextlib.closing(connect(url)) as client, Wire(url) as wire:
        decider = Decider(client, keys)
        wire.blast(workload.open(chats))
        push(wire, decider.head, list(decider.decide()))
        wire.blast(workload.toggles(commands, reply_to="bench"))
        return commands / push(wire, decider.head, list(decider.decide()))
