"""What grows in Redis has a bound, and what goes at the bound is counted: no outcome is lost."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from actors.chat.commit_builder import AccountView, CommitBuilder, CommitContext
from actors.messages import Task
from actors.supervisor.memory_use import MEMORY_KINDS, MemoryMonitor, MemoryUse
from meterd.rules.commands import InvalidCommand, parse_entry
from meterd.rules.model import Account, Policy
from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.client import connect_async
from persistence.redis.commit import Limits, pack_commit, pack_limits
from persistence.redis.functions import function_name
from persistence.redis.id_counts import HOUR_MS, count_remembered, first_hour_without
from persistence.redis.rebuild import Rebuild

KEYS = Keys()
EPOCH = "7"


class Writer:
    """Commits one command after the other, each of a user of its own."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.number = 0
        _, self.epoch, _ = client.fcall(
            function_name("acquire_lease"), 1, KEYS.commands, "t", 60_000
        )
        client.fcall(function_name("confirm_integrity"), 1, KEYS.commands, "t", self.epoch, "m")
        client.hset(KEYS.epochs, "a", EPOCH)

    def trim(self) -> None:
        """What the leader does once a second."""
        self.client.fcall(function_name("trim"), 1, KEYS.commands, self.epoch, "0-1")

    def top_up(self, limits: Any, *reply_to: str) -> None:
        """One top-up for each of these reply streams, all in one call."""
        self._commit(limits, [self._task(name) for name in reply_to])

    def nonsense(self, limits: Any, *texts: str) -> None:
        """An entry that can't be a command for each text, in a call of its own."""
        for text in texts:
            self._commit(limits, [self._sent(type="nonsense", id="n", text=text)])

    def _task(self, reply_to: str) -> Task:
        self.number += 1
        return self._sent(
            type="top_up", id=f"k{self.number}", user_id=f"u{self.number}", amount="5",
            reply_to=reply_to,
        )  # fmt: skip

    def _sent(self, **fields: str) -> Task:
        entry: Any = self.client.xadd(KEYS.commands, fields)  # type: ignore[arg-type]
        self.client.xreadgroup(GROUP, "meterd", {KEYS.commands: ">"})
        parsed = parse_entry(entry.decode(), [p.encode() for pair in fields.items() for p in pair])
        if isinstance(parsed, InvalidCommand):
            return Task("", None, invalid=parsed)
        return Task(fields["user_id"], parsed)

    def _commit(self, limits: Any, tasks: list[Task]) -> None:
        context = CommitContext("a", EPOCH, Policy(), "p", Limits())
        commits = []
        for task in tasks:
            run = CommitBuilder(context, AccountView("", Account(task.user), {}, {}))
            run.add(task)
            commits.append(pack_commit(run.commit()))
        answers: Any = self.client.fcall(
            function_name("commit_all"), 1, KEYS.commands, "a", EPOCH, limits, *commits
        )
        assert answers == [[b"ok"]] * len(tasks)

    def replies(self) -> dict[str, int]:
        """How many replies each reply stream has."""
        names = [key.decode() for key in self.client.keys(KEYS.reply("*"))]  # type: ignore[union-attr]
        return {name.rpartition(":")[2]: self.client.xlen(name) for name in names}

    def weight(self, key: str) -> int:
        """Bytes of memory that a key takes."""
        return self.client.memory_usage(key) or 0

    def counted(self, name: str) -> int:
        """What the library has counted."""
        found: Any = self.client.hget(KEYS.progress, name)
        return int(found or 0)


@pytest.fixture
def writer(client: redis.Redis) -> Writer:
    client.xgroup_create(KEYS.commands, GROUP, id="0", mkstream=True)
    return Writer(client)


