"""A daemon with four partitions: each user's commands in one stream, and all of it exact."""

import asyncio
import contextlib
import itertools
import json
import os
import platform
import re
import signal
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Any, Final

import pytest
import redis

from daemon.top.look import Watch
from loadtests.common.live import LiveDaemon, live_daemon
from meterd import (
    AsyncEvents,
    AsyncMeter,
    Event,
    ExceedsCostError,
    Meter,
    UnknownChatError,
    UserMismatchError,
)
from meterd.redis_servers import RedisServers
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys
from persistence.redis.client import RedisClients
from tests.acceptance.four_partitions import PARTITIONS, states
from tests.acceptance.partition_traffic import PartitionTraffic

pytestmark = [pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(300)]

REPLY_TO: Final = "partitions"
STALL_S: Final = 6.0
"""Less than what an actor may be silent before it is replaced (``actors.call_timeout_ms``)."""

Log = list[tuple[str, dict[str, str]]]


@pytest.fixture(scope="module")
def daemon() -> Iterator[LiveDaemon]:
    with live_daemon(METERD_PARTITIONS=str(PARTITIONS), METERD_HTTP__ENABLED="0") as running:
        running.until(lambda: states(running) == ["ready"] * PARTITIONS, 60)
        yield running


def _users(number: int, prefix: str) -> list[str]:
    """So many users of each partition."""
    found: list[list[str]] = [[] for _ in range(PARTITIONS)]
    for user in (f"{prefix}-{n}" for n in itertools.count()):
        mine = found[partition_of(user, PARTITIONS)]
        if len(mine) < number:
            mine.append(user)
        if all(len(users) == number for users in found):
            return [user for users in found for user in users]
    raise AssertionError("there are users in each partition")


def _send(client: redis.Redis, partition: int, **fields: str) -> str:
    sent: Any = {**fields, "reply_to": REPLY_TO}
    entry: Any = client.xadd(Keys(partition).commands, sent)
    return str(entry.decode())


def _lives(client: redis.Redis, users: list[str]) -> dict[str, tuple[str, str]]:
    """A life of each user, and the same to the next partition; id → entry, expected outcome."""
    expected: dict[str, tuple[str, str]] = {}

    def send(partition: int, outcome: str, **fields: str) -> None:
        expected[f"{partition}/{fields['id']}"] = _send(client, partition, **fields), outcome

    for user in users:
        right, chat = partition_of(user, PARTITIONS), f"chat-{user}"
        wrong = (right + 1) % PARTITIONS
        who = {"chat_id": chat, "user_id": user}
        send(right, "ok", type="top_up", id=f"t-{user}", user_id=user, amount="5")
        send(wrong, "wrong_partition", type="top_up", id=f"t-{user}", user_id=user, amount="5")
        send(right, "ok", type="start", id=f"s-{user}", advisor_id="v", rate="60", **who)
        send(right, "invalid_command", type="pause", id=f"p-{user}", chat_id=chat)
        send(wrong, "wrong_partition", type="end", id=f"e-{user}", **who)
        send(right, "ok", type="end", id=f"e-{user}", **who)
    return expected


def _replies(client: redis.Redis) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for number in range(PARTITIONS):
        entries: Any = client.xrange(Keys(number).reply(REPLY_TO))
        for _, fields in entries:
            reply = {name.decode(): value.decode() for name, value in fields.items()}
            found[f"{number}/{reply['id']}"] = reply
    return found


def test_each_users_commands_are_handled_in_one_stream(daemon: LiveDaemon) -> None:
    """What stands in another one is named ``wrong_partition``; the books are exact in all."""
    users = _users(5, "life")
    with daemon.client() as client:
        expected = _lives(client, users)
        daemon.until_handled()
        replies = _replies(client)
        told = {key: (replies[key]["entry"], replies[key]["outcome"]) for key in expected}
        assert told == expected
        wrong = [r["message"] for r in replies.values() if r["outcome"] == "wrong_partition"]
        assert len(wrong) == 2 * len(users)
        assert all(":commands" in message for message in wrong)
        _assert_as_folded(client, users)
    audit = daemon.run("audit")
    assert audit.returncode == 0, audit.stdout
    assert f"{len(users)} users" in audit.stdout


