"""The whole stream folded in memory, without actors or servers: the model that tests compare with.

The daemon spreads the fold over actors and Redis; whatever it does must equal what is here.
"""

from collections.abc import Sequence
from typing import NamedTuple

from meterd.rules import outcomes
from meterd.rules.commands import Command, InvalidCommand, entry_key, fingerprint, parse_entry
from meterd.rules.fold import apply
from meterd.rules.idempotency import IdempotencyRecord, repeated_outcome
from meterd.rules.model import Account, Chat, Event, LedgerEntry, Policy
from meterd.rules.partitions import ONLY, Partition


class Result(NamedTuple):
    """What followed from one entry."""

    entry: str
    id: str
    outcome: str
    replayed: bool
    events: list[Event]
    ledger: list[LedgerEntry]
    message: str = ""
    repeated: IdempotencyRecord | None = None
    """The first use of an id that was used before."""


class World:
    """Accounts, chats and ids as the entries so far have made them."""

    def __init__(self, policy: Policy, partition: Partition = ONLY) -> None:
        """Begin empty, under one policy (``policy`` may be set anew between entries)."""
        self._partition = partition
        self.policy = policy
        self.accounts: dict[str, Account] = {}
        self.ended: dict[str, Chat] = {}
        self.owner: dict[str, str] = {}
        self.ids: dict[str, IdempotencyRecord] = {}
        self._last = (0, 0)

    def feed(self, entry: str, flat: Sequence[bytes]) -> Result:
        """Apply the next entry of the stream; entries come in ID order."""
        assert entry_key(entry) > self._last, "the fold follows the order of the stream"
        self._last = entry_key(entry)
        command = parse_entry(entry, flat, self._partition)
        if isinstance(command, InvalidCommand):
            return Result(entry, command.id, command.outcome, False, [], [], command.reason)
        return self._apply(command)

    def chat(self, chat_id: str) -> Chat | None:
        """The chat as of its last change, open or ended; None if it never started."""
        if chat_id in self.ended:
            return self.ended[chat_id]
        account = self.accounts.get(self.owner.get(chat_id, ""))
        return account.chats.get(chat_id) if account else None

    def _apply(self, command: Command) -> Result:
        seen = self.ids.get(command.id) if command.id else None
        inert = repeated_outcome(command, seen)
        user_id = command.user_id or self.owner.get(command.chat_id, "")
        account = self.accounts.get(user_id, Account(user_id))
        known = self.chat(command.chat_id) if command.chat_id not in account.chats else None
        decision = apply(account, command, self.policy, known, inert=inert)
        if command.id and seen is None:
            self.ids[command.id] = IdempotencyRecord(
                fingerprint(command), decision.outcome, command.entry
            )
        self._keep(decision.account, decision.touched)
        replayed = bool(inert) and inert != outcomes.ID_CONFLICT
        return Result(
            command.entry,
            command.id,
            decision.outcome,
            replayed,
            decision.events,
            decision.ledger,
            repeated=seen if replayed else None,
        )

    def _keep(self, account: Account, touched: dict[str, Chat]) -> None:
        if account.user_id:
            self.accounts[account.user_id] = account
        for chat in touched.values():
            self.owner[chat.chat_id] = chat.user_id
            if chat.ended_at_ms is not None:
                self.ended[chat.chat_id] = chat