def test_no_more_reply_streams_are_made_than_there_may_be(writer: Writer) -> None:
    """Within a call and over calls. Those that are there get their replies, and every command has
    its effect: its outcome is remembered with its id."""
    limits = pack_limits(Limits(reply_streams_max=3))
    writer.top_up(limits, "a", "b", "a")
    writer.top_up(limits, "c", "d", "c", "d", "a")
    writer.top_up(limits, "e", "b")
    assert writer.replies() == {"a": 3, "b": 2, "c": 2}
    assert writer.counted("unanswered") == 3
    assert writer.client.exists(*(KEYS.id(f"k{n}") for n in range(1, 11))) == 10
    assert writer.client.xlen(KEYS.outbox) == 10


def test_a_reply_stream_that_has_expired_makes_room(writer: Writer) -> None:
    """By its own life, which each reply begins anew."""
    limits = pack_limits(Limits(reply_streams_max=2, reply_ttl_ms=60))
    lasting = pack_limits(Limits(reply_streams_max=2))
    writer.top_up(limits, "a", "b")
    writer.top_up(lasting, "a")
    while writer.client.exists(KEYS.reply("b")):
        pass
    writer.top_up(lasting, "c", "d")
    assert writer.replies() == {"a": 2, "c": 1}
    assert writer.counted("unanswered") == 1


def test_reply_streams_that_have_expired_are_counted_no_more(writer: Writer) -> None:
    """Within a second, also where nobody asks for a new one."""
    writer.top_up(pack_limits(Limits(reply_ttl_ms=30)), "a", "b")
    writer.top_up(pack_limits(Limits()), "a")
    while writer.client.exists(KEYS.reply("b")):
        pass
    time.sleep(0.03)  # until the time is over that "a" had at first
    writer.trim()
    assert writer.client.zrange(KEYS.reply_streams, 0, -1) == [b"a"]
    score = writer.client.zscore(KEYS.reply_streams, "a")
    assert score is not None
    assert score > _now_ms(writer.client) + 60_000


def test_of_dead_letters_the_oldest_go_by_number_and_by_bytes(writer: Writer) -> None:
    """Each that goes is counted; the newest one is there whatever its size."""
    few = pack_limits(Limits(dead_entries_max=100))
    writer.nonsense(few, *map(str, range(250)))
    kept = writer.client.xlen(KEYS.dead)
    assert 100 <= kept <= 200
    assert kept + writer.counted("dead_dropped") == 250
    small = pack_limits(Limits(dead_bytes_max=65_536))
    writer.nonsense(small, *(chr(97 + n) * 9_000 for n in range(20)))
    assert writer.weight(KEYS.dead) <= 65_536
    left: Any = writer.client.xrevrange(KEYS.dead)
    assert "t" * 9_000 in str(left[0])
    assert 1 < len(left) < 20
    assert len(left) + writer.counted("dead_dropped") == 270
    writer.nonsense(pack_limits(Limits(dead_bytes_max=1)), "last")
    assert writer.client.xlen(KEYS.dead) == 1


def test_a_user_that_may_not_count_reply_streams_is_no_reason_to_stop(
    writer: Writer, client: redis.Redis
) -> None:
    """As under an ACL of an earlier version: commands have their effect and their replies."""
    client.set(KEYS.reply_streams, "not a sorted set")
    writer.top_up(pack_limits(Limits()), "a")
    assert writer.replies() == {"a": 1}


def test_ids_are_counted_by_the_hour_in_which_they_expire(writer: Writer) -> None:
    """As many as there are, until they have expired."""
    before_ms = _now_ms(writer.client)
    writer.top_up(pack_limits(Limits()), "a", "b", "a")
    writer.nonsense(pack_limits(Limits()), "x")
    writer.trim()
    writer.trim()
    hours: Any = writer.client.hgetall(KEYS.id_counts)
    over, number = count_remembered(hours, before_ms)
    assert (over, number) == ([], 3)
    until_ms = before_ms + Limits().credit_id_ttl_ms
    assert count_remembered(hours, until_ms - 1)[1] == 3
    assert count_remembered(hours, until_ms + 2 * HOUR_MS)[1] == 0