def _assert_as_folded(client: redis.Redis, users: list[str]) -> None:
    """Records in Postgres equal the fold of each stream."""
    for number in range(PARTITIONS):
        entries: Any = client.xrange(Keys(number).commands)
        assert entries, "there are users in each partition"
        for user in users:
            if partition_of(user, PARTITIONS) == number:
                assert client.get(Keys(number).wallet(user)) is not None
            else:
                assert client.get(Keys(number).wallet(user)) is None


def test_the_status_is_that_of_all(daemon: LiveDaemon) -> None:
    """Open chats are added up, and each partition is there with a supervisor's epoch."""
    users = _users(1, "open")
    with daemon.client() as client:
        for user in users:
            right, who = partition_of(user, PARTITIONS), {"user_id": user}
            _send(client, right, type="top_up", id=f"t-{user}", amount="5", **who)
            start = {"type": "start", "id": f"s-{user}", "chat_id": user, "advisor_id": "v"}
            _send(client, right, rate="0.001", **start, **who)
        daemon.until_handled()
    daemon.until(lambda: daemon.status()["open_chats"] == PARTITIONS)
    status = daemon.status()
    assert [one["partition"] for one in status["partitions"]] == [0, 1, 2, 3]
    assert [one["open_chats"] for one in status["partitions"]] == [1, 1, 1, 1]
    assert all(one["epoch"] for one in status["partitions"])
    names = [actor["name"] for actor in status["actors"]]
    assert len(set(names)) == len(names) >= PARTITIONS
    shown = daemon.run("status")
    assert shown.returncode == 0, shown.stdout
    with (
        RedisClients(RedisServers(daemon.redis_url)) as clients,
        contextlib.closing(daemon.engine().connect()) as connection,
    ):
        frame = Watch(clients, connection.engine).look()
    assert {chat.snapshot["chat_id"] for chat in frame.chats} >= set(users), "of each partition"


def test_who_sends_by_hand_need_not_know_the_partition(daemon: LiveDaemon) -> None:
    """Not even the user, while Redis knows whose the chat is; elsewhere it has to be said."""
    for user in _users(1, "hand"):
        told = daemon.run("send", "top_up", f"user_id={user}", "amount=5", "--json")
        assert json.loads(told.stdout)["outcome"] == "ok", told.stderr
        start = (f"chat_id={user}", f"user_id={user}", "advisor_id=v", "rate=0.001")
        assert daemon.run("send", "start", *start).returncode == 0
        ended = daemon.run("send", "end", f"chat_id={user}", "--json")
        assert json.loads(ended.stdout)["snapshot"]["user_id"] == user, ended.stderr
    unknown = daemon.run("send", "end", "chat_id=nobodys")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "No partition knows the chat nobodys" in unknown.stderr


def _meter(daemon: LiveDaemon) -> Any:
    return Meter(daemon.redis_url, daemon.postgres_url)


def test_a_client_finds_the_partitions_by_itself(daemon: LiveDaemon) -> None:
    """Commands, snapshots, wallets and replies, whether or not the caller names the user."""
    users, meter = _users(1, "client"), _meter(daemon)
    with meter:
        with ThreadPoolExecutor(PARTITIONS) as threads:
            topped = list(threads.map(lambda user: meter.top_up(user, 5, id="same"), users))
        assert [reply.snapshot.user_id for reply in topped] == users, "an id counts in a partition"
        for user in users:
            meter.start(f"c-{user}", user, "v", rate="0.001")
            assert meter.pause(f"c-{user}").snapshot.user_id == user
            assert meter.enqueue.resume(f"c-{user}").entry
            assert meter.snapshot(f"c-{user}").user_id == user
            assert meter.end(f"c-{user}", user_id=user).snapshot.status == "ended"
            with pytest.raises(ExceedsCostError):
                meter.refund(f"c-{user}", 5)
            assert meter.wallet(user).balance == 5 - meter.snapshot(f"c-{user}").cost
        with pytest.raises(UserMismatchError):
            meter.pause(f"c-{users[0]}", user_id=users[1])
        with pytest.raises(UnknownChatError, match="say whose it is") as unknown:
            meter.pause("nobodys", id="i")
        assert (unknown.value.id, unknown.value.reply) == ("i", None)
        assert meter.snapshot("nobodys").status == "not_started"


