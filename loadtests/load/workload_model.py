"""What a backend knows of its accounts and chats, so that it sends nothing that must be refused.

A chat has one command in flight at most, so its status is known when the next one is chosen; an
account gets credits long before it could run out of them, however its chats run.
"""

import heapq
import random
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from loadtests.load import command_mix
from loadtests.load.command_mix import Mix

NEW: Final = "new"
RUNNING: Final = "running"
PAUSED: Final = "paused"
ENDED: Final = "ended"

RATES: Final = ("0.5", "1", "1.5", "2")
RATE_MAX: Final = 2
"""Credits a minute, the highest of ``RATES``."""
PLAIN: Final = {"free_ms": 0, "min_ms": 0, "increment_ms": 1, "idle_ms": 0}
"""All of a tariff is given: with a configured ``idle_ms`` chats would be paused by themselves."""
TARIFFS: Final[tuple[dict[str, int], ...]] = (
    PLAIN,
    PLAIN,
    {**PLAIN, "increment_ms": 6_000},
    {**PLAIN, "free_ms": 30_000},
)
START_COSTS_MS: Final = 6_000
"""A start may owe so much time at once: the largest increment."""

MINUTE_MS: Final = 60_000
FULL_MS: Final = 120 * MINUTE_MS
"""A top-up lasts so long if every chat of the account runs at the highest rate."""
LOW_MS: Final = 60 * MINUTE_MS
"""With credits for less than this, a top-up comes before anything else."""

LOOK_AGAIN_MS: Final = 60_000
"""After so long an account is looked at again whose credits were not there when it was."""

CHATS_PER_ADVISOR: Final = 3
"""So many chats of an account are with one advisor; switches are between them."""
TRIES: Final = 8
"""Accounts looked at for something to do; if all are busy, the caller waits a moment."""


class LoadCommand(NamedTuple):
    """A command that may be sent now; ``fields`` are those of the contract and of ``Meter``."""

    type: str
    fields: dict[str, Any]
    account: "LoadAccount"
    chat: "LoadChat | None" = None


class LoadChat:
    """One chat, as the last reply told."""

    __slots__ = ("advisor_id", "chat_id", "is_busy", "status")

    def __init__(self, chat_id: str, advisor_id: str) -> None:
        """Not started yet; busy, because its start comes next."""
        self.chat_id = chat_id
        self.advisor_id = advisor_id
        self.status = NEW
        self.is_busy = True


class LoadAccount:
    """One user and the chats that are open, are being opened, or may be open."""

    __slots__ = ("chats", "is_topping_up", "lasts_until_ms", "room", "user_id")

    def __init__(self, user_id: str, room: int) -> None:
        """``room``: how many chats at most at once."""
        self.user_id = user_id
        self.room = room
        self.chats: list[LoadChat] = []
        self.is_topping_up = False
        self.lasts_until_ms = 0
        """Until then the credits suffice, whatever the chats do."""

    def is_low(self, now_ms: int) -> bool:
        """Whether it must be topped up before anything else is done with it."""
        return self.low_at_ms <= now_ms

    @property
    def low_at_ms(self) -> int:
        """Until then nothing need be done."""
        return self.lasts_until_ms - LOW_MS + 1

    def free(self, *statuses: str) -> list[LoadChat]:
        """Chats without a command in flight, in one of these states."""
        return [chat for chat in self.chats if not chat.is_busy and chat.status in statuses]


