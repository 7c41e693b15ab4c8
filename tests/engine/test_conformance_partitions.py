"""Every worked example over four partitions: each user's commands in the user's own stream."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final

import pytest
import redis
from sqlalchemy import Engine

from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules.partitions import Partition, partition_of
from meterd.rules.redis_keys import Keys
from persistence.postgres.layout import write_partitions
from tests.audit_check import assert_clean
from tests.conformance import Example, by_policy, policy_of
from tests.conformance.played import (
    Found,
    Timed,
    all_at_once,
    assert_as_the_example_says,
    entries,
    find,
)
from tests.engine.harness import idle, running
from tests.servers import kinds_apart, redis_server

PARTITIONS: Final = 4
MANY: Final = 20
"""Examples whose users are in every partition."""
SETTINGS: Final = SupervisorConfig(actors_max=2, warm_pool_size=1, batch_max=100)
NOBODY: Final = "nobody"
BY_CHAT: Final = ("pause", "resume", "heartbeat", "set_rate", "end", "refund")
"""Types that need no user where there is one partition."""


def _is_of_one_user_each(example: Example) -> bool:
    """Whether no chat is named by two users: over partitions it matters which of them is first."""
    users: dict[str, set[str]] = {}
    for _, fields in example["entries"]:
        if fields.get("chat_id") and fields.get("user_id"):
            users.setdefault(fields["chat_id"], set()).add(fields["user_id"])
    return all(len(named) == 1 for named in users.values())


def _named(timed: list[Timed]) -> list[Timed]:
    """As clients send them: with the user whose chat it is, or will be."""
    owners: dict[str, str] = {}
    for _, fields in timed:
        if fields.get("type") in ("start", "adopt") and fields.get("user_id"):
            owners.setdefault(fields.get("chat_id", ""), fields["user_id"])
    return [(ms, _with_user(fields, owners)) for ms, fields in timed]


def _with_user(fields: dict[str, str], owners: dict[str, str]) -> dict[str, str]:
    if fields.get("type") not in BY_CHAT or "user_id" in fields:
        return fields
    return {**fields, "user_id": owners.get(fields.get("chat_id", ""), NOBODY)}


def _preload(client: redis.Redis, timed: list[Timed]) -> None:
    """Into the streams of their users; the IDs are in the order of all of them."""
    pipeline: Any = client.pipeline(transaction=False)
    for number, (ms, fields) in enumerate(_named(timed)):
        stream = Keys(partition_of(fields.get("user_id", ""), PARTITIONS)).commands
        pipeline.xadd(stream, fields, id=f"{ms}-{number}")
    pipeline.execute()


def _find(client: redis.Redis) -> Found:
    """Replies and events of all partitions."""
    parts = [find(client, Keys(number)) for number in range(PARTITIONS)]
    return Found(
        [r for one in parts for r in one.replies], [e for one in parts for e in one.events]
    )


def _cases() -> Iterator[Any]:
    """The policy that has most examples; the others are for ``make test-slow``."""
    for examples in by_policy():
        marks = pytest.mark.slow if len(examples) < MANY else ()
        yield pytest.param(examples, id=f"{len(examples)}x-{examples[0]['name']}", marks=marks)


@pytest.mark.parametrize("kind", kinds_apart())
@pytest.mark.parametrize(
    "examples", by_policy(), ids=lambda group: f"{len(group)}x-{group[0]['name']}"
)
def test_the_examples_come_out_the_same_over_four_partitions(
    kind: str, examples: list[Example], engine: Engine
) -> None:
    """Preloaded with their IDs, all at once; replies, events, records, ledger and audit."""
    laid = all_at_once(filter(_is_of_one_user_each, examples))
    with engine.begin() as connection:
        write_partitions(connection, PARTITIONS)
    with redis_server(kind) as url, contextlib.closing(redis.Redis.from_url(url)) as client:
        _preload(client, entries(laid, cleared=False))
        used = [n for n in range(PARTITIONS) if client.exists(Keys(n).commands)]
        asyncio.run(_play(url, engine, laid[0].example, used))
        found = _find(client)
        assert_clean(engine, url)
    assert len(used) == PARTITIONS or len(laid) < MANY
    for one in laid:
        assert_as_the_example_says(one, found, engine)


async def _play(url: str, engine: Engine, example: Example, used: list[int]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for number in range(PARTITIONS):
            partition = Partition(number, PARTITIONS)
            await stack.enter_async_context(
                running(url, engine, policy_of(example), SETTINGS, partition=partition)
            )
        for number in used:
            await idle(url, keys=Keys(number))
