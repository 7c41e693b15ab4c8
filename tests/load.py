"""Random commands of many users with several chats each, sent as backends do, and written down."""

import itertools
import random
import time
from typing import Any, NamedTuple

import redis

from meterd.rules.partitions import ONLY, Partition
from meterd.rules.redis_keys import Keys
from tests.world import World

KEYS = Keys()
PIPELINE = 200

Entry = tuple[str, dict[str, str]]


class Load(NamedTuple):
    """How much of what."""

    users: int
    chats_per_user: int
    seed: int
    name: str = ""
    """Before the names of users, chats and ids, where several send at once."""
    partition: Partition = ONLY
    """The one that all users are in."""


class Sender:
    """Sends random commands and keeps what Redis said it took, in order."""

    def __init__(self, client: redis.Redis, load: Load) -> None:
        self._client = client
        self._load = load
        self._random = random.Random(load.seed)
        names = (f"{load.name}u{number}" for number in itertools.count())
        self._users = list(itertools.islice(filter(load.partition.has, names), load.users))
        self._count = 0
        self._sent: list[dict[str, str]] = []
        self.log: list[Entry] = []

    def begin(self) -> None:
        """Credits for everybody, and every chat started."""
        for user in range(self._load.users):
            amount = self._random.choice(["1", "20", "500"])
            self._add("top_up", user_id=self._user(user), amount=amount)
        for user in range(self._load.users):
            for chat in range(self._load.chats_per_user):
                self._start(user, chat)
        self._flush()

    def send_for(self, seconds: float, per_second: int) -> None:
        """Random commands at a steady pace."""
        began, sent = time.monotonic(), 0
        while sent < seconds * per_second:
            for _ in range(PIPELINE // 4):
                self._any()
            sent += len(self._sent)
            self._flush()
            time.sleep(max(0.0, began + sent / per_second - time.monotonic()))

    def finish(self) -> None:
        """End every chat, so that time alone changes nothing any more."""
        for user in range(self._load.users):
            for chat in range(self._load.chats_per_user):
                self._about(user, chat, "end")
        self._flush()

    def _any(self) -> None:
        user = self._random.randrange(self._load.users)
        chat = self._random.randrange(self._load.chats_per_user)
        act = self._random.choices(
            ["pause", "resume", "heartbeat", "set_rate", "top_up", "end", "again", "bad"],
            [20, 25, 20, 10, 10, 1, 5, 2],
        )[0]
        if act == "set_rate":
            self._about(user, chat, act, rate=self._random.choice(["0", "0.5", "3", "600"]))
        elif act == "top_up":
            self._add(act, user_id=self._user(user), amount=self._random.choice(["0.1", "5", "20"]))
        elif act == "again" and self.log:
            self._sent.append(self._random.choice(self.log)[1])
        elif act == "bad":
            self._about(user, chat, "pause", colour="red")
        else:
            self._about(user, chat, "heartbeat" if act == "again" else act)

    def _start(self, user: int, chat: int) -> None:
        tariff = self._random.choice(
            [
                {"rate": "1"},
                {"rate": "6", "increment_ms": "6000"},
                {"rate": "60", "idle_ms": "4000"},
                {"rate": "6", "free_ms": "5000", "free_scope": "advisor"},
                {"rate": "6", "increment_ms": "3000", "increment_due": "end", "max_ms": "9000"},
                {"rate": "1", "abandon_ms": "6000"},
            ]
        )
        opening = {"chat_id": self._chat(user, chat), "user_id": self._user(user)}
        self._add("start", **opening, advisor_id="v", **tariff)

    def _about(self, user: int, chat: int, type_: str, **fields: str) -> None:
        """With several partitions each command names its user."""
        named = {"user_id": self._user(user)} if self._load.partition.partitions > 1 else {}
        self._add(type_, chat_id=self._chat(user, chat), **named, **fields)

    def _chat(self, user: int, chat: int) -> str:
        return f"{self._user(user)}.{chat}"

    def _user(self, user: int) -> str:
        return self._users[user]

    def _add(self, type_: str, **fields: str) -> None:
        self._count += 1
        self._sent.append({"type": type_, "id": f"{self._load.name}k{self._count}", **fields})

    def _flush(self) -> None:
        stream = Keys(self._load.partition.number).commands
        for i in range(0, len(self._sent), PIPELINE):
            page = self._sent[i : i + PIPELINE]
            pipeline = self._client.pipeline(transaction=False)
            for fields in page:
                pipeline.xadd(stream, fields)  # type: ignore[arg-type]
            taken: list[Any] = pipeline.execute()
            self.log += [(e.decode(), f) for e, f in zip(taken, page, strict=True)]
        self._sent.clear()


def fold(world: World, log: list[Entry]) -> dict[str, str]:
    """What the rules make of the log: the outcome of every entry."""
    return {
        entry: world.feed(entry, [part.encode() for pair in f.items() for part in pair]).outcome
        for entry, f in log
    }
