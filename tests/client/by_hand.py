"""Replies in the contract's format, written by hand: what matching them is tested with."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import redis

from loadtests.common.timeouts import scaled
from meterd.rules.redis_keys import Keys
from meterd.rules.snapshots import no_wallet, not_started

Fields = dict[str, str]
KEYS = Keys()
PARTITIONS_MAX = 4
"""The most that a test of clients has."""


def chat_json(chat_id: str, **changes: object) -> str:
    """A chat's snapshot as the daemon writes it."""
    running: dict[str, object] = {
        "user_id": "u",
        "advisor_id": "a",
        "status": "running",
        "as_of": 1_000,
        "started_at": 1_000,
        "increment_ms": 1,
        "rate": "6.000000",
        "seq": 1,
    }
    return json.dumps({**not_started(chat_id), **running, **changes})


def wallet_json(user_id: str, **changes: object) -> str:
    """A wallet's snapshot as the daemon writes it."""
    return json.dumps({**no_wallet(user_id), "as_of": 1_000, "seq": 1, **changes})


def commands(client: redis.Redis) -> list[tuple[str, Fields]]:
    """What is in the queue, partition by partition."""
    found: list[Any] = [client.xrange(Keys(number).commands) for number in range(PARTITIONS_MAX)]
    return [(entry.decode(), text(fields)) for entries in found for entry, fields in entries]


def text(fields: dict[bytes, bytes]) -> Fields:
    """Fields that anybody may have sent, so that some bytes may be no text."""
    return {
        name.decode(errors="backslashreplace"): value.decode(errors="backslashreplace")
        for name, value in fields.items()
    }


def reply(client: redis.Redis, entry: str, command: Fields, **changes: str) -> None:
    """One reply to a command."""
    snapshot = (
        wallet_json(command["user_id"])
        if command["type"] in ("top_up", "adjust")
        else chat_json(command["chat_id"])
    )
    fields = {
        "id": command["id"],
        "outcome": "ok",
        "message": "done",
        "entry": entry,
        "replayed": "0",
        "snapshot": snapshot,
        **changes,
    }
    sent: Any = {k: v for k, v in fields.items() if v}
    client.xadd(KEYS.reply(command["reply_to"]), sent)


Answer = Callable[[redis.Redis, str, Fields], None]


@contextlib.contextmanager
def answering(url: str, answer: Answer = reply) -> Iterator[None]:
    """Answer every command that asks for it, until the block ends."""
    stop = threading.Event()

    def work() -> None:
        after = "0"
        with redis.Redis.from_url(url, protocol=2) as client:
            while not stop.is_set():
                found: Any = client.xread({KEYS.commands: after}, count=100, block=50)
                for _, entries in found or ():
                    for entry, fields in entries:
                        after = entry.decode()
                        if b"reply_to" in fields:
                            answer(client, after, text(fields))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def until(what: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + scaled(timeout_s)
    while not what():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.005)
