"""The opening function: many accounts in one call, each as it was seen or not at all."""

from typing import Any

import pytest
import redis

from meterd.rules.model import Account
from meterd.rules.opening_balance import OpeningEntry, opened, opening_entry
from meterd.rules.redis_keys import Keys
from persistence.errors import UnverifiedStateError
from persistence.redis.commit import unpack_payload
from persistence.redis.functions import function_name
from persistence.redis.opening_balances import Opening, Openings

KEYS = Keys()
TOKEN = "t"


@pytest.fixture
def verified(client: redis.Redis) -> redis.Redis:
    """A Redis that somebody vouches for."""
    answer: Any = client.fcall(function_name("acquire_lease"), 1, KEYS.commands, TOKEN, 60_000)
    client.fcall(function_name("confirm_integrity"), 1, KEYS.commands, TOKEN, answer[1], "m")
    return client


def _opening(user: str, before: str = "", number: int = 1, amount: int = 5) -> Opening:
    made = opened(Account(user), OpeningEntry(number, amount, 7))
    return Opening(before, made, opening_entry(user, number, amount, 7))


def test_each_is_opened_or_left_as_it_is(verified: redis.Redis) -> None:
    """Of two openings of one account in a call the first counts; all that were done are one
    outbox entry for Postgres."""
    verified.set(KEYS.account("used"), '5-0|{"user_id":"used"}')
    given = [
        _opening("a"),
        _opening("used", "5-0"),
        _opening("a"),
        _opening("b"),
        _opening("c", "0-1"),
    ]
    assert Openings(verified, KEYS).open(given) == [True, False, False, True, False]
    entries: Any = verified.xrange(KEYS.outbox)
    facts = [unpack_payload(fields[b"facts"]) for _, fields in entries]
    assert [[row.entry_id for row in one.ledger] for one in facts] == [
        ["migrated:a:1", "migrated:b:1"]
    ]
    found = Openings(verified, KEYS).read(["a", "b", "c"])
    assert {user: (head, one.settled_micro) for user, (head, one) in found.items()} == {
        "a": ("0-1", 5), "b": ("0-1", 5), "c": ("", 0),
    }  # fmt: skip
    assert verified.get(KEYS.account("used")) == b'5-0|{"user_id":"used"}'


def test_an_opening_is_mended_as_long_as_it_was_seen(verified: redis.Redis) -> None:
    """Whoever comes with an older look is refused; nothing is written then."""
    openings = Openings(verified, KEYS)
    assert openings.open([_opening("a")]) == [True]
    assert openings.open([_opening("a", "0-1", 2)]) == [True]
    assert openings.open([_opening("a", "0-1", 2), _opening("a")]) == [False, False]
    assert openings.outbox_length() == 2


def test_without_a_verified_state_nothing_is_opened(client: redis.Redis) -> None:
    """Also not after a restart of the server, until a daemon has compared."""
    with pytest.raises(UnverifiedStateError):
        Openings(client, KEYS).open([_opening("a")])
    assert not client.keys("*")
