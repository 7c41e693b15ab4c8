"""Every worked example through the real daemon: Ray actors, Redis, Postgres, as users run it."""

import contextlib

import pytest
import redis

from loadtests.live import live_daemon
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


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("examples", by_policy(), ids=lambda e: f"{len(e)}x-{e[0]['name']}")
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
