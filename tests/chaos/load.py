"""Backends under chaos: they send until it is taken, note what they know, and read replies."""

import contextlib
import random
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

import redis

from loadtests.common.timeouts import scaled
from persistence.redis.client import connect
from tests.load import KEYS, Load, Sender

PAGE: Final = 25
TAKEN_S_MAX: Final = scaled(120)
RETRY_S: Final = 0.05

ACTS: Final = {
    "pause": 18, "resume": 24, "heartbeat": 14, "set_rate": 8, "top_up": 10, "refund": 6,
    "adjust": 6, "end": 5, "adopt": 3, "anew": 3, "again": 5, "conflict": 2, "bad": 2,
    "stranger": 1,
}  # fmt: skip


class NotTakenError(Exception):
    """The queue took nothing for longer than any fault lasts."""


class Client(Sender):
    """A backend with a reply stream. What it draws depends on its seed alone, not on faults."""

    def __init__(self, url: str, load: Load) -> None:
        """Nothing is sent before ``begin``."""
        self._redis = connect(url, socket_timeout_s=2)
        super().__init__(self._redis, load)
        self.name = f"c{load.name}"
        self.uncertain: list[dict[str, str]] = []
        """Attempts whose answer was lost: each is in the stream once or not at all."""
        self.replies: list[dict[str, str]] = []
        self._made: list[dict[str, str]] = []
        self._generation: dict[tuple[int, int], int] = {}
        self.chats: set[str] = set()
        self._after = "0"

    def read_replies(self) -> None:
        """Take in all replies that have come."""
        with contextlib.suppress(redis.RedisError):
            while found := self._next_replies():
                self._after = found[-1][0].decode()
                self.replies += [_text(fields) for _, fields in found]

    def answered(self) -> set[str]:
        """The ids that were answered so far."""
        return {reply["id"] for reply in self.replies}

    def finish(self) -> None:
        """End every chat there ever was, so that time alone changes nothing any more."""
        for chat in sorted(self.chats):
            self._add("end", chat_id=chat)
        self._flush()

    def close(self) -> None:
        """Let go of the connection."""
        self._redis.close()

    def _next_replies(self) -> list[Any]:
        found: Any = self._redis.xread({KEYS.reply(self.name): self._after}, count=1000)
        return list(found[0][1]) if found else []

    def _any(self) -> None:
        user = self._random.randrange(self._load.users)
        place = user, self._random.randrange(self._load.chats_per_user)
        act = self._random.choices(list(ACTS), list(ACTS.values()))[0]
        draw: random.Random = self._random
        chat, some = self._chat(*place), self._made[draw.randrange(len(self._made))]
        if act == "anew":
            self._anew(place)
            self._start(*place)
        elif act == "adopt":
            self._anew(place)
            self._adopt(*place)
        elif act == "refund":
            self._add(act, chat_id=self._former(place), amount=draw.choice(["0.001", "0.1", "90"]))
        elif act == "again":
            self._send(dict(some))
        elif act == "conflict":
            self._send({"type": "heartbeat", "id": some["id"], "chat_id": chat})
        elif act == "stranger":
            stranger = self._user((user + 1) % self._load.users)
            self._add("pause", chat_id=chat, user_id=stranger)
        elif act == "bad":
            self._add("pause", chat_id=chat, colour=draw.choice(["red", "green"]))
        else:
            self._simple(act, chat, user)

    def _simple(self, act: str, chat: str, user: int) -> None:
        if act == "set_rate":
            self._add(act, chat_id=chat, rate=self._random.choice(["0", "0.5", "3", "600"]))
        elif act == "top_up":
            self._add(act, user_id=self._user(user), amount=self._random.choice(["0.1", "5", "20"]))
        elif act == "adjust":
            amount = self._random.choice(["0.5", "-0.25", "-3", "-600"])
            partial = self._random.choice(["0", "1"])
            self._add(act, user_id=self._user(user), amount=amount, partial=partial)
        else:
            self._add(act, chat_id=chat)

    def _adopt(self, user: int, chat: int) -> None:
        opening = {"chat_id": self._chat(user, chat), "user_id": self._user(user)}
        carried = {"started_at": "1700000000000", "carried_ms": "5000", "carried_cost": "0.25"}
        self._add("adopt", **opening, advisor_id="v", rate="2", **carried)

    def _anew(self, place: tuple[int, int]) -> None:
        """The chat that has this place ends, if it has not; the next one there has a new name."""
        self._add("end", chat_id=self._chat(*place))
        self._generation[place] = self._generation.get(place, 0) + 1

    def _former(self, place: tuple[int, int]) -> str:
        """The chat that had this place before, if there was one."""
        number = max(0, self._generation.get(place, 0) - 1)
        return f"{self._user(place[0])}.{place[1]}.{number}"

    def _chat(self, user: int, chat: int) -> str:
        return f"{self._user(user)}.{chat}.{self._generation.get((user, chat), 0)}"

    def _add(self, type_: str, **fields: str) -> None:
        super()._add(type_, **fields, reply_to=self.name)
        made = self._sent.pop()
        self._send(made)

    def _send(self, fields: dict[str, str]) -> None:
        self._made.append(fields)
        self._sent.append(fields)
        if fields["type"] in ("start", "adopt"):
            self.chats.add(fields["chat_id"])

    def _flush(self) -> None:
        """Offer everything until it is taken, in pages."""
        deadline = time.monotonic() + TAKEN_S_MAX
        while self._sent:
            page, self._sent = self._sent[:PAGE], self._sent[PAGE:]
            left = self._offer(page)
            self._sent = left + self._sent
            if len(left) < len(page):
                deadline = time.monotonic() + TAKEN_S_MAX
                continue
            if time.monotonic() > deadline:
                raise NotTakenError(f"nothing was taken for {TAKEN_S_MAX} s")
            time.sleep(RETRY_S)

    def _offer(self, page: list[dict[str, str]]) -> list[dict[str, str]]:
        """Send a page; returns what has to be sent again."""
        pipeline = self._redis.pipeline(transaction=False)
        for fields in page:
            pipeline.xadd(KEYS.commands, fields)  # type: ignore[arg-type]
        try:
            taken: list[Any] = pipeline.execute(raise_on_error=False)
        except redis.RedisError:
            self.uncertain += page
            return page
        return [f for answer, f in zip(taken, page, strict=True) if not self._is_taken(answer, f)]

    def _is_taken(self, answer: bytes | Exception, fields: dict[str, str]) -> bool:
        if isinstance(answer, bytes):
            self.log.append((answer.decode(), fields))
            return True
        return False  # an error that the server tells is a refusal: nothing was done


