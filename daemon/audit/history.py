"""A chat's history: its user's journal folded with the pure rules, change by change.

A journal row without an effect (refused, or a repeated id) still stands for a moment at which
what was due came about; time alone passes in its place.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from daemon.audit.opening_state import NOTHING_IMPORTED, OpeningState, StartedLater
from daemon.console.units import span
from daemon.errors import HistoryError
from meterd.rules import outcomes
from meterd.rules.billing import active_ms, cost
from meterd.rules.commands import InvalidCommand, entry_ms
from meterd.rules.deadlines import next_due
from meterd.rules.events import CHAT_ENDED, WALLET_ADJUSTED
from meterd.rules.model import ABANDONED, CREDITS_EXHAUSTED, LIMIT_REACHED, Event, Policy
from meterd.rules.money import format_micro
from meterd.rules.replay import JournalEntry, Replay, ReplayStep, command_of
from persistence.postgres.rows import JournalRow

REFUSED: Final = "refused"
REPEATED: Final = "repeated"

FREE_TIME_MOVED: Final = "free_time.moved"
"""No event: another chat of the account has changed what this one gets of their free time."""

_BY_TIME: Final = {
    "chat.paused": "no sign of life from the user",
    "chat.suspended": "the credits are used up",
    "credits.exhausted": "the account can't pay for the next millisecond",
}
_ENDED_BY_TIME: Final = {
    CREDITS_EXHAUSTED: "the credits are used up",
    ABANDONED: "abandoned: no sign of life from the user for {abandon_s:g} s",
    LIMIT_REACHED: "it has been active for {max_s:g} s, its limit",
}

_TOLD: Final = ("rate", "amount", "reason", "partial")
"""Fields that say why, next to a command's type and id."""


class HistoryLine(NamedTuple):
    """Something that happened to the chat, or to its account while it was open."""

    at: int
    event: str
    """As in the contract; ``refused`` or ``repeated`` for a command without effect;
    ``free_time.moved`` where another chat of the account has changed this one's free time."""
    why: str
    active_ms: int
    cost: str
    """So far, in credits."""
    outcome: str | None
    """Of the command that did it; None where time alone did, as for ``entry`` and ``id``."""
    entry: str | None
    id: str | None


