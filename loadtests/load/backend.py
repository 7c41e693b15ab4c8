"""One backend: many chats of many accounts, and as many commands at once as it may."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.pool import Pool

from loadtests.load.asking import GONE, LOST, OK, Asked, Asker
from loadtests.load.book import Book, Command
from meterd import Meter

if TYPE_CHECKING:
    from loadtests.load.run import Run

OPENING_FAILURES_MAX: Final = 20
"""Accounts; with more, there is nothing to measure."""
REST_S: Final = 0.005
"""If every chat looked at has a command in flight."""


class Backend:
    """Opens the chats of a book, works with them until it is over, ends them."""

    def __init__(self, run: "Run", book: Book) -> None:
        """Nothing is sent yet."""
        self._run = run
        # A client of its own, as every backend process has: its connections are bounded.
        self._meter = Meter(run.wish.redis_url)
        self._asker = Asker(self._meter, run.report)
        self._silent_asker = Asker(self._meter, lambda *_: None)
        self.book = book
        self.opening_failures = 0
        self.not_ended = 0
        self._workers: list[Any] = []
        self._pool = Pool(run.wish.in_flight)

    def open(self) -> None:
        """Open all chats, at the rate of starts; returns when that is done."""
        self._spread(self._open_one, self.book.openings(now_ms()))

    def work(self) -> None:
        """Begin to send; goes on until the run says that it is over."""
        limit = self._run.wish.in_flight
        self._workers = [gevent.spawn(self._work, place / limit) for place in range(limit)]

    def finish(self, timeout_s: float) -> None:
        """Wait for what is in flight, or still being opened."""
        self._pool.join(timeout=timeout_s)
        gevent.joinall(self._workers, timeout=timeout_s)

    def end(self) -> None:
        """End whatever is or may be open, as fast as it goes; nothing of it is measured."""
        self._spread(self._end_one, self.book.endings())

    def _failed_to_open(self) -> None:
        self.opening_failures += 1
        if self.opening_failures > OPENING_FAILURES_MAX:
            self._run.give_up("too many chats could not be opened")

    def _spread(self, do: Any, items: Iterator[Any]) -> None:
        for item in items:
            if self._run.is_cut_short:
                break
            self._pool.spawn(do, item)
        self._pool.join()

    def close(self) -> None:
        """Let go of the client."""
        self._meter.close()

    def _open_one(self, steps: list[Command]) -> None:
        for n, step in enumerate(steps):
            gevent.sleep(self._run.start_pace.wait_s())
            if self._run.is_cut_short or not self._perform(step):
                self._failed_to_open()
                self._drop(steps[n + 1 :])
                return

    def _end_one(self, command: Command) -> None:
        asked = self._silent_asker.ask(command.type, command.fields)
        self._book(command, asked)
        self.not_ended += asked.outcome not in (OK, GONE)

    def _work(self, place: float) -> None:
        """One greenlet; ``place`` is its share of the way to the limit of commands in flight."""
        run = self._run
        while run.is_measuring():
            if run.wish.rate == 0 and place >= run.level():
                gevent.sleep(0.1)
                continue
            gevent.sleep(min(run.pace.wait_s(), run.left_s()))
            if run.is_measuring():
                self._perform_all(self.book.next(now_ms()))

    def _perform_all(self, steps: list[Command]) -> None:
        if not steps:
            gevent.sleep(REST_S)
        for n, step in enumerate(steps):
            if n:  # each command takes a moment of its own
                gevent.sleep(min(self._run.pace.wait_s(), self._run.left_s()))
            if not self._perform(step):
                self._drop(steps[n + 1 :])
                return

    def _perform(self, command: Command) -> bool:
        asked = self._asker.ask(command.type, command.fields)
        self._book(command, asked)
        return asked.outcome == OK

    def _book(self, command: Command, asked: Asked) -> None:
        if asked.outcome == OK:
            self.book.replied(command, getattr(asked.reply.snapshot, "status", ""))
        elif asked.outcome == LOST:
            self.book.lost(command)
        else:
            self.book.dropped(command, is_gone=asked.outcome == GONE)

    def _drop(self, steps: list[Command]) -> None:
        for step in steps:
            self.book.dropped(step)


def now_ms() -> int:
    """Steady milliseconds, for what is to last a while."""
    return int(time.monotonic() * 1000)