class Workload:
    """All accounts and chats of one backend, and the choice of what to send next."""

    def __init__(self, name: str, accounts: list[int], mix: Mix, seed: int) -> None:
        """``accounts`` has the number of chats of each; ``name`` goes before every identifier."""
        self._random = random.Random(seed)
        self._acts, self._weights = list(mix), list(mix.values())
        self._chats_made = 0
        self.accounts = [LoadAccount(f"{name}u{n}", room) for n, room in enumerate(accounts)]
        self.open_chats = 0
        self._low: list[tuple[int, int]] = []

    def openings(self, now_ms: int) -> Iterator[list[LoadCommand]]:
        """For each account what opens it: credits, then its chats, to be sent one by one."""
        for n, account in enumerate(self.accounts):
            account.lasts_until_ms = now_ms
            steps = [self._top_up(account)]
            steps += [self._start(account) for _ in range(account.room)]
            heapq.heappush(self._low, (now_ms + LOOK_AGAIN_MS, n))
            yield steps

    def next(self, now_ms: int) -> list[LoadCommand]:
        """What to send now, one after the other; nothing if everything looked at is busy."""
        low = self._lowest(now_ms)
        if low is not None:
            return [self._top_up(low)]
        act = self._random.choices(self._acts, self._weights)[0]
        for _ in range(TRIES):
            account = self._random.choice(self.accounts)
            act_now = command_mix.TOP_UP if account.is_low(now_ms) else act
            steps = self._steps(act_now, account)
            if steps:
                return steps
        return []

    def replied(self, command: LoadCommand, status: str) -> None:
        """The command was accepted and left its chat so (``status`` is not used for top-ups)."""
        if command.chat is None:
            command.account.is_topping_up = False
            command.account.lasts_until_ms += FULL_MS
            return
        self._count(command.chat, status)
        command.chat.is_busy = False
        if status == ENDED and command.chat in command.account.chats:
            command.account.chats.remove(command.chat)

    def dropped(self, command: LoadCommand, *, is_gone: bool = False) -> None:
        """The command was not sent, or was refused; ``is_gone``: because its chat has ended."""
        if command.chat is None:
            command.account.is_topping_up = False
        elif is_gone or command.chat.status == NEW:
            self.replied(command, ENDED)
        else:
            command.chat.is_busy = False

    def lost(self, command: LoadCommand) -> None:
        """Nobody knows what came of it: its chat gets no more commands, only an end at last."""
        if command.chat is None:
            command.account.is_topping_up = False

    def endings(self) -> Iterator[LoadCommand]:
        """What ends every chat that is or may be open; nothing may be in flight any more."""
        for account in self.accounts:
            for chat in list(account.chats):
                chat.is_busy = True
                yield LoadCommand("end", {"chat_id": chat.chat_id}, account, chat)

    def any_chat(self) -> LoadChat | None:
        """A chat that is open for certain, to look at; None if none was found."""
        for _ in range(TRIES):
            account = self._random.choice(self.accounts)
            chats = [chat for chat in account.chats if chat.status != NEW]
            if chats:
                return self._random.choice(chats)
        return None

    def any_user(self) -> str:
        """An account."""
        return self._random.choice(self.accounts).user_id

    def _count(self, chat: LoadChat, status: str) -> None:
        was, is_ = (s in (RUNNING, PAUSED) for s in (chat.status, status))
        self.open_chats += is_ - was
        chat.status = status

    def _lowest(self, now_ms: int) -> LoadAccount | None:
        """An account that is about to run low; what stands in the heap may be out of date."""
        while self._low and self._low[0][0] <= now_ms:
            n = self._low[0][1]
            account = self.accounts[n]
            again_ms = now_ms + LOOK_AGAIN_MS if account.is_low(now_ms) else account.low_at_ms
            heapq.heapreplace(self._low, (again_ms, n))
            if account.is_low(now_ms) and not account.is_topping_up:
                return account
        return None

    def _steps(self, act: str, account: LoadAccount) -> list[LoadCommand]:
        if act == command_mix.TOP_UP:
            return [] if account.is_topping_up else [self._top_up(account)]
        if act == command_mix.HEARTBEAT:
            return self._of_one(account.free(RUNNING) or account.free(PAUSED), account, act)
        if act == command_mix.SET_RATE:
            return self._set_rate(account)
        if act == command_mix.REPLACE:
            return self._replace(account)
        if act == command_mix.SWITCH:
            return self._switch(account)
        return self._toggle(account, act)

    def _of_one(self, chats: list[LoadChat], account: LoadAccount, type_: str) -> list[LoadCommand]:
        return [self._command(type_, account, self._random.choice(chats))] if chats else []

    def _toggle(self, account: LoadAccount, act: str) -> list[LoadCommand]:
        """Pause or resume; the other of the two where all are so already."""
        for type_, status in self._both(act):
            chats = account.free(status)
            if chats:
                return self._of_one(chats, account, type_)
        return []

    def _both(self, act: str) -> list[tuple[str, str]]:
        both = [("pause", RUNNING), ("resume", PAUSED)]
        return both if act == command_mix.PAUSE else both[::-1]

    def _set_rate(self, account: LoadAccount) -> list[LoadCommand]:
        chats = account.free(RUNNING, PAUSED)
        if not chats:
            return []
        chat = self._random.choice(chats)
        return [self._command("set_rate", account, chat, rate=self._random.choice(RATES))]

    def _replace(self, account: LoadAccount) -> list[LoadCommand]:
        if len(account.chats) < account.room:
            return [self._start(account)]
        chats = account.free(RUNNING, PAUSED)
        if not chats:
            return []
        chat = self._random.choice(chats)
        return [self._command("end", account, chat), self._start(account, chat.advisor_id)]

    def _switch(self, account: LoadAccount) -> list[LoadCommand]:
        """From one chat to another one with the same advisor, as far as there is one."""
        running = account.free(RUNNING)
        if not running:
            return self._toggle(account, command_mix.RESUME)
        left = self._random.choice(running)
        others = [c for c in account.free(PAUSED) if c.advisor_id == left.advisor_id]
        steps = [self._command("pause", account, left)]
        if others:
            steps += self._of_one(others, account, "resume")
        elif len(account.chats) < account.room:
            steps.append(self._start(account, left.advisor_id))
        return steps

    def _command(
        self, type_: str, account: LoadAccount, chat: LoadChat, **more: str
    ) -> LoadCommand:
        chat.is_busy = True
        return LoadCommand(type_, {"chat_id": chat.chat_id, **more}, account, chat)

    def _start(self, account: LoadAccount, advisor_id: str = "") -> LoadCommand:
        self._chats_made += 1
        place = len(account.chats) // CHATS_PER_ADVISOR
        advisor_id = advisor_id or f"{account.user_id}.v{place}"
        chat = LoadChat(f"{account.user_id}.{self._chats_made}", advisor_id)
        account.chats.append(chat)
        account.lasts_until_ms -= START_COSTS_MS
        tariff = self._random.choice(TARIFFS)
        fields = {"chat_id": chat.chat_id, "user_id": account.user_id, "advisor_id": advisor_id}
        return LoadCommand(
            "start", {**fields, "rate": self._random.choice(RATES), **tariff}, account, chat
        )

    def _top_up(self, account: LoadAccount) -> LoadCommand:
        account.is_topping_up = True
        amount = account.room * RATE_MAX * FULL_MS // MINUTE_MS
        return LoadCommand("top_up", {"user_id": account.user_id, "amount": str(amount)}, account)


def shared_out(chats: int, accounts: int) -> list[int]:
    """How many chats each account has; as even as it goes."""
    more, each = chats % accounts, chats // accounts
    return [each + (n < more) for n in range(accounts)]
