"""One user's journal folded again, row by row: the same rules, none of the daemon around them.

Whoever has the journal has the account. What the journal says of a row is not believed, but for
the things that the fold of one user can't know: that an id was used before, that the operator's
limit was reached, that an entry was set aside, that a chat had not yet been imported from another
system, and that another partition had a chat.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from meterd.rules import outcomes
from meterd.rules.commands import Command, InvalidCommand, entry_key, entry_ms, parse_entry
from meterd.rules.fold import Decision, apply
from meterd.rules.free_time import shares
from meterd.rules.model import ENDED, Account, Chat, Event, LedgerEntry, Policy, chat_at
from meterd.rules.opening_balance import ORIGIN, OpenedAccount
from meterd.rules.outcomes import Outcome
from meterd.rules.partitions import ONLY, Partition

_OF_UNKNOWN: Final = (
    outcomes.UNKNOWN_CHAT, outcomes.INSUFFICIENT_CREDITS, outcomes.AT_CAPACITY,
)  # fmt: skip
"""What a command can get only if its chat is not there, or is open."""


class JournalEntry(NamedTuple):
    """A row of the journal, as far as the fold needs it."""

    entry: str
    fields: Mapping[str, Any]
    outcome: str
    replayed: bool


class ReplayStep(NamedTuple):
    """What the rules make of one row."""

    outcome: Outcome
    events: list[Event]
    ledger: list[LedgerEntry]


class Replay:
    """One account as its journal makes it, from its beginning to the last row that was fed."""

    def __init__(
        self, user_id: str, begin: OpenedAccount | None = None, ended: Iterable[Chat] = ()
    ) -> None:
        """Begin before the first row.

        Args:
            user_id: whose account.
            begin: the account as it was imported from another system, if it was.
            ended: chats of the user that ended there.
        """
        head, account = begin or OpenedAccount(ORIGIN, Account(user_id))
        self.account = account
        self.applied = head
        """The last entry that had its turn in the account, with or without an effect."""
        self.ended = {chat.chat_id: chat for chat in ended}
        self._met: set[str] = set()
        """Imported chats that a row has found there: no later one can have missed them."""
        self.ledger: list[LedgerEntry] = []

    @property
    def chats(self) -> dict[str, Chat]:
        """Every chat of the user, ended and open, as of its last change."""
        return {**self.ended, **self.account.chats}

    def chat(self, chat_id: str) -> Chat | None:
        """One of them; None if it never started."""
        return self.account.chats.get(chat_id) or self.ended.get(chat_id)

    def feed(self, row: JournalEntry, policy: Policy, foreign: Chat | None = None) -> ReplayStep:
        """Apply the next row; returns what it should say and what follows from it.

        Args:
            row: the next row of this user, in the order of the stream.
            policy: the settings it was decided under.
            foreign: the chat it names, if that had been another user's before.

        Raises:
            AssertionError: a rule that must hold does not; the account stays as it was before.
        """
        if row.outcome == outcomes.INTERNAL_ERROR and not row.replayed:
            self.applied = row.entry
            return ReplayStep(outcomes.INTERNAL_ERROR, [], [])
        command = command_of(row)
        if isinstance(command, InvalidCommand):
            return ReplayStep(command.outcome, [], [])
        self._assert_next(command)
        step = self._apply(command, policy, foreign, row)
        self.applied = row.entry
        return step

    def pass_time(self, before: int, policy: Policy) -> ReplayStep:
        """Bring about what falls due before a millisecond, and nothing else."""
        settle = Command(
            entry=f"{before}-0",
            at_ms=before,
            type="settle",
            id="",
            user_id=self.account.user_id,
            chat_id="",
            reply_to="",
            fields={},
            numbers={},
        )
        return self._take(apply(self.account, settle, policy))

    def _assert_next(self, command: Command) -> None:
        assert command.user_id in ("", self.account.user_id), "a row belongs to its command's user"
        if self.applied:
            assert entry_key(command.entry) > entry_key(self.applied), "rows come in stream order"

    def _apply(
        self, command: Command, policy: Policy, foreign: Chat | None, row: JournalEntry
    ) -> ReplayStep:
        known = self._as_met(self.ended.get(command.chat_id) or foreign, row)
        refuse: Outcome | None = (
            outcomes.AT_CAPACITY if row.outcome == outcomes.AT_CAPACITY else None
        )
        is_inert = row.replayed or row.outcome == outcomes.ID_CONFLICT
        inert = cast("Outcome", row.outcome) if is_inert else None
        return self._take(apply(self.account, command, policy, known, refuse, inert))

    def _as_met(self, known: Chat | None, row: JournalEntry) -> Chat | None:
        """An imported chat was not there yet when a row before it came was decided."""
        if known is None or known.increment_ms:
            return known
        if known.chat_id not in self._met and row.outcome in _OF_UNKNOWN:
            return None
        self._met.add(known.chat_id)
        return known

    def _take(self, decision: Decision) -> ReplayStep:
        self._assert_gapless(decision)
        self.account = decision.account
        self.ended |= {k: c for k, c in decision.touched.items() if c.ended_at_ms is not None}
        self.ledger += decision.ledger
        return ReplayStep(decision.outcome, decision.events, decision.ledger)

    def _assert_gapless(self, decision: Decision) -> None:
        seqs: dict[str, int] = {}
        for event in decision.events:
            if event.chat_id is not None:
                known = self.chat(event.chat_id)
                before = seqs.get(event.chat_id, known.seq if known else 0)
                # Free time that is shared moves without an event.
                moves = shares(decision.touched[event.chat_id])
                assert event.seq == before + 1 or (moves and event.seq > before), (
                    "a chat's changes are numbered without gaps"
                )
                seqs[event.chat_id] = event.seq


def command_of(row: JournalEntry, partition: Partition = ONLY) -> Command | InvalidCommand:
    """What the fields of a partition's row are by the rules, whatever the journal says of them."""
    flat = [part.encode() for pair in _pairs(row.fields) for part in pair]
    return parse_entry(row.entry, flat, partition)


def foreign_chat(chat_id: str, owner: str, entry: str) -> Chat:
    """Another user's chat, as far as its owner matters to whoever names it.

    ``entry``: where it started; empty if it was imported from another system.
    """
    at, increment_ms = (entry_ms(entry), 1) if entry else (0, 0)
    chat = chat_at(chat_id, owner, at)
    return chat._replace(status=ENDED, ended_at_ms=at, increment_ms=increment_ms)


def _pairs(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values as they were sent; a field that came twice is kept as a list."""
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            yield name, str(one)
