"""Commands to all partitions one after the other, each waited for, while daemons come and go."""

import threading
import time
from typing import Any, Final

import redis

from loadtests.common.timeouts import scaled
from meterd.rules.redis_keys import Keys
from tests.acceptance.four_partitions import user_of_each

WAIT_S_MAX: Final = scaled(60)
PAUSE_S: Final = 0.02
POLL_S: Final = 0.005


class PartitionTraffic:
    """One account in each partition gets one credit after the other, as fast as it is answered."""

    def __init__(self, client: redis.Redis, partitions: int) -> None:
        """Nothing is sent before the block begins."""
        self._client = client
        self._partitions = partitions
        self._sent = [0] * partitions
        self._waits: list[list[tuple[float, float]]] = [[] for _ in range(partitions)]
        """By partition: when each command was sent, and how long it waited, in seconds."""
        self._failed: list[str] = []
        self._stop = threading.Event()
        self._users = user_of_each("u", partitions)
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(partitions)
        ]

    def __enter__(self) -> "PartitionTraffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT_S_MAX)
        assert not self._failed, self._failed

    def longest_s(self) -> float:
        """The longest that a command has waited for its answer."""
        return max(wait_s for waits in self._waits for _, wait_s in waits)

    def waits_s(self, number: int, since_s: float) -> list[float]:
        """How long commands of a partition waited that were sent since then and are answered."""
        return [wait_s for at_s, wait_s in self._waits[number] if at_s >= since_s]

    def answered(self) -> int:
        """Wait for another answer in each partition; returns how many there were."""
        before, deadline = list(self._sent), time.monotonic() + WAIT_S_MAX
        while time.monotonic() < deadline and not self._failed:
            if all(now > then + 1 for now, then in zip(self._sent, before, strict=True)):
                break
            time.sleep(PAUSE_S)
        return sum(now > then + 1 for now, then in zip(self._sent, before, strict=True))

    def assert_exact(self) -> None:
        """Each account has as many credits as were sent to it: nothing was lost, nothing twice."""
        for number, user in enumerate(self._users):
            raw: Any = self._client.get(Keys(number).wallet(user))
            assert f'"balance":"{self._sent[number]}' in raw.decode().replace(" ", ""), raw

    def _run(self, number: int) -> None:
        while not self._stop.is_set() and not self._failed:
            self._send_one(number)

    def _send_one(self, number: int) -> None:
        keys, reply_to = Keys(number), f"r{number}"
        self._sent[number] += 1
        id_ = f"{number}-{self._sent[number]}"
        command: Any = {
            "type": "top_up", "id": id_, "user_id": self._users[number], "amount": "1",
            "reply_to": reply_to,
        }  # fmt: skip
        began = time.monotonic()
        self._client.xadd(keys.commands, command)
        while True:
            last: Any = self._client.xrevrange(keys.reply(reply_to), count=1)
            if last and last[0][1][b"id"] == id_.encode():
                break
            if time.monotonic() - began > WAIT_S_MAX:
                self._failed.append(f"{id_} was not answered")
                return
            time.sleep(POLL_S)
        if last[0][1][b"outcome"] != b"ok":
            self._failed.append(f"{id_}: {last[0][1]}")
        self._waits[number].append((began, time.monotonic() - began))
