"""A user's journal, folded again row by row, gives what the whole stream gave."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.chat.rows import chat_of_record, record_row
from meterd.rules import outcomes
from meterd.rules.commands import Command, is_identifier, parse_entry
from meterd.rules.model import ENDED, Account, Chat, LedgerEntry, Policy
from meterd.rules.opening_balance import MIGRATED, OpeningEntry, opened, openings
from meterd.rules.replay import JournalEntry, Replay, foreign_chat
from meterd.rules.snapshots import chat_snapshot
from tests.rules.strategies import Stream, streams
from tests.world import World

START = {"type": "start", "id": "s", "chat_id": "c", "user_id": "u", "advisor_id": "v"}


class Told:
    """A stream's world, and a replay of every user beside it, fed from the journal."""

    def __init__(self, stream: Stream, amounts: tuple[int, ...] = (), old: int = 0) -> None:
        self.world = World(stream.policy)
        self.replays: dict[str, Replay] = {}
        self._bring(stream, amounts, old)
        self.ledger: list[LedgerEntry] = []
        self.outcomes = list(self._feed(stream))

    def _bring(self, stream: Stream, amounts: tuple[int, ...], old: int) -> None:
        """Everybody had so much elsewhere, in so many steps, and so many chats that have ended."""
        named = [entry.fields for entry in stream.entries if "chat_id" in entry.fields]
        chats = sorted({str(fields["chat_id"]) for fields in named})[:old]
        users = sorted({str(e.fields["user_id"]) for e in stream.entries if "user_id" in e.fields})
        for user in filter(is_identifier, users):
            begin = openings(user, [OpeningEntry(n, a, 0) for n, a in enumerate(amounts, 1)])
            mine = [_old(chat, user) for chat in chats[users.index(user) :: len(users)]]
            self.replays[user] = Replay(user, begin[-1] if begin else None, mine)
            self.world.accounts[user] = self.replays[user].account
            self.world.ended |= {chat.chat_id: chat for chat in mine}
            self.world.owner |= {chat.chat_id: user for chat in mine}

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
                row = JournalEntry(entry.id, entry.fields, result.outcome, result.replayed)
                replay = self.replays.setdefault(user, Replay(user))
                foreign = _foreign(before, command.chat_id, user)
                yield replay.feed(row, stream.policy, foreign).outcome, result.outcome


def _foreign(owners: dict[str, str], chat_id: str, user: str) -> Chat | None:
    owner = owners.get(chat_id, user)
    return None if owner == user else foreign_chat(chat_id, owner, "1-0")


def _old(chat_id: str, user: str) -> Chat:
    """A chat that ended in another system: its tariff is unknown, nothing is charged."""
    return Chat(
        chat_id, user, "v", ENDED, started_at_ms=10, since_ms=1_000, as_of_ms=1_000,
        alive_at_ms=1_000, rate_micro=0, free_ms=0, min_ms=0, increment_ms=0, idle_ms=0,
        active_ms=500, carried_cost_micro=70, ended_at_ms=1_000, end_reason=MIGRATED,
    )  # fmt: skip


@given(streams(), st.lists(st.integers(1, 10**9), max_size=3), st.integers(0, 3))
def test_what_was_brought_is_where_it_goes_on(stream: Stream, amounts: list[int], old: int) -> None:
    """As the world's that began with it: balances, and chats that can only be refunded."""
    told = Told(stream, tuple(amounts), old)
    for expected, found in told.outcomes:
        assert expected == found
    for user, replay in told.replays.items():
        assert replay.account == told.world.accounts[user]
        mine = [chat_id for chat_id, owner in told.world.owner.items() if owner == user]
        assert replay.chats == {chat_id: told.world.chat(chat_id) for chat_id in mine}
        for chat in replay.chats.values():
            shown, row = chat_snapshot(chat, chat.as_of_ms), record_row(chat)
            assert chat_of_record(row).increment_ms == chat.increment_ms
            if not chat.increment_ms:
                assert (shown["billed_ms"], shown["active_ms"], row.source) == (
                    500,
                    500,
                    "migrated",
                )
                assert 0 <= chat.refunded_micro <= 70


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
    replay = Replay("u", opened(Account("u"), OpeningEntry(1, 1_000_000, 0)))
    aside = JournalEntry("1000-0", START, outcomes.INTERNAL_ERROR, False)
    assert replay.feed(aside, Policy()).outcome == outcomes.INTERNAL_ERROR
    assert (replay.applied, replay.account.chats) == ("1000-0", {})
    full = JournalEntry("1001-0", START, outcomes.AT_CAPACITY, False)
    assert replay.feed(full, Policy()).outcome == outcomes.AT_CAPACITY
    assert (replay.applied, replay.account.chats) == ("1001-0", {})


def test_rows_come_in_their_order_and_to_their_user() -> None:
    """Anything else is a mistake of whoever feeds them."""
    replay = Replay("u", opened(Account("u"), OpeningEntry(1, 1_000_000, 0)))
    replay.feed(JournalEntry("1000-0", START, outcomes.OK, False), Policy())
    with pytest.raises(AssertionError, match="stream order"):
        replay.feed(JournalEntry("1000-0", START, outcomes.OK, True), Policy())
    other = JournalEntry("1001-0", {**START, "user_id": "w"}, outcomes.OK, False)
    with pytest.raises(AssertionError, match="command's user"):
        replay.feed(other, Policy())


def test_time_passes_alone() -> None:
    """What falls due comes about without a row."""
    replay = Replay("u", opened(Account("u"), OpeningEntry(1, 1_000, 0)))
    start = {**START, "rate": "60"}
    replay.feed(JournalEntry("1000-0", start, outcomes.OK, False), Policy(warn_ms=()))
    step = replay.pass_time(2_000, Policy(warn_ms=()))
    assert [event.event for event in step.events] == ["credits.exhausted", "chat.ended"]
    assert replay.ended["c"].ended_at_ms == 1001
