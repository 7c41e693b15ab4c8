"""A chat's story: its user's journal folded with the pure rules, change by change.

A journal row without an effect (refused, or a repeated id) still stands for a moment at which
what was due came about: it is folded as a ``settle``.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from actors.rules import outcomes
from actors.rules.billing import active_ms, cost
from actors.rules.command import Command, Invalid, entry_ms, parse_entry
from actors.rules.due import next_due
from actors.rules.fold import Decision, apply
from actors.rules.money import format_micro
from actors.rules.state import Account, Chat, Event, Policy, Tariff
from persistence.postgres.rows import JournalRow

REFUSED: Final = "refused"
REPEATED: Final = "repeated"

_BY_TIME: Final = {
    "chat.paused": "no sign of life from the user",
    "chat.suspended": "the credits are used up",
    "chat.ended": "the credits are used up",
    "credits.exhausted": "the account can't pay for the next millisecond",
}


_TOLD: Final = ("rate", "amount", "reason")
"""Fields that say why, next to a command's type and id."""


class StoryError(Exception):
    """The journal can't be folded; the message says why."""


class Line(NamedTuple):
    """Something that happened to the chat, or to its account while it was open."""

    at: int
    event: str
    """As in the contract, or ``refused`` or ``repeated`` for a command without effect."""
    why: str
    active_ms: int
    cost: str
    """So far, in credits."""
    outcome: str | None
    """Of the command that did it; None where time alone did, as for ``entry`` and ``id``."""
    entry: str | None
    id: str | None


def read_policy(document: Mapping[str, Any]) -> Policy:
    """A policy from its row in the ``policies`` table."""
    tariff, warn_ms = Tariff(**document["tariff"]), tuple(document["warn_ms"])
    return Policy(**{**document, "tariff": tariff, "warn_ms": warn_ms})


class Story:
    """The fold of one user's journal, seen from one of the chats."""

    def __init__(self, chat_id: str, user_id: str, policies: Mapping[str, Policy]) -> None:
        """Nothing has happened yet."""
        self._chat_id = chat_id
        self._policies = policies
        self._account = Account(user_id)
        self._ended: dict[str, Chat] = {}

    def tell(self, journal: Iterable[JournalRow]) -> Iterator[Line]:
        """The story, line by line as the journal is read."""
        for row in journal:
            if row.outcome == outcomes.INVALID_COMMAND:
                continue
            policy = self._policies.get(row.policy_id)
            if policy is None:
                raise StoryError(f"the journal names a policy that is not there: {row.policy_id}")
            yield from self._by_time(entry_ms(row.stream_id), policy)
            yield from self._by_command(row, policy)

    def _by_time(self, before: int, policy: Policy) -> Iterator[Line]:
        """What fell due before a row's millisecond, one after the other."""
        while True:
            due = next_due(self._account, policy)
            if due is None or due.at >= before:
                return
            settle = _settle(f"{due.at + 1}-0", self._account.user_id)
            for event in self._fold(settle, policy):
                yield self._line(event.at, event.event, _left(event) or _BY_TIME[event.event])

    def _by_command(self, row: JournalRow, policy: Policy) -> Iterator[Line]:
        had_effect = row.outcome == outcomes.OK and not row.replayed
        command = _command(row) if had_effect else _settle(row.stream_id, self._account.user_id)
        events = self._fold(command, policy)
        by = row.outcome, row.stream_id, row.fields.get("id")
        for event in events:
            why = f"{_named(row)} {_left(event)}".rstrip()
            yield self._line(event.at, event.event, why, *by)
        if not had_effect and row.chat_id == self._chat_id:
            name = REPEATED if row.replayed else REFUSED
            why = f"{_named(row)}: {row.outcome}"
            yield self._line(entry_ms(row.stream_id), name, why, *by)

    def _fold(self, command: Command, policy: Policy) -> list[Event]:
        """Apply the command; returns the events that belong to this story."""
        known = self._ended.get(command.chat_id)
        was_open = self._chat_id in self._account.chats
        decision = apply(self._account, command, policy, known)
        self._keep(decision)
        is_open = was_open or self._chat_id in self._account.chats
        return [
            event
            for event in decision.events
            if event.chat_id == self._chat_id or (event.chat_id is None and is_open)
        ]

    def _keep(self, decision: Decision) -> None:
        self._account = decision.account
        self._ended |= {k: c for k, c in decision.touched.items() if c.ended_at is not None}

    def _line(
        self,
        at: int,
        event: str,
        why: str,
        outcome: str | None = None,
        entry: str | None = None,
        id_: str | None = None,
    ) -> Line:
        chat = self._account.chats.get(self._chat_id) or self._ended.get(self._chat_id)
        active, spent = (active_ms(chat, at), cost(chat, at)) if chat else (0, 0)
        return Line(at, event, why, active, format_micro(spent), outcome, entry, id_)


def _settle(entry: str, user_id: str) -> Command:
    return Command(entry, entry_ms(entry), "settle", "", user_id, "", "", {}, {})


def _command(row: JournalRow) -> Command:
    flat = [part.encode() for field in row.fields.items() for part in field]
    command = parse_entry(row.stream_id, flat)
    if isinstance(command, Invalid):
        raise StoryError(f"the journal says that {row.stream_id} was valid, but {command.reason}")
    return command


def _named(row: JournalRow) -> str:
    fields = row.fields
    facts = (f"{name}={fields[name]}" for name in _TOLD if name in fields)
    return " ".join(filter(None, (fields.get("type"), fields.get("id"), *facts)))


def _left(event: Event) -> str:
    return f"({event.threshold_ms // 1000} s left or less)" if event.threshold_ms else ""
