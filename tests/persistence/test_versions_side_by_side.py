"""Daemons of two versions on one Redis: who may write, whoever of them leads."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pytest
import redis

from actors.chat.timer_service import SettleSender
from meterd.rules.model import Account
from meterd.rules.opening_balance import OpeningEntry, opened, opening_entry
from meterd.rules.redis_keys import GROUP, Keys
from persistence.errors import NotLeadingError, RecorderFencedError, UnverifiedStateError
from persistence.redis.client import connect_async
from persistence.redis.command_stream import CommandStream
from persistence.redis.commit import FENCED, Limits
from persistence.redis.committer import Committer
from persistence.redis.functions import FunctionName, function_name, source
from persistence.redis.opening_balances import Opening, Openings
from persistence.redis.outbox import Outbox
from persistence.redis.published_status import read_status, read_status_async
from persistence.redis.versions import FORMAT, UNVERSIONED, VERSION

pytestmark = pytest.mark.redis

KEYS: Final = Keys()
LEASE_MS: Final = 60_000
OLDER, NEWER = VERSION, VERSION + 1


@pytest.fixture
def both(client: redis.Redis) -> redis.Redis:
    """A Redis with the library of this version and of the next."""
    client.function_load(source(NEWER))
    client.xgroup_create(KEYS.commands, GROUP, id="0", mkstream=True)
    return client


def _library(version: int) -> str:
    """The text of a version's library, as it named itself and its functions."""
    text = source(version)
    if version > UNVERSIONED:
        return text
    named = "'meterd_' .. VERSION .. '_' .. name"
    assert named in text
    return text.replace(f"name=meterd_{version}", "name=meterd").replace(named, "'meterd_' .. name")


class Daemon:
    """A daemon of a version, as far as the library knows it."""

    def __init__(self, client: redis.Redis, version: int, token: str) -> None:
        self._client = client
        self._version = version
        self._token = token
        self.epoch = ""

    def call(self, name: FunctionName, *args: Any) -> Any:
        """Call a function of its version."""
        return self._client.fcall(function_name(name, self._version), 1, KEYS.commands, *args)

    def lead(self) -> str:
        """Acquire the lease of one that has died; returns whether the state is verified."""
        self._client.delete(KEYS.leader)
        _, epoch, verified = self.call("acquire_lease", self._token, LEASE_MS)
        self.epoch = epoch.decode()
        return str(verified.decode())

    def confirm(self) -> None:
        """Confirm that the state is complete."""
        assert self.call("confirm_integrity", self._token, self.epoch, "m") == 1

    def actor(self, name: str) -> str:
        """The epoch of an actor."""
        return str(self.call("issue_epoch", self.epoch, name).decode())


def _packed(user: str, before: str, entry: str) -> bytes:
    """A commit without any entry's own effect but the account's new head."""
    row: Sequence[Any] = [entry, "", "", "", [], [], 1_000]
    return msgspec.msgpack.encode([user, before, f"{entry}|{{}}", 0, "", [], [row], [], "{}", ""])


@pytest.mark.parametrize(("first", "second"), [(OLDER, NEWER), (NEWER, OLDER), (OLDER, OLDER)])
def test_the_leader_before_can_do_nothing_in_whichever_version(
    both: redis.Redis, first: int, second: int
) -> None:
    """Take-over by a newer version, and back by the older one: epochs are keys that they share."""
    before, after = Daemon(both, first, "a"), Daemon(both, second, "b")
    before.lead()
    before.confirm()
    actor = before.actor("chat-1")
    after.lead()
    after.confirm()
    state = {name: both.dump(name) for name in both.keys("*")}
    limits = msgspec.msgpack.encode(Limits())
    commit = before.call("commit_all", "chat-1", actor, limits, _packed("u", "", "1-0"))
    assert commit == [[b"fenced"]]
    assert before.call("renew_lease", "a", before.epoch, LEASE_MS) == 0
    assert before.call("issue_epoch", before.epoch, "chat-1") is None
    assert before.call("confirm_integrity", "a", before.epoch, "m") == 0
    assert before.call("resign", "a") == 0
    assert before.call("trim", before.epoch, "9-0") == 0
    assert before.call("doubt", "chat-1", actor) == 0
    assert before.call("late", "chat-1", actor, "1-0", "") is None
    with pytest.raises(redis.ResponseError, match="FENCED"):
        before.call("read", before.epoch, ">", 1, 5_000)
    with pytest.raises(redis.ResponseError, match="FENCED"):
        before.call("settle", "chat-1", actor, "u", "1-0", 1)
    assert {name: both.dump(name) for name in both.keys("*")} == state
    assert after.actor("chat-1"), "the one that leads goes on"


