"""Every worked example through the real daemon: Ray actors, Redis, Postgres, as users run it."""

import contextlib
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest
import redis

from loadtests.common.live import live_daemon
from tests.conformance import Example, by_policy
from tests.conformance.played import (
    all_at_once,
    assert_as_the_example_says,
    entries,
    find,
    one_after_another,
    preload,
)
from tests.servers import redis_server

pytestmark = [pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(300)]

FORMS = {
    "shared": {"METERD_ACTORS__MAX": "3"},
    "dedicated": {"METERD_ACTORS__MAX": "12", "METERD_ACTORS__CHATS_PER_ACTOR": "1"},
}


def _cases() -> Iterator[Any]:
    """Most examples in both forms, those of each other policy in one.

    A daemon for every form of every policy takes a minute more, and the tests of the engine play
    all of them.
    """
    most, *others = sorted(by_policy(), key=len, reverse=True)
    for form, examples in [*((form, most) for form in FORMS), *zip(cycle(FORMS), others)]:
        name = f"{len(examples)}x-{examples[0]['name']}-{form}"
        yield pytest.param(form, examples, id=name)


@pytest.mark.parametrize(("form", "examples"), list(_cases()))
def test_the_daemon_gives_what_the_examples_say(form: str, examples: list[Example]) -> None:
    """The entries preloaded with their IDs, then ``meterd up``; everything equals the files'.

    Shared: all examples at once, mixed. Dedicated: one after another, a Ray actor for each chat.
    """
    mixed = form == "shared"
    laid = all_at_once(examples) if mixed else one_after_another(examples)
    policy = examples[0]["policy"]
    with redis_server() as url, contextlib.closing(redis.Redis.from_url(url)) as client:
        preload(client, entries(laid, cleared=not mixed))
        with live_daemon(
            METERD_REDIS__URL=url,
            METERD_CREDITS__AT_ZERO=policy["at_zero"],
            METERD_CREDITS__GRACE_MS=str(policy["grace_ms"]),
            **FORMS[form],
        ) as daemon:
            daemon.until_handled(timeout_s=120)
            found, engine = find(client), daemon.engine()
            for one in laid:
                assert_as_the_example_says(one, found, engine)