class ChatHistory:
    """The fold of one user's journal, seen from one of the chats."""

    def __init__(
        self,
        chat_id: str,
        user_id: str,
        policies: Mapping[str, Policy],
        imported: OpeningState = NOTHING_IMPORTED,
    ) -> None:
        """Begin with what was imported from another system, or is in an archive.

        Raises:
            HistoryError: what an archive has left of the account can't be read.
        """
        if imported.fault:
            raise HistoryError(f"the opening state of {user_id} can't be used: {imported.fault}")
        self._chat_id = chat_id
        self._policies = policies
        self._replay = Replay(user_id, imported.account, imported.ended)
        self._later = StartedLater(imported)

    def lines(self, journal: Iterable[JournalRow]) -> Iterator[HistoryLine]:
        """The history, line by line as the journal is read."""
        for row in journal:
            if row.outcome in outcomes.NO_COMMAND:
                continue
            policy = self._policies.get(row.policy_id)
            if policy is None:
                raise HistoryError(f"the journal names a policy that is not there: {row.policy_id}")
            yield from self._by_time(entry_ms(row.stream_id), policy)
            yield from self._by_command(row, policy)

    def _by_time(self, before: int, policy: Policy) -> Iterator[HistoryLine]:
        """What fell due before a row's millisecond, one after the other."""
        while True:
            due = next_due(self._replay.account, policy)
            if due is None or due.at_ms >= before:
                return
            was_open, before_ms = self._is_open(), self._free_ms()
            step = self._replay.pass_time(due.at_ms + 1, policy)
            for event in self._mine(step, was_open):
                yield self._line(event.at_ms, event.event, _left(event) or self._by_time_why(event))
            yield from self._moved(step, before_ms)

    def _by_command(self, row: JournalRow, policy: Policy) -> Iterator[HistoryLine]:
        by = row.outcome, row.stream_id, row.fields.get("id")
        if row.outcome == outcomes.OK and not row.replayed:
            self._later.look(row, self._replay)
            was_open, before_ms = self._is_open(), self._free_ms()
            step = self._replay.feed(_journaled(row), policy)
            for event in self._mine(step, was_open):
                why = f"{_named(row)}{_by_hand(event, step)} {_left(event)}".rstrip()
                yield self._line(event.at_ms, event.event, why, *by)
            yield from self._moved(step, before_ms)
        elif row.chat_id == self._chat_id:
            name = REPEATED if row.replayed else REFUSED
            why = f"{_named(row)}: {row.outcome}"
            yield self._line(entry_ms(row.stream_id), name, why, *by)

    def _by_time_why(self, event: Event) -> str:
        chat = self._replay.chat(self._chat_id)
        if event.event != CHAT_ENDED or chat is None:
            return _BY_TIME[event.event]
        reason = _ENDED_BY_TIME[event.reason or CREDITS_EXHAUSTED]
        return reason.format(abandon_s=chat.abandon_ms / 1000, max_s=chat.max_ms / 1000)

    def _moved(self, step: ReplayStep, before_ms: int | None) -> Iterator[HistoryLine]:
        """Whether this chat got more or less free time by what happened to others.

        Which ones is not said: they may be with somebody else.
        """
        now_ms = self._free_ms()
        of_chats = [event for event in step.events if event.chat_id]
        is_told = any(event.chat_id == self._chat_id for event in of_chats)
        if of_chats and not is_told and before_ms is not None and now_ms not in (None, before_ms):
            moved = f"{span(now_ms)} instead of {span(before_ms)}"
            why = f"another chat that shares its free time: {moved}"
            yield self._line(of_chats[-1].at_ms, FREE_TIME_MOVED, why)

    def _free_ms(self) -> int | None:
        """What the chat gets of free time; None while it is not open."""
        chat = self._replay.account.chats.get(self._chat_id)
        return None if chat is None else chat.free_ms

    def _is_open(self) -> bool:
        return self._chat_id in self._replay.account.chats

    def _mine(self, step: ReplayStep, was_open: bool) -> list[Event]:
        """The events that belong to this history."""
        is_open = was_open or self._is_open()
        return [
            event
            for event in step.events
            if event.chat_id == self._chat_id or (event.chat_id is None and is_open)
        ]

    def _line(
        self,
        at: int,
        event: str,
        why: str,
        outcome: str | None = None,
        entry: str | None = None,
        id_: str | None = None,
    ) -> HistoryLine:
        chat = self._replay.chat(self._chat_id)
        active, spent = (active_ms(chat, at), cost(chat, at)) if chat else (0, 0)
        return HistoryLine(
            at=at,
            event=event,
            why=why,
            active_ms=active,
            cost=format_micro(spent),
            outcome=outcome,
            entry=entry,
            id=id_,
        )


def _journaled(row: JournalRow) -> JournalEntry:
    journaled = JournalEntry(row.stream_id, row.fields, row.outcome, row.replayed)
    command = command_of(journaled)
    if isinstance(command, InvalidCommand):
        raise HistoryError(f"the journal says that {row.stream_id} was valid, but {command.reason}")
    return journaled


def _named(row: JournalRow) -> str:
    fields = row.fields
    facts = (f"{name}={fields[name]}" for name in _TOLD if name in fields)
    return " ".join(filter(None, (fields.get("type"), fields.get("id"), *facts)))


def _by_hand(event: Event, step: ReplayStep) -> str:
    """What an adjustment gave or took, which may be less than it asked for."""
    if event.event != WALLET_ADJUSTED:
        return ""
    amount = sum(entry.amount_micro for entry in step.ledger if entry.kind == "adjustment")
    done = "given" if amount > 0 else "taken"
    return f": {format_micro(abs(amount))} credits {done} by hand"


def _left(event: Event) -> str:
    return f"({event.threshold_ms // 1000} s left or less)" if event.threshold_ms else ""
