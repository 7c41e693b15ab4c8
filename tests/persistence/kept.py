"""A history of commits on a server that writes down every byte, and what was there after each."""

import itertools
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import redis

from actors.chat.commit_builder import CommitContext
from actors.chat.timer_service import TimerService
from actors.chat.worker import ChatWorker
from actors.messages import Task
from meterd.rules.commands import InvalidCommand, parse_entry
from meterd.rules.model import Policy
from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.client import connect
from persistence.redis.commit import Limits, unpack_payload
from persistence.redis.functions import function_name, load_functions
from tests.interleavings.traffic import Traffic
from tests.world import World

KEYS = Keys()
DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "yes")
POLICY = Policy(grace_ms=25, warn_ms=(40, 10))
T0 = 1_700_000_000_000

State = dict[str, Any]


class History(NamedTuple):
    """What was there after each commit, and how long the file was then."""

    tasks: list[Task]
    states: list[State]
    ends: list[int]

    def after(self, length: int) -> State:
        """What has to be there if only so much of the file is."""
        return self.states[bisect_right(self.ends, length) - 1]


class Watched:
    """A worker's client that makes one commit at a time, and tells after each."""

    def __init__(self, client: redis.Redis, after: Callable[[], None]) -> None:
        self.mget = client.mget
        self._client = client
        self._after = after
        self._calls: list[Any] = []

    def pipeline(self, transaction: bool) -> "Watched":
        assert not transaction
        self._calls = []
        return self

    def __len__(self) -> int:
        return len(self._calls)

    def fcall(self, *call: Any) -> None:
        self._calls.append(call)

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        return [self._one(call) for call in self._calls]

    def _one(self, call: Any) -> Any:
        answer = self._client.fcall(*call)
        self._after()
        return answer


def write(url: str, folder: Path, rng: random.Random, entries: int) -> History:
    """Send so many entries, deliver them all, then commit what follows from them."""
    with connect(url) as client:
        load_functions(client)
        epoch = lead(client, "before")
        tasks = send(client, rng, entries)
        history = History(tasks, [state(client)], [aof_of(folder).stat().st_size])

        def note() -> None:
            history.states.append(state(client))
            history.ends.append(aof_of(folder).stat().st_size)

        work(Watched(client, note), epoch, tasks, rng)
    return history


def lead(client: redis.Redis, token: str) -> str:
    """Lead as ``token``, verify, and grant an actor its epoch."""
    client.delete(KEYS.leader)
    _, epoch, _ = client.fcall(function_name("acquire_lease"), 1, KEYS.commands, token, 3_600_000)
    assert client.fcall(function_name("confirm_integrity"), 1, KEYS.commands, token, epoch, "kept")
    granted: Any = client.fcall(function_name("issue_epoch"), 1, KEYS.commands, epoch, "a")
    return str(granted.decode())


def work(client: Watched, epoch: str, tasks: list[Task], rng: random.Random) -> None:
    """Commit the tasks in batches, each of one user's commands in a row."""
    writer = CommitContext("a", epoch, POLICY, "kept", Limits())
    idle = TimerService(lambda _: [])
    worker = ChatWorker(cast("redis.Redis", client), KEYS, writer, idle)
    numbers = itertools.count(1)
    for _, row in itertools.groupby(tasks, key=lambda task: task.user):
        left = list(row)
        while left:
            size = rng.randint(1, 3)
            worker.handle(next(numbers), left[:size])
            left = left[size:]


def state(client: redis.Redis) -> State:
    """All that is there, and what is pending."""
    names: list[Any] = sorted(client.keys("*"))
    found = {name.decode(): _value(client, name) for name in names}
    pending: Any = client.xpending_range(KEYS.commands, GROUP, "-", "+", 10_000)
    return {**found, "pending": [each["message_id"] for each in pending]}


def essence(found: State) -> State:
    """What must be the same whoever made it, when, and in how many commits."""
    streams = {k: [fields for _, fields in v] for k, v in found.items() if _is_stream(k)}
    for told in streams.values():
        told.sort(key=lambda fields: fields.get(b"entry", b""))
    fresh = {KEYS.prefix + name for name in ("epoch", "epochs", "leader", "memory", "outbox")}
    kept = {k: v for k, v in found.items() if k not in fresh}
    # When they expire is another moment.
    kept[KEYS.reply_streams] = [name for name, _ in found.get(KEYS.reply_streams, ())]
    rows = _rows(streams.pop(KEYS.outbox))
    return {**kept, **streams, "rows": rows}


def aof_of(folder: Path) -> Path:
    """The file that grows."""
    (path,) = (folder / "appendonlydir").glob("*.incr.aof")
    return path


def _rows(entries: list[dict[bytes, bytes]]) -> list[Any]:
    """What Postgres gets, however it is spread over outbox entries."""
    facts = [unpack_payload(entry[b"facts"]) for entry in entries]
    records = {row.chat_id: row for each in facts for row in each.records}
    return [
        sorted((row for each in facts for row in each.journal), key=lambda row: row.stream_id),
        sorted((row for each in facts for row in each.ledger), key=lambda row: row.entry_id),
        records,
    ]


def _is_stream(name: str) -> bool:
    name = name.removeprefix(KEYS.prefix)
    return name in ("events", "dead", "outbox") or name.startswith("reply:")


def send(client: redis.Redis, rng: random.Random, entries: int) -> list[Task]:
    """Put so many random commands into the queue and take delivery of them."""
    client.xgroup_create(KEYS.commands, GROUP, id="0", mkstream=True)
    traffic, world = Traffic(rng), World(POLICY)
    tasks = []
    for at in itertools.islice(_times(rng), entries):
        fields = traffic.next(at)
        client.xadd(KEYS.commands, fields, id=f"{at}-0")  # type: ignore[arg-type]
        tasks.append(_task(world, f"{at}-0", fields))
    client.xreadgroup(GROUP, "meterd", {KEYS.commands: ">"}, count=entries)
    return tasks


def _times(rng: random.Random) -> Iterator[int]:
    at = T0
    while True:
        at += rng.randint(1, 30)
        yield at


def _task(world: World, entry: str, fields: dict[str, str]) -> Task:
    flat = [part.encode() for pair in fields.items() for part in pair]
    world.feed(entry, flat)
    command = parse_entry(entry, flat)
    if isinstance(command, InvalidCommand):
        return Task("", None, invalid=command)
    return Task(command.user_id or world.owner.get(command.chat_id, ""), command)


def _value(client: redis.Redis, name: bytes) -> Any:
    kind: Any = client.type(name)
    if kind == b"stream":
        return client.xrange(name)
    if kind == b"hash":
        return client.hgetall(name)
    if kind == b"zset":
        return client.zrange(name, 0, -1, withscores=True)
    return client.smembers(name) if kind == b"set" else client.get(name)
