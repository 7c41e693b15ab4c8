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

SETTINGS = {
    "METERD_CREDITS__AT_ZERO": "at_zero",
    "METERD_CREDITS__GRACE_MS": "grace_ms",
    "METERD_CREDITS__OPEN_CHATS_MAX": "open_chats_max",
    "METERD_TARIFF__RATE": "rate",
    "METERD_TARIFF__FREE_MS": "free_ms",
    "METERD_TARIFF__FREE_SCOPE": "free_scope",
    "METERD_TARIFF__MIN_MS": "min_ms",
    "METERD_TARIFF__INCREMENT_MS": "increment_ms",
    "METERD_TARIFF__INCREMENT_DUE": "increment_due",
    "METERD_TARIFF__IDLE_MS": "idle_ms",
    "METERD_TARIFF__ABANDON_MS": "abandon_ms",
    "METERD_TARIFF__MAX_MS": "max_ms",
}
FORMS = {
    "shared": {"METERD_ACTORS__MAX": "3"},
    "dedicated": {"METERD_ACTORS__MAX": "12", "METERD_ACTORS__CHATS_PER_ACTOR": "1"},
}


def _cases() -> Iterator[Any]:
    """Most examples in both forms, those of each other policy in one.

    One group is quick enough for ``make test``, where the tests of the engine play all examples.
    """
    most, *others = sorted(by_policy(), key=len, reverse=True)
    cases = [("shared", most), *zip(cycle(reversed(FORMS)), others), ("dedicated", most)]
    for number, (form, examples) in enumerate(cases):
        name = f"{len(examples)}x-{examples[0]['name']}-{form}"
        yield pytest.param(form, examples, id=name, marks=pytest.mark.slow if number else ())


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
            METERD_CREDITS__WARN_MS=",".join(map(str, policy["warn_ms"])),
            **{name: str(policy[key]) for name, key in SETTINGS.items()},
            **FORMS[form],
        ) as daemon:
            daemon.until_handled(timeout_s=120)
            found, engine = find(client), daemon.engine()
            for one in laid:
                assert_as_the_example_says(one, found, engine)