@given(st.integers(0, 10**13), st.integers(0, 10**10))
def test_an_hour_is_over_only_when_its_ids_are_forgotten(until_ms: int, later_ms: int) -> None:
    """And at most an hour later."""
    hours = {str(first_hour_without(until_ms)).encode(): b"2"}
    number = count_remembered(hours, until_ms + later_ms)[1]
    assert number == 2 or later_ms > 0
    assert number == 0 or later_ms <= HOUR_MS


def _now_ms(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1_000 + int(micros) // 1_000


@contextlib.contextmanager
def _log_folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_bytes(bytes(700))
    (folder / "b.log.1").write_bytes(bytes(300))
    yield folder


def _looked(url: str, folder: Path | None) -> MemoryUse:
    async def look() -> MemoryUse:
        async with contextlib.aclosing(connect_async(url)) as client:
            monitor = MemoryMonitor(client, KEYS, folder)
            await monitor.look_if_due()
            return monitor.last

    return asyncio.run(look())


def test_memory_is_told_by_kind(writer: Writer, server: str, tmp_path: Path) -> None:
    """Every kind, ids and reply streams by number and weight; hours that are over go."""
    with _log_folder(tmp_path) as folder:
        empty = _looked(server, folder)
        assert empty.kinds.keys() == set(MEMORY_KINDS)
        writer.top_up(pack_limits(Limits()), "a", "b", "a")
        writer.nonsense(pack_limits(Limits()), "x")
        writer.trim()
        writer.client.hset(KEYS.id_counts, "5", 9)
        use = _looked(server, folder)
    assert (use.remembered_ids, use.reply_streams, use.log_bytes) == (3, 2, 1_000)
    assert not writer.client.hexists(KEYS.id_counts, "5")
    ids = sum(writer.weight(KEYS.id(f"k{n}")) for n in (1, 2, 3))
    assert use.kinds["ids"] == 3 * (ids // 3)
    assert use.kinds["replies"] == sum(writer.weight(KEYS.reply(name)) for name in "ab")
    assert use.kinds["dead"] == writer.weight(KEYS.dead) > 0
    assert use.kinds["refused"] == 0
    assert use.used_bytes > empty.used_bytes - 2**20 > 0


def test_a_busy_reply_stream_is_not_taken_for_all_of_them(writer: Writer, server: str) -> None:
    """One of a backend at work has thousands of replies, one of a single command has one."""
    limits = pack_limits(Limits())
    writer.top_up(limits, *(f"single-{n}" for n in range(40)))
    for _ in range(10):
        writer.top_up(limits, *["busy"] * 50)
    truth = sum(writer.weight(KEYS.reply(name)) for name in writer.replies())
    use = _looked(server, None)
    assert use.reply_streams == 41
    assert use.kinds["replies"] == pytest.approx(truth, rel=0.1)


def test_what_recover_remembers_is_counted(writer: Writer, client: redis.Redis) -> None:
    """By when it expires; what has expired is neither remembered nor counted."""
    now_ms = _now_ms(client)
    ids = [
        ("a", "x ok", now_ms + 5 * HOUR_MS),
        ("b", "y ok", now_ms + 9),
        ("c", "z ok", now_ms - 9),
    ]
    client.hset(KEYS.id_counts, "500000", 77)
    rebuild = Rebuild(client, KEYS, ended_ttl_ms=HOUR_MS)
    rebuild.begin()
    rebuild.put_ids(ids)
    hours: Any = client.hgetall(KEYS.id_counts)
    assert count_remembered(hours, now_ms)[1] == 2
    assert count_remembered(hours, now_ms + 2 * HOUR_MS)[1] == 1


def test_what_can_not_be_known_stays_as_it_was(writer: Writer, server: str) -> None:
    """A server that refuses the question does not end the maintenance."""
    writer.client.set(KEYS.id_counts, "not a hash")
    assert _looked(server, None) == MemoryUse()
