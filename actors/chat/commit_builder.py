"""From tasks to a commit: the rules applied, and everything that follows written down."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

from actors.chat.replies import reply_message
from actors.chat.rows import command_row, invalid_row, quarantined_row, record_row
from actors.messages import INVALID_TYPE, Task
from meterd.rules import events, outcomes
from meterd.rules.commands import Command, InvalidCommand, entry_key, fingerprint
from meterd.rules.exhaustion import Outlook
from meterd.rules.fold import Decision, apply
from meterd.rules.idempotency import (
    CREDIT_TYPES,
    IdempotencyRecord,
    repeated_outcome,
)
from meterd.rules.model import Account, Chat, Event, LedgerEntry, Policy
from meterd.rules.outcomes import Outcome
from meterd.rules.snapshots import JsonObject, chat_snapshot, wallet_snapshot
from persistence.postgres.rows import JournalRow
from persistence.redis.commit import (
    CommandEffects,
    Commit,
    Limits,
    OutboxPayload,
    event_fields,
    ledger_row,
    pack_json,
    pack_payload,
    pack_state,
)

T = TypeVar("T")


class CommitContext(NamedTuple):
    """Who commits, and under what terms."""

    actor: str
    epoch: str
    policy: Policy
    policy_id: str
    limits: Limits
    partition: int = 0
    """Of the stream that the commands come from."""


class AccountView(NamedTuple):
    """What the actor knows of the world around the tasks of one account."""

    applied: str
    account: Account
    chats: Mapping[str, Chat]
    """Chats that are not open in the account: ended ones, other users'."""
    ids: Mapping[str, IdempotencyRecord]


