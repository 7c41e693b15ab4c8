"""A user's journal, folded again row by row, gives what the whole stream gave."""

from collections.abc import Iterator

import pytest
from hypothesis import given

from actors.rules import outcomes
from actors.rules.command import Command, parse_entry
from actors.rules.opening import opened
from actors.rules.replay import Journaled, Replay, foreign_chat
from actors.rules.state import Account, Chat, LedgerEntry, Policy
from actors.rules.world import World
from tests.rules.strategies import Stream, streams

START = {"type": "start", "id": "s", "chat_id": "c", "user_id": "u", "advisor_id": "v"}


class Told:
    """A stream's world, and a replay of every user beside it, fed from the journal."""

    def __init__(self, stream: Stream) -> None:
        self.world = World(stream.policy)
        self.replays: dict[str, Replay] = {}
        self.ledger: list[LedgerEntry] = []
        self.outcomes = list(self._feed(stream))

    def _feed(self, stream: Stream) -> Iterator[tuple[str, str]]:
        for entry in stream.entries:
            command = parse_entry(entry.id, entry.flat)
            before = dict(self.world.owner)
            result = self.world.feed(entry.id, entry.flat)
            self.ledger += result.ledger
            if not isinstance(command, Command):
                continue
            user = command.user_id or before.get(command.chat_id, "")
            if user:
                row = Journaled(entry.id, entry.fields, result.outcome, result.replayed)
                replay = self.replays.setdefault(user, Replay(user))
                foreign = _foreign(before, command.chat_id, user)
                yield replay.feed(row, stream.policy, foreign).outcome, result.outcome


def _foreign(owners: dict[str, str], chat_id: str, user: str) -> Chat | None:
    owner = owners.get(chat_id, user)
    return None if owner == user else foreign_chat(chat_id, owner, "1-0")


@given(streams())
def test_the_journal_is_enough(stream: Stream) -> None:
    """Outcomes, accounts, chats and ledger are the world's, whoever names whose chats and ids."""
    told = Told(stream)
    for expected, found in told.outcomes:
        assert expected == found
    for user, replay in told.replays.items():
        assert replay.account == told.world.accounts[user]
        mine = [chat_id for chat_id, owner in told.world.owner.items() if owner == user]
        assert replay.chats == {chat_id: told.world.chat(chat_id) for chat_id in mine}
        assert replay.ledger == [line for line in told.ledger if line.user_id == user]


def test_an_entry_that_was_set_aside_has_no_effect() -> None:
    """Not even time passes; and the operator's limit is believed."""
    replay = Replay("u", opened(Account("u"), 1, 1_000_000, 0))
    aside = Journaled("1000-0", START, outcomes.INTERNAL_ERROR, False)
    assert replay.feed(aside, Policy()).outcome == outcomes.INTERNAL_ERROR
    assert (replay.applied, replay.account.chats) == ("1000-0", {})
    full = Journaled("1001-0", START, outcomes.AT_CAPACITY, False)
    assert replay.feed(full, Policy()).outcome == outcomes.AT_CAPACITY
    assert (replay.applied, replay.account.chats) == ("1001-0", {})


def test_rows_come_in_their_order_and_to_their_user() -> None:
    """Anything else is a mistake of whoever feeds them."""
    replay = Replay("u", opened(Account("u"), 1, 1_000_000, 0))
    replay.feed(Journaled("1000-0", START, outcomes.OK, False), Policy())
    with pytest.raises(AssertionError, match="stream order"):
        replay.feed(Journaled("1000-0", START, outcomes.OK, True), Policy())
    other = Journaled("1001-0", {**START, "user_id": "w"}, outcomes.OK, False)
    with pytest.raises(AssertionError, match="command's user"):
        replay.feed(other, Policy())


def test_time_passes_alone() -> None:
    """What falls due comes about without a row."""
    replay = Replay("u", opened(Account("u"), 1, 1_000, 0))
    start = {**START, "rate": "60"}
    replay.feed(Journaled("1000-0", start, outcomes.OK, False), Policy(warn_ms=()))
    step = replay.pass_time(2_000, Policy(warn_ms=()))
    assert [event.event for event in step.events] == ["credits.exhausted", "chat.ended"]
    assert replay.ended["c"].ended_at == 1001