def test_a_client_follows_the_events_of_all_partitions(daemon: LiveDaemon) -> None:
    """Each once, a user's in order, and from any place on; one user's only, if asked for."""
    users = _users(3, "events")

    async def both(after: str) -> list[Event]:
        async with AsyncMeter(daemon.redis_url) as meter, meter.events(after) as events:
            return [event async for _, event in zip_async(2 * 3 * PARTITIONS, events)]

    with (
        Meter(daemon.redis_url) as meter,
        meter.events() as events,
        meter.events(user_id=users[0]) as mine,
    ):
        begin = events.after
        assert len(begin.split(",")) == PARTITIONS
        for _ in range(2):
            for user in users:
                meter.top_up(user, 1)
        seen = [next(events) for _ in range(2 * len(users))]
        for user in users:
            assert [one.seq for one in seen if one.user_id == user] == [1, 2]
        assert [next(mine).seq for _ in range(2)] == [1, 2]
        again = asyncio.run(both(begin))
        key = attrgetter("user_id", "seq", "event", "at", "id")
        assert sorted(map(key, again)) == sorted(map(key, seen))
        meter.top_up(users[0], 1)
        with meter.events(events.after) as rest:
            assert next(rest).seq == 3
        with pytest.raises(ValueError, match="names 2 places; there are 4 partitions"):
            next(meter.events("1-0,2-0"))


async def zip_async(count: int, events: AsyncEvents) -> AsyncIterator[tuple[int, Event]]:
    """So many events, numbered."""
    for number in range(count):
        yield number, await anext(events)


def test_who_looks_at_one_partition_says_which(daemon: LiveDaemon) -> None:
    """Dead letters and the clock are each partition's own."""
    with daemon.client() as client:
        entry = _send(client, 2, type="nonsense")
        daemon.until_handled()
    for command in (("dead", "list"), ("clock", "show")):
        asked = daemon.run(*command)
        assert (asked.returncode, asked.stdout) == (2, "")
        assert "say which one: --partition 0 to 3" in asked.stderr
        assert daemon.run(*command, "--partition", "4").returncode == 2
        assert daemon.run(*command, "--partition", "2").returncode == 0
    letters = json.loads(daemon.run("dead", "list", "--partition", "2", "--json").stdout)
    assert entry in {one["entry"] for one in letters}
    others = json.loads(daemon.run("dead", "list", "--partition", "3", "--json").stdout)
    assert entry not in {one["entry"] for one in others}


def test_another_number_of_partitions_is_refused(daemon: LiveDaemon) -> None:
    """Both numbers are named, and nothing starts; the daemon that works is not disturbed."""
    servers = {
        "METERD_REDIS__URL": daemon.redis_url,
        "METERD_POSTGRES__URL": daemon.postgres_url,
        "METERD_HTTP__ENABLED": "0",
        "METERD_PARTITIONS": "2",
    }
    other = LiveDaemon(daemon.home.parent / "other", servers)
    refused = other.run("up")
    assert refused.returncode != 0
    assert "partitions is 2, and the data in Redis was made with 4" in refused.stderr
    assert states(daemon) == ["ready"] * PARTITIONS


