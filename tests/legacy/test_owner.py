"""The owner's tables: they become exactly what is expected of them."""

import pytest

from daemon.legacy.diff import Databases
from daemon.legacy.free_time import free_time_used
from daemon.legacy.inspect import inspect
from daemon.legacy.rules.split import split
from daemon.legacy.store.reader import old_balances, read_only, read_pairs
from tests.legacy.owner import (
    AFTER_MIGRATE,
    SHAPE,
    create_current_system,
    quarantine_found,
    records_found,
)
from tests.legacy.system import bring, verdict_of

pytestmark = pytest.mark.postgres


@pytest.fixture
def owner(sides: Databases) -> Databases:
    create_current_system(sides.old)
    return sides._replace(shape=SHAPE)


def test_records_and_quarantine_are_as_expected(owner: Databases) -> None:
    """And inspect has said before how many, which words there are, and that nothing is unknown."""
    found = inspect(owner.old, owner.shape, lambda *_: None)
    assert {word: tuple(about) for word, about in found.status_words.items()} == {
        "false": (7, "ended"), "true": (2, "running"),
    }  # fmt: skip
    assert {name: kind.rows for name, kind in found.reasons.items()} == {"chats_exceed_records": 1}
    assert {name: kind.rows for name, kind in found.odd.items()} == {
        "records_exceed_chats": 1, "points_to_a_chat_that_is_gone": 1, "chats_without_record": 1,
    }  # fmt: skip
    run = bring(owner, "chat_duration")
    assert run.counts["running"] == len(AFTER_MIGRATE["still_running_there"])
    assert records_found(owner.own) == AFTER_MIGRATE["records"]
    wanted = {k: v for k, v in AFTER_MIGRATE["quarantined"].items() if " " not in k}
    assert quarantine_found(owner.own) == wanted
    result = verdict_of(owner, "chat_duration")
    assert (result.differences, result.old.ms) == ([], result.here.ms)


def test_running_chats_carry_what_is_expected(owner: Databases) -> None:
    """Nothing of what ran since the last tick."""
    with read_only(owner.old) as connection:
        done = [
            split(pair, owner.shape.division("chat_duration"))
            for pair in read_pairs(connection, owner.shape)
        ]
    running = {one.chat_id: one for parts in done for one in parts.running}
    assert sorted(running) == AFTER_MIGRATE["still_running_there"]


def test_free_time_used_is_as_expected(owner: Databases) -> None:
    """Of each user and advisor, but for what is set aside; of the users that are asked for."""
    expected = AFTER_MIGRATE["free_time_used_ms"]
    assert free_time_used(owner, [*expected, "nobody"]) == expected
    assert free_time_used(owner, ["u2"]) == {"u2": expected["u2"]}
    with read_only(owner.old) as connection:
        users = [one.user_id for one in old_balances(connection, SHAPE, with_free_time=True)]
    assert users == sorted(expected)
