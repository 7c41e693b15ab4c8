"""One run from its first chat to the end of its measured phase.

Chats are opened first. When the last one is open everything that was counted is reset, and the
measured phase begins; it lasts exactly as long as was asked for, and then what is in flight is
waited for. What follows (``loadtests.load.closing``) is not measured.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import gevent
from gevent.event import Event
from gevent.pool import Pool

from loadtests.load.asking import Asker, Report
from loadtests.load.backend import Backend
from loadtests.load.book import Book, shared_out
from loadtests.load.figures import Figures
from loadtests.load.frontend import Frontend, direct
from loadtests.load.notices import Waiters
from loadtests.load.options import Wish
from loadtests.load.pace import Pace, waited_for_cpu_s
from loadtests.load.shapes import Level, mean_level
from meterd import EventsLostError, Meter, MeterError

OPENING: Final = "opening"
MEASURED: Final = "measured"
FINISHING: Final = "finishing"
OVER: Final = "over"

FINISH_S_MAX: Final = 45.0
"""A command gives up after four attempts of 10 s."""
STRETCH_S: Final = 1.0
NOTICES_AT_ONCE: Final = 50


class Run:
    """What all Locust users of a process share."""

    def __init__(
        self, wish: Wish, level: Level, report: Report, on_measured: Callable[[], None]
    ) -> None:
        """Nothing is sent yet.

        Args:
            wish: what is asked for.
            level: the shape of the load.
            report: passes a request on to Locust.
            on_measured: called when the measured phase begins.
        """
        self.wish = wish
        self.phase = OPENING
        self.problems: list[str] = []
        self.figures = Figures()
        self.is_cut_short = False
        self.began_s = time.time()
        self.measured_from_s = self.measured_to_s = 0.0
        self.chats_when_measured = 0
        self._waited_s = 0.0
        self.name = f"load-{uuid4().hex[:8]}-"
        self.meter = Meter(wish.redis_url)
        self._report_on = report
        self._on_measured = on_measured
        self._measured_from = 0.0
        self._level = level
        self.asker = Asker(self.meter, self.report)
        self.silent_asker = Asker(self.meter, lambda *_: None)
        self.start_pace = Pace(lambda: float(wish.start_rate))
        self.pace = self._new_pace()
        self.waiters = Waiters(self.asker, self.name, wish.notices, wish.seed)
        self._books = _books(wish, self.name)
        self._given = 0
        self.backends: list[Backend] = []
        self._is_open = 0
        self._began = Event()
        self._is_following = Event()
        self._helpers: list[Any] = []

    def level(self) -> float:
        """What the shape says now."""
        return self._level(self.elapsed_s(), self.wish.duration)

    def _new_pace(self) -> Pace:
        """One that has nothing to catch up."""
        return Pace(lambda: self.wish.rate * self.level())

    def elapsed_s(self) -> float:
        """Since the measured phase began."""
        return time.monotonic() - self._measured_from

    def left_s(self) -> float:
        """Until nothing may be sent any more: whoever waits for a later moment waits in vain."""
        return max(0.0, self.wish.duration - self.elapsed_s())

    def is_measuring(self) -> bool:
        """Whether commands may still be sent."""
        is_on = self.phase == MEASURED and not self.is_cut_short
        return is_on and self.elapsed_s() < self.wish.duration

    @property
    def asked_per_s(self) -> float:
        """Commands a second that the options ask for on average; 0: as fast as it goes."""
        return self.wish.rate * mean_level(self._level, self.wish.duration)

    @property
    def open_chats(self) -> int:
        """As far as replies and events have told."""
        return sum(b.book.open_chats for b in self.backends) + self.waiters.open_chats

    @property
    def is_over(self) -> bool:
        """Whether nothing is sent any more."""
        return self.phase == OVER

    def live_backend(self) -> None:
        """All of a backend's life: open, wait for the others, work."""
        backend = Backend(self, self._books[self._given % len(self._books)])
        self._given += 1
        self.backends.append(backend)
        try:
            self._open(backend)
            self._began.wait()
            backend.work()
            backend.finish(self.wish.duration + FINISH_S_MAX)
        except MeterError as error:
            self.give_up(str(error))

    def live_frontend(self) -> None:
        """All of a frontend's life: read what is there, at its share of the pace."""
        frontend = Frontend(direct(self.meter), self.report)
        self._began.wait()
        pace, count = Pace(lambda: self.wish.reads / self.wish.frontends), 0
        while self.is_measuring():
            gevent.sleep(min(pace.wait_s(), self.left_s()))
            count += 1
            book = self.backends[count % len(self.backends)].book
            chat = book.any_chat()
            if chat is not None:
                frontend.read(chat.chat_id, book.any_user())

    def tick(self) -> bool:
        """Go on to the next phase if it is time; False once it is over. Called every second."""
        if self.is_cut_short or (self.phase == MEASURED and not self.is_measuring()):
            self.finish()
        return not self.is_over

    def finish(self) -> None:
        """No more commands; wait for those in flight. May be called again."""
        if self.phase in (FINISHING, OVER):
            return
        was_measured = self.phase == MEASURED
        self.phase = FINISHING
        if was_measured:
            self._waited_s = waited_for_cpu_s() - self._waited_s
            self.measured_to_s = self.measured_from_s + min(self.elapsed_s(), self.wish.duration)
        for backend in self.backends:
            backend.finish(FINISH_S_MAX)
        if was_measured:
            self.figures.end_stretch(self.elapsed_s(), self.open_chats)
        else:
            self.problems.append("it ended before all chats were open; nothing was measured")
        self.phase = OVER
        self._began.set()

    def cut_short(self) -> None:
        """Stop now: whoever runs it has lost patience."""
        if not self.is_over:
            self.is_cut_short = True
            self.finish()

    def give_up(self, why: str) -> None:
        """Something is so wrong that going on makes no sense; the next tick ends it."""
        if not self.is_cut_short:
            self.problems.append(why)
        self.is_cut_short = True

    def stop_helpers(self) -> None:
        """No more events are needed."""
        gevent.killall(self._helpers, timeout=5)

    def document(self) -> dict[str, Any]:
        """All figures."""
        lasted_s = max(0.0, self.measured_to_s - self.measured_from_s)
        return {
            **self.figures.document(lasted_s),
            "asked_per_s": round(self.asked_per_s, 3),
            "measured_from_s": self.measured_from_s,
            "measured_to_s": self.measured_to_s,
            "open_chats": self.chats_when_measured,
            "generator_waited_for_cpu_s": round(self._waited_s, 3),
            "notices": self.waiters.expectations.document(),
        }

    def _open(self, backend: Backend) -> None:
        backend.open()
        if backend.opening_failures:
            self.problems.append(f"{backend.opening_failures} accounts could not be opened")
        self._is_open += 1
        if self._is_open == self.wish.backends and not self.is_over and not self.is_cut_short:
            self._open_waiters()
            self._begin()

    def _open_waiters(self) -> None:
        if not self.wish.notices:
            return
        self._helpers.append(gevent.spawn(self._follow))
        self._is_following.wait()
        opened = Pool(NOTICES_AT_ONCE).map(self.waiters.open, self.waiters.openings())
        if not all(opened):
            self.problems.append("chats that go idle could not be opened")

    def _begin(self) -> None:
        """Everything so far was preparation: forget its figures."""
        begin_ms = self.queue_ms()
        self.waiters.expectations.begin(begin_ms, begin_ms + self.wish.duration * 1000)
        self.figures.reset()
        self.chats_when_measured = self.open_chats
        self.measured_from_s, self._measured_from = time.time(), time.monotonic()
        self.pace = self._new_pace()
        self._waited_s = waited_for_cpu_s()
        self._on_measured()
        self.phase = MEASURED
        self._helpers += [gevent.spawn(self._keep_series), gevent.spawn(self._bring_notices)]
        self._began.set()

    def queue_ms(self) -> int:
        """The queue's clock."""
        from persistence.redis.client import connect  # noqa: PLC0415 - after Locust has patched sockets

        with contextlib.closing(connect(self.wish.redis_url)) as client:
            seconds, micros = client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def _keep_series(self) -> None:
        while self.phase == MEASURED:
            gevent.sleep(STRETCH_S)
            if self.is_measuring():
                self.figures.end_stretch(self.elapsed_s(), self.open_chats)

    def _bring_notices(self) -> None:
        pace = Pace(lambda: float(self.wish.notices))
        pool = Pool(NOTICES_AT_ONCE)
        while self.wish.notices and self.is_measuring():
            gevent.sleep(min(pace.wait_s(), self.left_s()))
            if self.is_measuring():
                pool.spawn(self.waiters.one_more)
        pool.join()

    def _follow(self) -> None:
        try:
            with self.meter.events() as events:
                self._is_following.set()
                for event in events:
                    self.waiters.heard(event)
        except EventsLostError:
            self.problems.append("events left their stream before they were read")
        except MeterError as error:
            self.problems.append(f"events could not be read: {error}")
        finally:
            self._is_following.set()

    def report(self, kind: str, name: str, latency_ms: float, error: Exception | None) -> None:
        """A command or read has come back; of what comes after the end nothing is counted."""
        if not self.is_over:
            self.figures.add(kind, name, latency_ms, is_failure=error is not None)
            self._report_on(kind, name, latency_ms, error)


def _books(wish: Wish, name: str) -> list[Book]:
    """The accounts and chats of each backend."""
    rooms = shared_out(wish.chats, wish.users)
    return [
        Book(f"{name}{n}", rooms[n :: wish.backends], wish.weights, wish.seed + n)
        for n in range(wish.backends)
    ]
