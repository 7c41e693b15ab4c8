"""Plays the script against the daemon, second by second."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from daemon.demo.script import RUN_S_MAX, STEPS, Cast
from daemon.errors import DemoError
from meterd import AlreadyEndedError, ChatSnapshot, Event, Meter, MeterError, WalletSnapshot

FRAME_S: Final = 0.1
LAST_EVENTS_S: Final = 1.0


class DemoChat(NamedTuple):
    """A chat at one moment."""

    name: str
    chat_id: str
    status: str
    reason: str
    active_ms: int
    cost: Decimal


class View(NamedTuple):
    """Everything at one moment."""

    elapsed_s: float
    chats: tuple[DemoChat, ...]
    balance: Decimal
    burn_rate: Decimal
    left_ms: int | None
    """Until the credits end, if nothing else happens."""


class DemoEvent(NamedTuple):
    """Something to be told: a step of the user's, or an event of the daemon's."""

    elapsed_s: float
    text: str
    is_step: bool


Frame = tuple[View, list[DemoEvent]]


class Play:
    """One run of the script."""

    def __init__(self, meter: Meter, cast: Cast, clock: Callable[[], int]) -> None:
        """``clock`` tells the queue's time in ms."""
        self._meter = meter
        self._cast = cast
        self._clock = clock
        self._began_ms = clock()
        self._heard: deque[Event] = deque(maxlen=1_000)

    def frames(self) -> Iterator[Frame]:
        """Do what the script says and yield what is to be seen, until nothing runs any more."""
        with self._meter.events(user_id=self._cast.user) as events:
            listener = threading.Thread(target=self._listen, args=(events,), daemon=True)
            listener.start()
            yield from self._steps()
            yield from self._until_credits_end()
            self._end_what_is_open()
            yield from self._for(LAST_EVENTS_S)

    def _listen(self, events: Iterable[Event]) -> None:
        """Collect events; the script itself meets and reports what went wrong."""
        with contextlib.suppress(MeterError):
            self._heard.extend(events)

    def end_all(self) -> None:
        """Leave no chat running behind a demonstration that was cut short."""
        for chat_id in self._cast.chats:
            self._meter.enqueue.end(chat_id, "interrupted")

    def _steps(self) -> Iterator[Frame]:
        for step in STEPS:
            yield from self._for(step.at_s - self._elapsed_s())
            done = step.do(self._meter, self._cast)
            yield self._view(), [DemoEvent(self._since_began_s(done.at), step.says, True)]
            yield from self._for(FRAME_S)

    def _until_credits_end(self) -> Iterator[Frame]:
        deadline = time.monotonic() + RUN_S_MAX
        while any(self._snapshot(chat_id).is_running for chat_id in self._cast.chats):
            if time.monotonic() > deadline:
                raise DemoError(f"the chats still run after {RUN_S_MAX:g} s more")
            yield from self._for(FRAME_S)

    def _end_what_is_open(self) -> None:
        """Under ``at_zero: suspend`` the chats wait for credits; nobody brings any."""
        for chat_id in self._cast.chats:
            if self._snapshot(chat_id).is_open:
                try:
                    self._meter.end(chat_id, "demo")
                except AlreadyEndedError:
                    continue  # its grace was over just now

    def _for(self, seconds: float) -> Iterator[Frame]:
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            time.sleep(min(left_s, FRAME_S))
            yield self._view(), self._news()

    def _elapsed_s(self) -> float:
        return self._since_began_s(self._clock())

    def _since_began_s(self, at_ms: int) -> float:
        return (at_ms - self._began_ms) / 1000

    def _view(self) -> View:
        now_ms = self._clock()
        wallet: WalletSnapshot = self._meter.wallet(self._cast.user)
        left_ms = None if wallet.zero_at is None else max(0, wallet.zero_at - now_ms)
        snapshots = [self._snapshot(chat_id) for chat_id in self._cast.chats]
        chats = tuple(
            _chat_view(name, chat, now_ms) for name, chat in zip("AB", snapshots, strict=True)
        )
        return View(
            elapsed_s=self._elapsed_s(),
            chats=chats,
            balance=_balance(wallet, snapshots, now_ms),
            burn_rate=wallet.burn_rate,
            left_ms=left_ms,
        )

    def _snapshot(self, chat_id: str) -> ChatSnapshot:
        return self._meter.snapshot(chat_id)

    def _news(self) -> list[DemoEvent]:
        return [self._told(self._heard.popleft()) for _ in range(len(self._heard))]

    def _told(self, event: Event) -> DemoEvent:
        which = f" {event.chat_id[-1]}" if event.chat_id else ""
        detail = f" ({event.reason})" if event.reason else ""
        if event.threshold_ms is not None:
            detail = f" ({event.threshold_ms // 1000} s left or less)"
        return DemoEvent(self._since_began_s(event.at), event.event + which + detail, False)


def _chat_view(name: str, chat: ChatSnapshot, now_ms: int) -> DemoChat:
    return DemoChat(
        name=name,
        chat_id=chat.chat_id,
        status=chat.status,
        reason=chat.end_reason or chat.pause_reason or "",
        active_ms=chat.active_ms_at(now_ms),
        cost=chat.cost_at(now_ms),
    )


def _balance(wallet: WalletSnapshot, chats: Iterable[ChatSnapshot], now_ms: int) -> Decimal:
    """Less what the chats have cost since the wallet's snapshot: in free time that is nothing."""
    as_of = wallet.as_of
    until_ms = now_ms if wallet.zero_at is None else min(now_ms, wallet.zero_at)
    if as_of is None or until_ms <= as_of:
        return wallet.balance
    spent = sum((chat.cost_at(until_ms) - chat.cost_at(as_of) for chat in chats), Decimal(0))
    return max(wallet.balance - spent, Decimal(0))
