"""Users' journals out of Postgres, folded with the pure rules, one user after the other.

What a user's fold needs is in memory; the rows of the journal come and go.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Generic, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection

from daemon.audit.differences import Difference, Tell, of_row
from daemon.audit.opening_state import OpeningState, StartedLater, opening_state_of
from meterd.rules import outcomes
from meterd.rules.commands import entry_key, entry_ms
from meterd.rules.model import Account, Chat, Event, LedgerEntry, Policy
from meterd.rules.partitions import ONLY, Partition
from meterd.rules.replay import JournalEntry, Replay, ReplayStep, foreign_chat
from persistence.postgres import reader
from persistence.postgres.archives import opening_states_of_users
from persistence.postgres.reader import ChatOwner
from persistence.postgres.rows import JournalRow, LedgerRow, RecordRow
from persistence.redis.commit import read_policy

Until = Mapping[str, Set[str]]
"""By user, the entries after which to look at the account."""


class _OfUser(Protocol):
    @property
    def user_id(self) -> str | None: ...


Watch = Callable[[JournalRow, list[Event]], None]
"""Gets each row and the events that the fold makes of it."""


Row = TypeVar("Row", bound=_OfUser)


def watch_nothing(_row: JournalRow, _events: list[Event]) -> None:
    """For who does not look at what rows make."""


class Position(NamedTuple):
    """An account as it is after one entry."""

    applied: str
    account: Account
    chats: Mapping[str, Chat]


class Cut(NamedTuple):
    """A millisecond at which to look at every account, and who takes the rows before it."""

    cut_ms: int
    take: Callable[[JournalRow], None]


class AtCut(NamedTuple):
    """An account before a cut, and what its journal's rows before it have made of the ledger."""

    point: Position
    ledger: list[LedgerEntry]


class Folded(NamedTuple):
    """One user: what the fold makes of the journal, and what else Postgres has."""

    user: str
    replay: Replay
    records: dict[str, RecordRow]
    ledger: dict[str, LedgerRow]
    entries: int
    points: dict[str, Position]
    """The account after those entries that were to be looked at and are in the journal."""
    is_whole: bool
    """Whether the rules could go on to the last row."""
    opening: OpeningState
    """What the journal's first row met."""
    started_later: Set[str]
    """Chats of the opening that had not ended then, because the journal starts them."""
    owners: Sequence[ChatOwner]
    """Chats that the user's commands name and that are another user's."""
    at_cut: AtCut | None

    @property
    def end(self) -> Position:
        """The account after the last row."""
        return _point(self.replay)


class ByUser(Generic[Row]):
    """Rows that come user by user, given out user by user."""

    def __init__(self, rows: Iterable[Row]) -> None:
        """Read ahead by one row."""
        self._rows = iter(rows)
        self._next = next(self._rows, None)

    @property
    def is_over(self) -> bool:
        """Whether every row was given out."""
        return self._next is None

    def of(self, user: str) -> Iterator[Row]:
        """The user's rows; users are asked for in the order in which they come."""
        while self._next is not None and self._next.user_id == user:
            row = self._next
            self._next = next(self._rows, None)
            yield row


class Folding:
    """The folds of a page of users, in one snapshot of the database."""

    def __init__(
        self,
        connection: Connection,
        users: Sequence[str],
        tell: Tell,
        watch: Watch = watch_nothing,
        partitions: int = 1,
    ) -> None:
        """``users`` in the database's order; rows that are not as the fold's go to ``tell``.

        ``partitions``: into so many the accounts are shared out.
        """
        self._partitions = partitions
        self._users = users
        self._tell = tell
        self._watch = watch
        self._policies = {k: read_policy(v) for k, v in reader.fetch_policies(connection).items()}
        self._owners = _by_user(reader.foreign_owners(connection, users))
        self._journal = ByUser(reader.journal_of_users(connection, users))
        self._records = ByUser(reader.records_of_users(connection, users))
        self._ledger = ByUser(reader.ledger_of_users(connection, users))
        self._free_times = ByUser(reader.free_times_of_users(connection, users))
        self._states = opening_states_of_users(connection, users)

    def users(
        self, until: Until, count: Callable[[], None] = lambda: None, cut: Cut | None = None
    ) -> Iterator[Folded]:
        """The users in turn.

        Args:
            until: entries after which to look at an account, by user.
            count: called for every row.
            cut: a millisecond before which to look at every account.
        """
        for user in self._users:
            yield self._fold(user, until.get(user, frozenset()), count, cut)
        streams = (self._journal, self._records, self._ledger, self._free_times)
        assert all(stream.is_over for stream in streams), "all tables are read in one order"

    def _fold(
        self, user: str, until: Set[str], count: Callable[[], None], cut: Cut | None
    ) -> Folded:
        records = {row.chat_id: row for row in self._records.of(user)}
        ledger = {row.entry_id: row for row in self._ledger.of(user)}
        free_times = self._free_times.of(user)
        state = self._states.get(user)
        opening = opening_state_of(user, records.values(), ledger.values(), free_times, state)
        replay = Replay(user, opening.account, opening.ended)
        owners, later = self._owners.get(user, ()), StartedLater(opening)
        foreign = Foreign(owners, Partition.of_user(user, self._partitions))
        fold = Fold(replay, self._policies, foreign, later, self._tell, self._watch)
        if opening.fault:
            fold.refuse_state(user, opening.fault)
        points, entries, at_cut = _openings(opening, until), 0, None
        for row in self._journal.of(user):
            if cut is not None and at_cut is None:
                at_cut = _at_cut(row, cut, replay)
            fold.take(row)
            entries += 1
            if row.stream_id in until:
                points[row.stream_id] = _point(replay)
            count()
        if cut is not None and at_cut is None:
            at_cut = AtCut(_point(replay), list(replay.ledger))
        return Folded(
            user=user,
            replay=replay,
            records=records,
            ledger=ledger,
            entries=entries,
            points=points,
            is_whole=fold.is_whole,
            opening=opening,
            started_later=later.chats,
            owners=owners,
            at_cut=at_cut,
        )