def test_the_parts_of_an_older_daemon_are_fenced_by_a_newer_leader(both: redis.Redis) -> None:
    """Actor, timers, recorder, supervisor and import of this version; the next one has taken over.

    Each of them worked until then.
    """
    older, newer = Daemon(both, OLDER, "a"), Daemon(both, NEWER, "b")
    older.lead()
    older.confirm()
    epoch, claim = older.actor("chat-1"), older.actor("recorder")
    committer = Committer(both, KEYS, "chat-1", epoch, Limits())
    outbox = Outbox(both, KEYS, 1_000, "recorder", claim)
    assert committer.commit([_packed("u", "", "1-0")])[0].kind != FENCED
    outbox.remove(outbox.read(1, 1))
    made = opened(Account("o"), OpeningEntry(1, 5, 7))
    opening = Opening("", made, opening_entry("o", 1, 5, 7))
    assert Openings(both, KEYS).open([opening]) == [True]

    newer.lead()
    newer.confirm()
    assert committer.commit([_packed("u", "1-0", "2-0")])[0].kind == FENCED
    assert committer.skipped([("2-0", "")]) is None
    with pytest.raises(redis.ResponseError, match="FENCED"):
        SettleSender(both, KEYS, "chat-1", epoch).send_settle([("u", 1, "1-0")])
    with pytest.raises(RecorderFencedError):
        outbox.remove(outbox.read(1, 1))
    with pytest.raises(UnverifiedStateError):
        Openings(both, KEYS).open([opening])
    assert both.get(KEYS.account("u")) == b"1-0|{}"


def test_each_change_of_the_version_compares_anew(both: redis.Redis) -> None:
    """Which is safe; where the version stays the next leader works at once."""
    older, newer = Daemon(both, OLDER, "a"), Daemon(both, NEWER, "b")
    assert older.lead() == "unverified"
    older.confirm()
    assert older.lead() == "verified"
    assert newer.lead() == "unverified"
    newer.confirm()
    assert newer.lead() == "verified"
    newer.actor("chat-1")
    assert newer.lead() == "verified", "what it issues itself is no other version's work"
    assert older.lead() == "unverified"


def test_a_doubt_of_one_version_is_not_forgotten_by_the_other(both: redis.Redis) -> None:
    """PostgreSQL has lost rows while the newer one led: the older one, which had verified the state
    before, may not write without comparing."""
    older, newer = Daemon(both, OLDER, "a"), Daemon(both, NEWER, "b")
    older.lead()
    older.confirm()
    newer.lead()
    newer.confirm()
    assert newer.call("doubt", "recorder", newer.actor("recorder")) == 1
    assert older.lead() == "unverified"
    assert older.call("issue_epoch", older.epoch, "chat-1") is None


def test_a_newer_format_is_not_led(both: redis.Redis, server: str) -> None:
    """Not even by a daemon that has stood by all the while; nothing is written."""
    both.set(KEYS.format, FORMAT + 1)
    before = sorted(both.keys("*"))

    async def bid() -> None:
        client = connect_async(server)
        try:
            with pytest.raises(NotLeadingError, match=f"written in format {FORMAT + 1}"):
                await CommandStream(client, KEYS, "a").acquire_lease(LEASE_MS)
        finally:
            await client.aclose()

    asyncio.run(bid())
    assert sorted(both.keys("*")) == before


def test_the_format_is_raised_by_who_takes_the_lead(both: redis.Redis) -> None:
    both.set(KEYS.format, FORMAT - 1)
    Daemon(both, OLDER, "a").lead()
    assert both.get(KEYS.format) == str(FORMAT).encode()


@pytest.mark.parametrize("leading", [VERSION - 1, VERSION + 1])
def test_the_status_of_another_versions_daemon_is_read_as_it_means_it(
    both: redis.Redis, server: str, leading: int
) -> None:
    """Whether the state is verified is known to the library of the version that leads only."""
    both.function_load(_library(leading), replace=True)
    daemon, status = Daemon(both, leading, "a"), {"state": "ready", "functions": leading}

    def states() -> list[Any]:
        async def ask() -> Any:
            client = connect_async(server)
            try:
                return await read_status_async(client, KEYS)
            finally:
                await client.aclose()

        return [
            (found or {}).get("state") for found in (read_status(both, KEYS), asyncio.run(ask()))
        ]

    daemon.lead()
    daemon.call("publish", json.dumps(status), LEASE_MS)
    assert states() == ["recovering"] * 2
    daemon.confirm()
    assert states() == ["ready"] * 2
    both.function_delete(f"meterd_{VERSION}")
    assert states() == ["ready"] * 2, "a gateway may be upgraded first"
