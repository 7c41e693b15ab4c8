"""The elementary changes of an account, each with the events and ledger entries it makes."""

import itertools
from collections.abc import Iterable
from typing import cast

from meterd.rules import events, free_time
from meterd.rules.billing import active_ms, charge, owed
from meterd.rules.deadlines import warning_level
from meterd.rules.exhaustion import Outlook, outlook
from meterd.rules.model import (
    BY_COMMAND,
    ENDED,
    PAUSED,
    RUNNING,
    SUSPENDED,
    Account,
    Chat,
    Event,
    EventName,
    LedgerEntry,
    LedgerKind,
    PauseReason,
    Policy,
)


class Transition:
    """An account on its way through one command, and what has come of it so far.

    Every change of chats or credits is followed by one ``close`` at its millisecond, which
    shares out free time, finds the new zero_at and announces a warning if one is to be announced.
    """

    def __init__(self, account: Account, policy: Policy) -> None:
        """Begin with the account as it was."""
        self.account = account
        self.policy = policy
        self.events: list[Event] = []
        self.ledger: list[LedgerEntry] = []
        self.touched: dict[str, Chat] = {}
        self.outlook: Outlook | None = None
        """Of the last ``close``; None before it."""
        self._closed = account
        """The account as the last ``close`` left it."""
        self._numbered: set[str] = set()
        """Chats that have changed since then: their next snapshot is numbered already."""
        self._free_at_least_ms: dict[str, int] = {}
        """What a scope has used at least by now, as an adopted chat says."""

    def close(self, at: int) -> None:
        """After a change: the wallet as it is now, and the warning if it got tight."""
        self._share_free_time(at)
        account = self.account
        self.outlook = outlook(account, at)  # and no account is negative
        zero = self.outlook.zero_at_ms
        tight = warning_level(None if zero is None else zero - at, self.policy)
        if tight is not None and (account.announced_ms is None or tight < account.announced_ms):
            self.wallet_event(events.CREDITS_LOW, at, threshold_ms=tight)
        self.account = account._replace(
            zero_at_ms=zero, announced_ms=tight, as_of_ms=at, seq=account.seq + 1
        )
        self._closed = self.account
        self._numbered.clear()
        self._free_at_least_ms.clear()

    def number_changes(self, count: int) -> None:
        """Number ``count`` changes that need no ``close`` of their own.

        After each of them ``close`` would announce nothing: the account has no less credits, and
        nothing more burns. The last change of the millisecond is closed.
        """
        self.account = self.account._replace(seq=self.account.seq + count)

    def use_free_time(self, chat: Chat) -> None:
        """Count what an adopted chat used elsewhere: its scope has used at least that much."""
        if free_time.shares(chat) and chat.free_ms:
            key = free_time.scope_key(chat.free_scope, chat.advisor_id)
            self._free_at_least_ms[key] = chat.free_ms

    def open(self, chat: Chat) -> None:
        """Put a new chat into the account."""
        self._put(chat)
        self._chat_event(events.CHAT_STARTED, chat)

    def pause(self, chat: Chat, at: int, reason: PauseReason) -> None:
        """Stop the timer of a running chat."""
        alive_at_ms = at if reason == BY_COMMAND else chat.alive_at_ms
        chat = self._put(
            _stopped(chat, at)._replace(status=PAUSED, pause_reason=reason, alive_at_ms=alive_at_ms)
        )
        self._chat_event(events.CHAT_PAUSED, chat, reason)

    def resume(self, chat: Chat, at: int) -> None:
        """Run the timer of a chat again; a sign of life."""
        chat = self._put(resumed(_counted(chat, at), at))
        self._chat_event(events.CHAT_RESUMED, chat)

    def suspend(self, chat: Chat, at: int) -> None:
        """Stop the timer of a running chat until credits come."""
        chat = self._put(_stopped(chat, at)._replace(status=SUSPENDED))
        self._chat_event(events.CHAT_SUSPENDED, chat)

    def set_rate(self, chat: Chat, at: int, rate_micro: int) -> None:
        """Change the rate (micro-credits a minute) from now on."""
        chat = self._put(_counted(chat, at)._replace(rate_micro=rate_micro))
        self._chat_event(events.CHAT_RATE_CHANGED, chat)

    def end(self, chat: Chat, at: int, reason: str, command_id: str | None = None) -> None:
        """Close a chat for ever and charge it once."""
        chat = self._put(
            _stopped(chat, at)._replace(
                status=ENDED,
                since_ms=at,
                ended_at_ms=at,
                end_reason=reason,
                pause_reason=None,
            )
        )
        self._charge(chat, at, command_id)
        self._chat_event(events.CHAT_ENDED, chat, reason)

    def alive(self, chat: Chat, at: int) -> None:
        """Note a sign of life; nothing that a snapshot shows."""
        self._chats()[chat.chat_id] = chat._replace(alive_at_ms=at)

    def credit(
        self, kind: LedgerKind, amount: int, at: int, cause: tuple[str, str, str | None]
    ) -> None:
        """Add credits, or take some, for a cause: stream entry, command id, chat."""
        entry, command_id, chat_id = cause
        self.account = self.account._replace(settled_micro=self.account.settled_micro + amount)
        self.ledger.append(
            LedgerEntry(
                entry_id=f"{kind}:{entry}",
                user_id=self.account.user_id,
                chat_id=chat_id,
                kind=kind,
                amount_micro=amount,
                at_ms=at,
                command_id=command_id,
            )
        )

    def refunded(self, chat: Chat, at: int, amount: int) -> None:
        """Note on an ended chat's record what was given back."""
        chat = chat._replace(
            refunded_micro=chat.refunded_micro + amount, as_of_ms=at, seq=chat.seq + 1
        )
        self.touched[chat.chat_id] = chat
        self._chat_event(events.CHAT_REFUNDED, chat)

    def free_used_ms(self, at: int) -> dict[str, int]:
        """Return what each shared scope has used of its free time by ``at``."""
        used = free_time.used_ms(self._closed, at)
        for key, at_least_ms in self._free_at_least_ms.items():
            used[key] = max(used.get(key, 0), at_least_ms)
        return used

    def wallet_event(self, name: EventName, at: int, threshold_ms: int | None = None) -> None:
        """Something happened to the account; ``seq`` is that of the snapshot being made."""
        account = self.account
        self.events.append(
            Event(
                event=name,
                at_ms=at,
                user_id=account.user_id,
                chat_id=None,
                seq=account.seq + 1,
                reason=None,
                threshold_ms=threshold_ms,
            )
        )

    def _charge(self, chat: Chat, at: int, command_id: str | None) -> None:
        amount = charge(chat, at)
        del self._chats()[chat.chat_id]
        self.account = self.account._replace(settled_micro=self.account.settled_micro - amount)
        if amount:
            self.ledger.append(
                LedgerEntry(
                    entry_id=f"charge:{chat.chat_id}",
                    user_id=chat.user_id,
                    chat_id=chat.chat_id,
                    kind="charge",
                    amount_micro=-amount,
                    at_ms=at,
                    command_id=command_id,
                )
            )

    def _chats(self) -> dict[str, Chat]:
        """The open chats, to be changed: a copy of their own, made once between two closings."""
        if self.account.chats is self._closed.chats:
            self.account = self.account._replace(chats=dict(self._closed.chats))
        return cast("dict[str, Chat]", self.account.chats)

    def _put(self, chat: Chat) -> Chat:
        self._chats()[chat.chat_id] = chat
        self._numbered.add(chat.chat_id)
        self.touched[chat.chat_id] = chat
        return chat

    def _share_free_time(self, at: int) -> None:
        if not free_time.is_any_shared(self._open_or_ended()):
            return
        used = self.free_used_ms(at)
        for chat_id, free_ms in free_time.free_ms_of(self.account.chats.values(), used, at).items():
            chat = self.account.chats[chat_id]
            if chat.free_ms != free_ms:
                chat = chat if chat_id in self._numbered else _counted(chat, at)
                self._put(chat._replace(free_ms=free_ms))
        self.account = self.account._replace(free_used_ms=used)

    def _open_or_ended(self) -> Iterable[Chat]:
        """The open chats, and those that this command has ended."""
        return itertools.chain(self.account.chats.values(), self.touched.values())

    def _chat_event(self, name: EventName, chat: Chat, reason: str | None = None) -> None:
        self.events.append(
            Event(
                event=name,
                at_ms=chat.as_of_ms,
                user_id=chat.user_id,
                chat_id=chat.chat_id,
                seq=chat.seq,
                reason=reason,
            )
        )


def resumed(chat: Chat, at: int) -> Chat:
    """The chat as it would run from ``at`` on."""
    return chat._replace(status=RUNNING, since_ms=at, alive_at_ms=at, pause_reason=None)


def accrued(chat: Chat, at: int) -> Chat:
    """The chat with its time and debt counted up to ``at``."""
    if chat.status != RUNNING:
        return chat
    return chat._replace(active_ms=active_ms(chat, at), owed_rate_ms=owed(chat, at), since_ms=at)


def _stopped(chat: Chat, at: int) -> Chat:
    """The chat counted up to ``at``, where its timer stops: it gets no more shared free time."""
    chat = _counted(chat, at)
    if free_time.shares(chat):
        chat = chat._replace(free_ms=min(chat.free_ms, chat.active_ms))
    return chat


def _counted(chat: Chat, at: int) -> Chat:
    """The chat counted up to ``at``, in a snapshot of its own."""
    return accrued(chat, at)._replace(as_of_ms=at, seq=chat.seq + 1)
