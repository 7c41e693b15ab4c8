"""Every worked example through queue, supervisor, chat workers, commit function and Postgres."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from actors.supervisor.supervisor import SupervisorConfig
from tests.audit_check import assert_clean
from tests.conformance import Example, by_policy, policy_of
from tests.conformance.played import (
    Laid,
    all_at_once,
    assert_as_the_example_says,
    entries,
    find,
    one_after_another,
    preload,
)
from tests.engine.harness import idle, running
from tests.servers import kinds_apart, redis_server

STRICT = SupervisorConfig(actors_max=12, chats_per_actor=1, warm_pool_size=2)
SHARED = SupervisorConfig(actors_max=3, warm_pool_size=1, batch_max=100)


FORMS = {"shared": (SHARED, True), "dedicated": (STRICT, False)}


def _cases() -> Iterator[Any]:
    """All examples: those of the policy that has most in both forms, each other policy's in one.

    The other form of these is for ``make test-slow``.
    """
    for number, examples in enumerate(sorted(by_policy(), key=len, reverse=True)):
        for place, (form, (settings, mixed)) in enumerate(FORMS.items()):
            is_slow = number > 0 and number % len(FORMS) != place
            name = f"{len(examples)}x-{examples[0]['name']}-{form}"
            marks = pytest.mark.slow if is_slow else ()
            yield pytest.param(examples, settings, mixed, id=name, marks=marks)


@pytest.mark.parametrize("kind", kinds_apart())
@pytest.mark.parametrize(("examples", "settings", "mixed"), list(_cases()))
def test_the_running_system_gives_what_the_examples_say(
    kind: str, examples: list[Example], settings: SupervisorConfig, mixed: bool, engine: Engine
) -> None:
    """Preloaded with their IDs, then the daemon started: replies, events, records, ledger,
    wallets equal the files', with chats sharing actors and with an actor for each chat; and an
    audit finds nothing."""
    laid = all_at_once(examples) if mixed else one_after_another(examples)
    with redis_server(kind) as url:
        asyncio.run(_play(url, engine, laid, settings, cleared=not mixed))
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            found = find(client)
        assert_clean(engine, url)
    for one in laid:
        assert_as_the_example_says(one, found, engine)


async def _play(
    url: str, engine: Engine, laid: list[Laid], settings: SupervisorConfig, cleared: bool
) -> None:
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        preload(client, entries(laid, cleared))
    async with running(url, engine, policy_of(laid[0].example), settings):
        await idle(url)