@pytest.mark.slow
def test_actors_and_recorders_that_die_are_replaced_in_their_partition(daemon: LiveDaemon) -> None:
    """Everything goes on, and the books are exact."""
    users = _users(2, "killed")
    before = daemon.status()
    with daemon.client() as client:
        expected = _lives(client, users)
        for actor in before["actors"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(actor["pid"], signal.SIGKILL)
        daemon.until_handled(120)
        replies = _replies(client)
        told = {key: (replies[key]["entry"], replies[key]["outcome"]) for key in expected}
        assert told == expected
    daemon.until(lambda: states(daemon) == ["ready"] * PARTITIONS)
    daemon.until(lambda: daemon.status()["actor_restarts"] >= PARTITIONS)
    assert daemon.run("audit").returncode == 0


@pytest.mark.slow
def test_what_all_partitions_have_lost_is_rebuilt_in_all(daemon: LiveDaemon) -> None:
    """Each says that it has lost state, bills nothing, and goes on by itself after a recovery."""
    users = _users(2, "lost")
    with daemon.client() as client:
        _lives(client, users)
        daemon.until_handled()
        client.flushall()
        daemon.until(lambda: _statuses(client) == ["lost"] * PARTITIONS, 60)
        recovered = daemon.run("recover", "--by", "ann")
        assert recovered.returncode == 0, recovered.stderr
        assert [f"partition       {n}" in recovered.stdout for n in range(4)] == [True] * 4
        daemon.until(lambda: states(daemon) == ["ready"] * PARTITIONS, 60)
        again = _lives(client, _users(2, "after"))
        daemon.until_handled()
        replies = _replies(client)
        told = {key: (replies[key]["entry"], replies[key]["outcome"]) for key in again}
        assert told == again
    audit = daemon.run("audit")
    assert audit.returncode == 0, audit.stdout


def _statuses(client: redis.Redis) -> list[str]:
    """As published: the layout is gone with the rest."""
    found: list[str] = []
    for number in range(PARTITIONS):
        raw: Any = client.get(Keys(number).status)
        found.append(json.loads(raw)["state"] if raw else "")
    return found


def test_status_names_the_machine_of_each_partition(daemon: LiveDaemon) -> None:
    """To people and to programs."""
    lines = daemon.status()["partitions"]
    assert [line["host"] for line in lines] == [platform.node()] * PARTITIONS
    told = daemon.run("status").stdout
    for number in range(PARTITIONS):
        assert re.search(rf"^\W*{number}\W+ready\W+{platform.node()}\b", told, re.MULTILINE), told


@pytest.mark.slow
def test_a_stalled_partition_leaves_the_others_alone(daemon: LiveDaemon) -> None:
    """While its chat actor is stopped nothing of it is answered, and everything of the others."""
    stalled, others = 1, (0, 2, 3)
    with daemon.client() as client, PartitionTraffic(client, PARTITIONS) as traffic:
        assert traffic.answered() == PARTITIONS
        status: Any = client.get(Keys(stalled).status)
        pids = [actor["pid"] for actor in json.loads(status)["actors"] if actor["pid"]]
        calm_from_s = time.monotonic()
        time.sleep(STALL_S)
        calm_s = [wait_s for number in others for wait_s in traffic.waits_s(number, calm_from_s)]
        stalled_from_s = time.monotonic()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(STALL_S)
        waits_s = {number: traffic.waits_s(number, stalled_from_s) for number in range(PARTITIONS)}
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        assert traffic.answered() == PARTITIONS
    stall_s = [wait_s for number in others for wait_s in waits_s[number]]
    print(
        f"p99 of the others: {_p99_ms(calm_s):.0f} ms before, {_p99_ms(stall_s):.0f} ms meanwhile"
    )
    assert len(waits_s[stalled]) <= 1, "what was under way when it stopped"
    assert len(stall_s) > len(calm_s) / 2
    assert max(stall_s) < STALL_S / 2


def _p99_ms(waits_s: list[float]) -> float:
    return statistics.quantiles(waits_s, n=100)[98] * 1000
