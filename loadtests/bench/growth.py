"""``python -m loadtests.bench.growth --commands 200000``: what commands leave behind, in bytes.

A daemon of its own with 100 chats. First some commands that name a reply stream each, and some
that can't be commands; then nine pauses and resumes to one top-up, with replies to one stream.
Events and replies have a bound by number: of these the figures are too low once it is reached.
"""

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import redis
from sqlalchemy import text

from loadtests.bench.daemon import HANDLED_S_MAX, BenchDaemon, running
from loadtests.common.live import KEYS

MILLION: Final = 1_000_000
CHATS: Final = 100
TOP_UP_EVERY: Final = 10
APART: Final = 2_000
"""How many commands name a reply stream of their own, and how many can't be commands."""
PAGE: Final = 1_000
LOOK_S: Final = 12.0
"""The daemon looks at its memory every ten seconds, and publishes it a second later."""
_SIZE: Final = text("SELECT pg_total_relation_size(CAST(:name AS regclass))")
TABLES: Final = ("command_journal", "ledger_entries")


class Place(NamedTuple):
    """What there is at one moment, in bytes."""

    kinds: Mapping[str, int]
    used: int
    tables: Mapping[str, int]


def measure(daemon: BenchDaemon, commands: int) -> dict[str, int]:
    """Bytes for a million commands, by what they are in."""
    with daemon.client() as client:
        _send(client, _opening())
        daemon.until_handled(HANDLED_S_MAX)
        at_first = _place(daemon)
        _send(client, ({**_top_up(n, "apart"), "reply_to": f"apart-{n}"} for n in range(APART)))
        daemon.until_handled(HANDLED_S_MAX)
        apart = _place(daemon)
        _send(client, ({"type": "pause", "id": f"bad-{n}"} for n in range(APART)))
        daemon.until_handled(HANDLED_S_MAX)
        before = _place(daemon)
        _send(client, _work(commands))
        daemon.until_handled(HANDLED_S_MAX)
        worked = _place(daemon)
    found = {
        kind: _per_million(worked.kinds[kind] - before.kinds[kind], commands)
        for kind in worked.kinds
    }
    found["all of Redis"] = _per_million(worked.used - before.used, commands)
    for table in TABLES:
        found[table] = _per_million(worked.tables[table] - before.tables[table], commands)
    found["replies, a stream each"] = _per_million(
        apart.kinds["replies"] - at_first.kinds["replies"], APART
    )
    found["dead letters"] = _per_million(before.kinds["dead"] - apart.kinds["dead"], APART)
    return found


def _per_million(size: int, commands: int) -> int:
    return size * MILLION // commands


def _place(daemon: BenchDaemon) -> Place:
    time.sleep(LOOK_S)
    memory = daemon.published()["memory"]
    with daemon.engine().connect() as connection:
        tables = {name: connection.execute(_SIZE, {"name": name}).scalar_one() for name in TABLES}
    return Place(memory["kinds"], memory["used_bytes"], tables)


def _top_up(number: int, name: str) -> dict[str, str]:
    return {
        "type": "top_up", "id": f"{name}-{number:032}", "user_id": f"user-{number % CHATS}",
        "amount": "1",
    }  # fmt: skip


def _opening() -> Iterator[dict[str, str]]:
    for number in range(CHATS):
        yield _top_up(number, "open")
        yield {
            "type": "start", "id": f"start-{number}", "chat_id": f"chat-{number}",
            "user_id": f"user-{number}", "advisor_id": "v", "rate": "0",
        }  # fmt: skip


def _work(commands: int) -> Iterator[dict[str, str]]:
    for number in range(commands):
        turn, chat = divmod(number, CHATS)
        if turn % TOP_UP_EVERY == 0:
            command = _top_up(number, "work")
        else:
            type_ = "resume" if (turn - turn // TOP_UP_EVERY) % 2 == 0 else "pause"
            command = {"type": type_, "id": f"work-{number:032}", "chat_id": f"chat-{chat}"}
        yield {**command, "reply_to": "one"}


def _send(client: redis.Redis, commands: Iterable[Mapping[str, str]]) -> None:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        fields: Any = dict(command)
        pipeline.xadd(KEYS.commands, fields)
        if len(pipeline) >= PAGE:
            pipeline.execute()
    pipeline.execute()


def main() -> None:
    """Measure, and print a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=200_000, help="how many (200000)")
    commands = parser.parse_args().commands
    with running({"METERD_HTTP__ENABLED": "false"}) as daemon:
        for kind, size in measure(daemon, commands).items():
            print(f"{kind:24} {size / MILLION:10.1f} MB for a million commands")


if __name__ == "__main__":
    main()