class Probe(Client):
    """Asks chats of its own, and one on every actor: its answers mean that all of them work."""

    def begin(self) -> None:
        """Chats that cost nothing and never end by themselves."""
        for user in range(self._load.users):
            opening = {"chat_id": self._chat(user, 0), "user_id": self._user(user)}
            self._add("start", **opening, advisor_id="v", rate="0")
        self._flush()

    def ask(self, others: Iterable[str] = ()) -> set[str]:
        """Send one command to each of its chats, and to others; returns the ids to be answered."""
        before = self._count
        for chat in [*(self._chat(user, 0) for user in range(self._load.users)), *others]:
            self._add("heartbeat", chat_id=chat)
        self._flush()
        return {f"{self._load.name}k{n}" for n in range(before + 1, self._count + 1)}


class Traffic:
    """Clients that go on sending in threads of their own, whatever happens, until ``stop``."""

    def __init__(self, clients: list[Client], per_second: int) -> None:
        """``per_second``: of each."""
        self._stopping = threading.Event()
        self._per_second = per_second
        self.clients = clients
        self.errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._send, args=(client,), daemon=True) for client in clients
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what is in hand."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=2 * TAKEN_S_MAX)
            assert not thread.is_alive(), "a client hangs"
        assert not self.errors, self.errors

    def _send(self, client: Client) -> None:
        try:
            client.begin()
            while not self._stopping.is_set():
                client.send_for(0.5, self._per_second)
                client.read_replies()
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {error}")
            raise


def _text(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {k.decode(): v.decode() for k, v in fields.items()}