class CommitBuilder:
    """A run of tasks of one account on its way to one commit."""

    def __init__(self, writer: CommitContext, memory: AccountView) -> None:
        """Begin with what is known."""
        self.writer = writer
        self.before = memory.applied
        self.applied = memory.applied
        self.account = memory.account
        self.seq_before = memory.account.seq
        self.around = memory.chats
        self.ended: dict[str, Chat] = {}
        self.ids = dict(memory.ids)
        self.touched: dict[str, Chat] = {}
        self.created: set[str] = set()
        self.events: list[Event] = []
        self.ledger: list[LedgerEntry] = []
        self.journal: list[JournalRow] = []
        self.entries: list[CommandEffects] = []
        self.outcomes: list[tuple[str, str, bool]] = []
        """Type, outcome, whether the id was used before: of each task."""
        self.dues: dict[int, int] = {}
        """When time imported something about: millisecond → how many events."""
        self.dead: dict[str, int] = {}
        """Outcome → entries that become dead letters."""
        self.tasks: list[Task] = []
        self.quarantined = ""
        self._outlook: Outlook | None = None
        """Of the account at its last change; None before the first one in here."""
        self._shown: dict[str, tuple[object, int, str]] = {}

    def add(self, task: Task) -> None:
        """Decide the next task."""
        self.tasks.append(task)
        if task.invalid is not None:
            self._invalid(task.invalid)
        elif task.command is not None:
            self._command(task.command, task)

    def quarantine(self, task: Task, why: str) -> None:
        """Nobody can decide this one, and nothing else is in this run: it gets its answer.

        It has no effect, and no time passes either: the account stays as it is.
        """
        assert not self.tasks, "what is set aside is set aside alone"
        self.tasks.append(task)
        # The account may be past the entry already; it never goes back.
        is_past = self.applied and entry_key(self.applied) > entry_key(task.entry)
        self.quarantined = self.applied = self.applied if is_past else task.entry
        outcome: Outcome = outcomes.INTERNAL_ERROR
        about = task.content
        remember = self._remember(task.command, outcome) if task.command else ""
        self.outcomes.append((task.kind, outcome, False))
        self._count_dead(outcome)
        self.journal.append(quarantined_row(task, self.writer.policy_id))
        reply = _reply_fields(about.id, outcome, outcomes.MESSAGES[outcome], about.entry, False)
        self.entries.append(
            CommandEffects(
                entry=about.entry,
                id=about.id,
                remember=remember,
                reply_to=about.reply_to,
                reply=reply,
                dead=_dead(about.entry, outcome, why, about.fields),
                id_ttl_ms=self._id_ttl_ms(task.kind),
            )
        )

    def commit(self) -> Commit:
        """All that follows from the tasks taken, as one atomic change."""
        user, changed = self.account.user_id, self.account.seq != self.seq_before
        return Commit(
            user=user,
            before=self.before,
            state=pack_state(self.applied, self.account) if user else "",
            open=len(self.account.chats),
            wallet=self._wallet(self.account.as_of_ms) if changed else "",
            chats=[
                (chat_id, self._snapshot(chat, chat.as_of_ms), chat_id in self.created)
                for chat_id, chat in self.touched.items()
            ],
            entries=self.entries,
            events=[event_fields(event) for event in self.events],
            payload=pack_payload(self._payload()),
            quarantined=self.quarantined,
        )

    def _command(self, command: Command, task: Task) -> None:
        seen = self.ids.get(command.id) if command.id else None
        inert = repeated_outcome(command, seen)
        known = self._known(command.chat_id) or task.known
        decision = apply(self.account, command, self.writer.policy, known, task.refuse, inert)
        if decision.events or decision.touched or decision.ledger:
            self._absorb(decision, command.at_ms)
        self.account, self.applied = decision.account, command.entry
        self._outlook = decision.outlook or self._outlook
        replayed = inert is not None and inert != outcomes.ID_CONFLICT
        self._append(command, decision.outcome, seen if replayed else None)

    def _absorb(self, decision: Decision, at: int) -> None:
        self.events += decision.events
        self.ledger += decision.ledger
        self.touched |= decision.touched
        for chat_id, chat in decision.touched.items():
            if chat.ended_at_ms is not None:
                self.ended[chat_id] = chat
        for event in decision.events:
            if event.at_ms < at:  # not by the command: time had imported it about before
                self.dues[event.at_ms] = self.dues.get(event.at_ms, 0) + 1
            elif event.event == events.CHAT_STARTED and event.chat_id:
                self.created.add(event.chat_id)

    def _known(self, chat_id: str) -> Chat | None:
        """A chat that is not open in the account, as far as anybody knows of it."""
        return self.ended.get(chat_id) or self.around.get(chat_id)

    def _append(
        self, command: Command, outcome: Outcome, repeated: IdempotencyRecord | None
    ) -> None:
        user, replayed = self.account.user_id, repeated is not None
        remember = self._remember(command, outcome)
        self.outcomes.append((command.type, outcome, replayed))
        self.journal.append(command_row(command, user, outcome, replayed, self.writer.policy_id))
        reply = self._reply(command, outcome, repeated) if command.reply_to else []
        self.entries.append(
            CommandEffects(
                entry=command.entry,
                id=command.id,
                remember=remember,
                reply_to=command.reply_to,
                reply=reply,
                id_ttl_ms=self._id_ttl_ms(command.type),
            )
        )

    def _remember(self, command: Command, outcome: Outcome) -> str:
        """What is kept of an id that had not been used; empty for one that had, or none."""
        if not command.id or command.id in self.ids:
            return ""
        record = IdempotencyRecord(fingerprint(command), outcome, command.entry)
        self.ids[command.id] = record
        return record.packed()

    def _id_ttl_ms(self, command_type: str) -> int:
        limits = self.writer.limits
        is_long = command_type in CREDIT_TYPES
        return limits.credit_id_ttl_ms if is_long else limits.id_ttl_ms

    def _reply(
        self, command: Command, outcome: Outcome, repeated: IdempotencyRecord | None
    ) -> list[str]:
        replayed = repeated is not None
        text = reply_message(command.type, outcome, repeated)
        fields = _reply_fields(command.id, outcome, text, command.entry, replayed)
        snapshot = self._reply_snapshot(command, outcome)
        return [*fields, "snapshot", snapshot] if snapshot else fields

    def _reply_snapshot(self, command: Command, outcome: str) -> str:
        if command.type in ("top_up", "adjust", "settle"):
            return self._wallet(command.at_ms)
        chat = self.account.chats.get(command.chat_id) or self._known(command.chat_id)
        if chat is None or chat.user_id != self.account.user_id:
            return ""  # nothing there, or nothing of this user's to show
        return self._snapshot(chat, command.at_ms)

    def _invalid(self, invalid: InvalidCommand) -> None:
        outcome, dead = invalid.outcome, list[str]()
        self.outcomes.append((INVALID_TYPE, outcome, False))
        if outcome == outcomes.INVALID_COMMAND:
            self._count_dead(outcome)
            dead = _dead(invalid.entry, outcome, invalid.reason, invalid.fields)
        self.journal.append(invalid_row(invalid, outcome, self.writer.policy_id))
        reply = _reply_fields(invalid.id, outcome, invalid.reason, invalid.entry, False)
        self.entries.append(
            CommandEffects(
                entry=invalid.entry,
                id="",
                remember="",
                reply_to=invalid.reply_to,
                reply=reply,
                dead=dead,
            )
        )

    def _count_dead(self, outcome: Outcome) -> None:
        self.dead[outcome] = self.dead.get(outcome, 0) + 1

    def _wallet(self, at: int) -> str:
        # Nothing but a change moves credits, and each change brings its outlook.
        seen = self._outlook if at == self.account.as_of_ms else None
        show = partial(wallet_snapshot, seen=seen)
        return self._cached(self.account.user_id, self.account, at, show)

    def _snapshot(self, chat: Chat, at: int) -> str:
        return self._cached(chat.chat_id, chat, at, chat_snapshot)

    def _cached(self, name: str, what: T, at: int, show: Callable[[T, int], JsonObject]) -> str:
        """The snapshot as text; a reply's is mostly the one that is kept as well."""
        shown = self._shown.get(name)
        if shown is None or shown[0] is not what or shown[1] != at:
            shown = self._shown[name] = (what, at, pack_json(show(what, at)))
        return shown[2]

    def _payload(self) -> OutboxPayload:
        return OutboxPayload(
            records=[record_row(chat) for chat in self.touched.values()],
            ledger=[ledger_row(entry, self.writer.partition) for entry in self.ledger],
            journal=self.journal,
        )


def _dead(entry: str, outcome: str, reason: str, fields: Mapping[str, object]) -> list[str]:
    return ["entry", entry, "outcome", outcome, "reason", reason, "fields", pack_json(fields)]


def _reply_fields(id_: str, outcome: str, message: str, entry: str, replayed: bool) -> list[str]:
    return [
        "id", id_,
        "outcome", outcome,
        "message", message,
        "entry", entry,
        "replayed", str(int(replayed)),
    ]  # fmt: skip