class Fold:
    """One user's fold on its way through the journal."""

    def __init__(
        self,
        replay: Replay,
        policies: Mapping[str, Policy],
        foreign: "Foreign",
        later: StartedLater,
        tell: Tell,
        watch: Watch = watch_nothing,
    ) -> None:
        """Begin with what the replay has; rows that are not as the fold's go to ``tell``."""
        self._watch = watch
        self.is_whole = True
        self._replay = replay
        self._policies = policies
        self._foreign = foreign
        self._later = later
        self._tell = tell

    def refuse_state(self, user: str, fault: str) -> None:
        """Fold nothing: there is no telling where to begin."""
        self.is_whole = False
        self._tell(
            Difference(
                kind="opening_state",
                user=user,
                chat=None,
                entry=None,
                expected="the state that was archived",
                found=fault,
            )
        )

    def take(self, row: JournalRow) -> None:
        """Fold a row, unless one before it could not be folded."""
        if not self.is_whole:
            return
        policy = self._policies.get(row.policy_id)
        if policy is None:
            self._give_up(row, "policy", "a policy that is known", row.policy_id)
            return
        try:
            step = self._feed(row, policy)
        except AssertionError as error:
            self._give_up(row, "rules", str(error) or "the rules hold", "not so")
            return
        self._watch(row, step.events)
        if step.outcome != row.outcome:
            self._tell(of_row("outcome", row, step.outcome, row.outcome))

    def _feed(self, row: JournalRow, policy: Policy) -> ReplayStep:
        journaled = JournalEntry(row.stream_id, row.fields, row.outcome, row.replayed)
        self._later.look(row, self._replay)
        foreign = self._foreign.chat_of(row)
        return self._replay.feed(journaled, policy, foreign)

    def _give_up(self, row: JournalRow, kind: str, expected: str, found: str) -> None:
        self.is_whole = False
        self._tell(of_row(kind, row, expected, found))


class Foreign:
    """Chats that belong to others, each from the moment at which it started."""

    def __init__(self, owners: Iterable[ChatOwner], partition: Partition = ONLY) -> None:
        """Take in whose chats they are; ``partition``: that of the journal that names them."""
        self._partition = partition
        self._owners: dict[str, list[ChatOwner]] = {}
        for one in owners:
            self._owners.setdefault(one.chat_id, []).append(one)

    def chat_of(self, row: JournalRow) -> Chat | None:
        """The chat that a row names, if it had started before.

        That another partition had it, if only until a start there was refused, the row alone says:
        their streams have no common order.
        """
        if row.chat_id is None:
            return None
        for one in self._owners.get(row.chat_id, ()):
            is_before = not one.entry or entry_key(one.entry) < entry_key(row.stream_id)
            if is_before and self._partition.has(one.owner):
                return foreign_chat(one.chat_id, one.owner, one.entry)
        if self._partition.partitions > 1 and row.outcome == outcomes.USER_MISMATCH:
            return foreign_chat(row.chat_id, "", row.stream_id)
        return None


def _point(replay: Replay) -> Position:
    return Position(replay.applied, replay.account, replay.chats)


def _by_user(owners: Iterable[ChatOwner]) -> dict[str, list[ChatOwner]]:
    mine: dict[str, list[ChatOwner]] = {}
    for one in owners:
        mine.setdefault(one.user_id, []).append(one)
    return mine


def _at_cut(row: JournalRow, cut: Cut, replay: Replay) -> AtCut | None:
    """Where the account is, if the row is the first after the cut; else the row is taken."""
    if entry_ms(row.stream_id) >= cut.cut_ms:
        return AtCut(_point(replay), list(replay.ledger))
    cut.take(row)
    return None


def _openings(opening: OpeningState, until: Set[str]) -> dict[str, Position]:
    """The account before its first row, after each of its opening entries."""
    chats = {chat.chat_id: chat for chat in opening.ended}
    steps = [opening.archived.opened] if opening.archived is not None else opening.steps
    return {
        step.head: Position(step.head, step.account, {**chats, **step.account.chats})
        for step in steps
        if step.head in until
    }
