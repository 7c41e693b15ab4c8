"""A second implementation, as naive as can be: one account and a clock that ticks.

Written from the contract, not from the code: no closed forms, no search, no "since". Every
millisecond it takes the commands of that millisecond, then what is due at it, then lets every
chat live for one millisecond. Only for small cases.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from meterd.rules.model import Policy, Tariff

LOOK_AHEAD_MS = 100
LOOK_AGAIN_MS = 30
"""So far ahead the end of the credits is looked for, and so often: no threshold used may be
more than the difference."""


@dataclass
class Timer:
    """One chat, counted millisecond by millisecond."""

    started_at: int
    advisor_id: str
    tariff: Tariff
    rate: int
    free_used_ms: int = 0
    paid_ms: int = 0
    paused_ms: int = 0
    carried_cost: int = 0
    status: str = "running"
    pause_reason: str | None = None
    ended_at: int | None = None
    end_reason: str | None = None
    owed: int = 0
    refunded: int = 0
    silent_ms: int = 0
    waiting_ms: int = 0

    @property
    def active_ms(self) -> int:
        return self.free_used_ms + self.paid_ms

    def billed_ms(self, paid_ms: int, due: str = "") -> int:
        """Billed time: nothing while free, then the minimum or whole increments."""
        if paid_ms == 0:
            return 0
        increment_ms = self.tariff.increment_ms
        increments = paid_ms // increment_ms
        if (due or self.tariff.increment_due) == "begin" and paid_ms % increment_ms:
            increments += 1
        return max(self.tariff.min_ms, increments * increment_ms)

    def next_ms(self, is_free: bool, due: str = "") -> int:
        """What the next millisecond would add to the bill, times 60 000."""
        if self.status != "running" or is_free:
            return 0
        return self.rate * (self.billed_ms(self.paid_ms + 1, due) - self.billed_ms(self.paid_ms))

    def tick(self, is_free: bool) -> None:
        """Live for one millisecond."""
        self.owed += self.next_ms(is_free)
        self.free_used_ms += self.status == "running" and is_free
        self.paid_ms += self.status == "running" and not is_free
        self.paused_ms += self.status in ("paused", "suspended")
        self.silent_ms += 1
        self.waiting_ms += self.status == "suspended"

    def is_abandoned(self) -> bool:
        return 0 < self.tariff.abandon_ms <= self.silent_ms

    def is_at_limit(self) -> bool:
        return 0 < self.tariff.max_ms <= self.active_ms

    def run(self) -> None:
        self.status, self.pause_reason, self.silent_ms = "running", None, 0

    @property
    def charged(self) -> int:
        return self.owed // 60_000


@dataclass
class FreeTime:
    """What each shared scope has used."""

    used_ms: dict[tuple[str, ...], int] = field(default_factory=dict)

    def take_turns(self, chats: dict[str, Timer]) -> set[str]:
        """The chats whose next millisecond is free; it is used now."""
        return {chat_id for chat_id in sorted(chats) if self._takes(chats[chat_id])}

    def use_at_least(self, chat: Timer) -> None:
        key = self._key(chat)
        self.used_ms[key] = max(self.used_ms.get(key, 0), chat.free_used_ms)

    def _takes(self, chat: Timer) -> bool:
        if chat.status != "running" or chat.paid_ms:
            return False
        if chat.tariff.free_scope == "chat":
            return chat.tariff.free_ms > chat.free_used_ms
        used_ms = self.used_ms.get(self._key(chat), 0)
        if chat.tariff.free_ms <= used_ms:
            return False
        self.used_ms[self._key(chat)] = used_ms + 1
        return True

    def _key(self, chat: Timer) -> tuple[str, ...]:
        return ("user",) if chat.tariff.free_scope == "user" else ("advisor", chat.advisor_id)


@dataclass
class Alarm:
    """The warnings: which thresholds have rung, so to say, and not been armed again."""

    thresholds: tuple[int, ...]
    rung: set[int] = field(default_factory=set)

    def hear(self, left: int | None) -> int | None:
        """The threshold to announce now that so much is left (None: no end in sight)."""
        reached = {w for w in self.thresholds if left is not None and w >= left}
        self.rung &= reached  # what left has grown past is armed again
        tightest = min(reached, default=None)
        news = tightest is not None and all(tightest < w for w in self.rung)
        self.rung |= reached
        return tightest if news else None


Told = tuple[str, int, str | None, str | None, int | None]
"""An event: its name, when, the chat, the reason, the threshold."""


class Simulator:
    """One account under the contract."""

    def __init__(self, policy: Policy, at: int) -> None:
        self.policy, self.at = policy, at
        self.credit = 0
        self.chats: dict[str, Timer] = {}
        self.alarm = Alarm(policy.warn_ms)
        self.free_time = FreeTime()
        self.events: list[Told] = []
        self.outcomes: list[str] = []
        self._ids: dict[str, tuple[dict[str, str], str]] = {}
        self._zero_at: int | None = None

    def run(self, commands: Sequence[tuple[int, dict[str, str]]], until: int) -> None:
        """Let the time pass up to ``until``, where nothing happens any more."""
        waiting = list(commands)
        while self.at < until:
            while waiting and waiting[0][0] == self.at:
                self.outcomes.append(self._command(waiting.pop(0)[1]))
            if self._zero_at is None and self.at % LOOK_AGAIN_MS == 0:
                self._zero_at = self.zero_at()
            self._due()
            free = self.free_time.take_turns(self.chats)
            for chat_id, chat in self.chats.items():
                chat.tick(chat_id in free)
            self.at += 1

    @property
    def available(self) -> int:
        return self.credit - sum(chat.charged for chat in self.chats.values())

    def zero_at(self, look_ahead_ms: int = LOOK_AHEAD_MS) -> int | None:
        """The last millisecond that can be paid, by going there; None: too far to see."""
        future = {k: replace(c) for k, c in self.chats.items() if c.status == "running"}
        free_time = FreeTime(dict(self.free_time.used_ms))
        now = sum(chat.charged for chat in future.values())
        available = self.available
        for ahead_ms in range(look_ahead_ms if any(c.rate for c in future.values()) else 0):
            free = free_time.take_turns(future)
            for chat_id, chat in future.items():
                chat.tick(chat_id in free)
            if available + now < sum(chat.charged for chat in future.values()):
                return self.at + ahead_ms
        return None

    # What time brings, in the order of the contract.

    def _due(self) -> None:
        self._warn()
        for chat_id, chat in self._sorted("running"):
            if chat.tariff.idle_ms and chat.silent_ms >= chat.tariff.idle_ms:
                chat.status, chat.pause_reason = "paused", "idle"
                self._tell("chat.paused", chat_id, "idle")
                self._changed()
        if not self._next_ms_is_paid():
            self._exhaust()
            self._changed()
        grace_ms = self.policy.grace_ms
        for status, reason, is_over in (
            (("suspended",), "credits_exhausted", lambda chat: chat.waiting_ms >= grace_ms),
            (("running", "paused", "suspended"), "abandoned", Timer.is_abandoned),
            (("running",), "limit_reached", Timer.is_at_limit),
        ):
            for chat_id, chat in self._sorted(*status):
                if is_over(chat):
                    self._close(chat_id, chat, reason)
                    self._changed()

    def _exhaust(self) -> None:
        self._tell("credits.exhausted")
        free = self._free_next()
        for chat_id, chat in self._sorted("running"):
            if chat.next_ms(chat_id in free) == 0:
                continue
            if self.policy.at_zero == "end":
                self._close(chat_id, chat, "credits_exhausted")
            else:
                chat.status, chat.waiting_ms = "suspended", 0
                self._tell("chat.suspended", chat_id)

    def _next_ms_is_paid(self, due: str = "") -> bool:
        free = self._free_next()
        after = (c.owed + c.next_ms(k in free, due) for k, c in self.chats.items())
        return self.credit >= sum(owed // 60_000 for owed in after)

    def _free_next(self) -> set[str]:
        return FreeTime(dict(self.free_time.used_ms)).take_turns(self.chats)

    def _changed(self) -> None:
        self._zero_at = self.zero_at()
        self._warn()

    def _warn(self) -> None:
        left = None if self._zero_at is None else self._zero_at - self.at
        threshold_ms = self.alarm.hear(left)
        if threshold_ms is not None:
            self._tell("credits.low", threshold_ms=threshold_ms)

    def _sorted(self, *status: str) -> list[tuple[str, Timer]]:
        found = ((k, chat) for k, chat in self.chats.items() if chat.status in status)
        return sorted(found, key=lambda pair: pair[0])

    def _close(self, chat_id: str, chat: Timer, reason: str) -> None:
        chat.status, chat.ended_at, chat.end_reason = "ended", self.at, reason
        chat.pause_reason = None
        self._tell("chat.ended", chat_id, reason)

    def _tell(
        self,
        name: str,
        chat_id: str | None = None,
        reason: str | None = None,
        threshold_ms: int | None = None,
    ) -> None:
        self.events.append((name, self.at, chat_id, reason, threshold_ms))

    # What commands bring.

    def _command(self, fields: dict[str, str]) -> str:
        content = {name: value for name, value in fields.items() if name != "reply_to"}
        if fields["id"] in self._ids:
            first, outcome = self._ids[fields["id"]]
            return outcome if first == content else "id_conflict"
        steps = self._steps(fields)
        outcome = next(steps)
        if outcome == "ok":
            for _ in steps:
                self._changed()
        self._ids[fields["id"]] = content, outcome
        return outcome

    def _steps(self, fields: dict[str, str]) -> Iterator[str]:
        """First the outcome; if that is ok, then once more after a change."""
        if fields["type"] == "top_up":
            yield "ok"
            self.credit += _micro(fields["amount"])
            self._tell("wallet.topped_up")
            self._wake()
            yield "changed"
            return
        if fields["type"] == "adjust":
            yield from self._adjust(_micro(fields["amount"]), fields.get("partial") == "1")
            return
        if fields["type"] in ("start", "adopt"):
            yield from self._open(fields)
            return
        chat_id = fields["chat_id"]
        chat = self.chats.get(chat_id)
        if chat is None:
            yield "unknown_chat"
        elif fields["type"] == "refund":
            yield from self._refund(chat_id, chat, _micro(fields["amount"]))
        elif chat.status == "ended":
            yield "already_ended"
        else:
            on_open: dict[str, Callable[[], Iterator[str]]] = {
                "pause": lambda: self._pause(chat_id, chat),
                "resume": lambda: self._resume(chat_id, chat),
                "heartbeat": lambda: self._heartbeat(chat_id, chat),
                "set_rate": lambda: self._set_rate(chat_id, chat, _micro(fields["rate"])),
                "end": lambda: self._end(chat_id, chat, fields.get("reason", "ended")),
            }
            yield from on_open[fields["type"]]()

    def _open(self, fields: dict[str, str]) -> Iterator[str]:
        chat_id = fields["chat_id"]
        if chat_id in self.chats:
            ended = self.chats[chat_id].status == "ended"
            yield "already_ended" if ended else "already_started"
            return
        if len(self._sorted("running", "paused", "suspended")) >= self.policy.open_chats_max:
            yield "at_capacity"
            return
        tariff = self._tariff(fields)
        started_at = int(fields.get("started_at", self.at))
        carried_ms = int(fields.get("carried_ms", 0))
        free_ms = int(fields.get("carried_free_ms", min(carried_ms, tariff.free_ms)))
        chat = Timer(
            started_at=started_at,
            advisor_id=fields["advisor_id"],
            tariff=tariff,
            rate=tariff.rate_micro,
            free_used_ms=free_ms,
            paid_ms=carried_ms - free_ms,
            paused_ms=self.at - started_at - carried_ms,
            carried_cost=_micro(fields.get("carried_cost", "0")),
        )
        used_before = dict(self.free_time.used_ms)
        if tariff.free_scope != "chat":
            self.free_time.use_at_least(chat)
        self.chats[chat_id] = chat
        if not self._could_run(chat_id, chat):
            del self.chats[chat_id]
            self.free_time.used_ms = used_before
            yield "insufficient_credits"
            return
        yield "ok"
        self._tell("chat.started", chat_id)
        yield "changed"

    def _tariff(self, fields: dict[str, str]) -> Tariff:
        sent: dict[str, Any] = {k: v for k, v in fields.items() if k in Tariff._fields}
        sent |= {name: int(value) for name, value in sent.items() if name.endswith("_ms")}
        if "rate" in fields:
            sent["rate_micro"] = _micro(fields["rate"])
        return self.policy.tariff._replace(**sent)

    def _adjust(self, amount: int, partial: bool) -> Iterator[str]:
        if amount + self.available < 0 and not partial:
            yield "insufficient_credits"
            return
        yield "ok"
        amount = max(amount, -self.available)
        if amount == 0:
            return
        self.credit += amount
        self._tell("wallet.adjusted")
        if amount > 0:
            self._wake()
        yield "changed"

    def _pause(self, chat_id: str, chat: Timer) -> Iterator[str]:
        if chat.status != "running":
            yield "not_running"
            return
        yield "ok"
        chat.status, chat.pause_reason, chat.silent_ms = "paused", "command", 0
        self._tell("chat.paused", chat_id, "command")
        yield "changed"

    def _resume(self, chat_id: str, chat: Timer) -> Iterator[str]:
        if chat.status == "running":
            yield "not_paused"
        elif not self._could_run(chat_id, chat):
            yield "insufficient_credits"
        else:
            yield "ok"
            chat.run()
            self._tell("chat.resumed", chat_id)
            yield "changed"

    def _heartbeat(self, chat_id: str, chat: Timer) -> Iterator[str]:
        if chat.status == "paused" and chat.pause_reason == "idle":
            yield from self._resume(chat_id, chat)
            return
        yield "ok"
        chat.silent_ms = 0

    def _set_rate(self, chat_id: str, chat: Timer, rate: int) -> Iterator[str]:
        before, chat.rate = chat.rate, rate
        if chat.status == "running" and not self._could_run(chat_id, chat):
            chat.rate = before
            yield "insufficient_credits"
            return
        yield "ok"
        self._tell("chat.rate_changed", chat_id)
        yield "changed"

    def _end(self, chat_id: str, chat: Timer, reason: str) -> Iterator[str]:
        yield "ok"
        self._close(chat_id, chat, reason)
        yield "changed"

    def _refund(self, chat_id: str, chat: Timer, amount: int) -> Iterator[str]:
        if chat.status != "ended":
            yield "not_ended"
        elif chat.refunded + amount > chat.carried_cost + chat.charged:
            yield "exceeds_cost"
        else:
            yield "ok"
            self.credit += amount
            chat.refunded += amount
            self._tell("chat.refunded", chat_id)
            self._wake()
            yield "changed"

    def _wake(self) -> None:
        for chat_id, chat in self._sorted("suspended"):
            if self._could_run(chat_id, chat):
                chat.run()
                self._tell("chat.resumed", chat_id)

    def _could_run(self, chat_id: str, chat: Timer) -> bool:
        """Increments that have begun have to be payable whole, whenever they are owed."""
        before, chat.status = chat.status, "running"
        more = chat.next_ms(chat_id in self._free_next(), "begin")
        can = more == 0 or self._next_ms_is_paid("begin")
        chat.status = before
        return can


def _micro(text: str) -> int:
    return int(Decimal(text) * 10**6)
