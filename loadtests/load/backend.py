"""One backend: many chats of many accounts, and as many commands at once as it may."""

import time
from collections.abc import Iterator
from typing import Any, Final

import gevent
from gevent.pool import Pool

from loadtests.load.client import GONE, LOST, OK, Answer, Report, TimedClient
from loadtests.load.options import OPEN, LoadOptions
from loadtests.load.schedule import Schedule
from loadtests.load.workload_model import LoadCommand, Workload
from meterd import Meter

OPENING_FAILURES_MAX: Final = 20
"""Accounts; with more, there is nothing to measure."""
REST_S: Final = 0.005
"""If every chat looked at has a command in flight."""


class Backend:
    """Opens the chats of a workload, works with them until it is over, ends them."""

    def __init__(
        self, options: LoadOptions, schedule: Schedule, workload: Workload, report: Report
    ) -> None:
        """Nothing is sent yet.

        Args:
            options: what is asked for.
            schedule: when commands may be sent.
            workload: the chats.
            report: hears of every command.
        """
        self._options = options
        self._schedule = schedule
        # A client of its own, as every backend process has: its connections are bounded.
        self._meter = Meter(options.redis_url)
        self._client = TimedClient(self._meter, report)
        self._silent_client = TimedClient(self._meter, lambda *_: None)
        self.workload = workload
        self.opening_failures = 0
        self.not_ended = 0
        self._workers: list[Any] = []
        self._pool = Pool(options.in_flight)

    def open(self) -> None:
        """Open all chats, at the rate of starts; returns when that is done."""
        self._spread(self._open_one, self.workload.openings(now_ms()))

    def work(self) -> None:
        """Begin to send; goes on while the schedule lets it."""
        if self._options.loop == OPEN:
            self._workers = [gevent.spawn(self._hold_rate)]
            return
        limit = self._options.in_flight
        self._workers = [gevent.spawn(self._work, place / limit) for place in range(limit)]

    def finish(self, timeout_s: float) -> None:
        """Wait for what is in flight, or still being opened."""
        self._pool.join(timeout=timeout_s)
        gevent.joinall(self._workers, timeout=timeout_s)

    def end(self) -> None:
        """End whatever is or may be open, as fast as it goes; nothing of it is measured."""
        self._spread(self._end_one, self.workload.endings())

    def _failed_to_open(self) -> None:
        self.opening_failures += 1
        if self.opening_failures > OPENING_FAILURES_MAX:
            self._schedule.give_up("too many chats could not be opened")

    def _spread(self, do: Any, items: Iterator[Any]) -> None:
        for item in items:
            if self._schedule.is_cut_short:
                break
            self._pool.spawn(do, item)
        self._pool.join()

    def close(self) -> None:
        """Let go of the client."""
        self._meter.close()

    def _open_one(self, steps: list[LoadCommand]) -> None:
        for n, step in enumerate(steps):
            gevent.sleep(self._schedule.opening_limiter.wait_s())
            if self._schedule.is_cut_short or not self._perform(step):
                self._failed_to_open()
                self._drop(steps[n + 1 :])
                return

    def _end_one(self, command: LoadCommand) -> None:
        asked = self._silent_client.ask(command.type, command.fields)
        self._note(command, asked)
        self.not_ended += asked.outcome not in (OK, GONE)

    def _work(self, place: float) -> None:
        """One greenlet; ``place`` is its share of the way to the limit of commands in flight."""
        schedule = self._schedule
        while schedule.is_measuring():
            if self._options.rate == 0 and place >= schedule.level():
                gevent.sleep(0.1)
                continue
            gevent.sleep(min(schedule.limiter.wait_s(), schedule.left_s()))
            if schedule.is_measuring():
                self._perform_all(self.workload.next(now_ms()))

    def _hold_rate(self) -> None:
        """Send at each moment of the rate, whether or not the replies before have come."""
        schedule = self._schedule
        while schedule.is_measuring():
            planned_s = schedule.limiter.take_s()
            gevent.sleep(min(max(0.0, planned_s - time.monotonic()), schedule.left_s()))
            if not schedule.is_measuring():
                return
            if self._pool.full():
                schedule.give_up(
                    f"{self._options.in_flight} commands wait for replies: the daemon does not "
                    "keep up with --rate, or --in-flight is too low for it"
                )
                return
            self._pool.spawn(self._perform_all, self.workload.next(now_ms()), planned_s)

    def _perform_all(self, steps: list[LoadCommand], planned_s: float | None = None) -> None:
        if not steps:
            gevent.sleep(REST_S)
        for n, step in enumerate(steps):
            if n:  # each command takes a moment of its own
                moment_s = self._schedule.limiter.take_s()
                wait_s = max(0.0, moment_s - time.monotonic())
                gevent.sleep(min(wait_s, self._schedule.left_s()))
                planned_s = None if planned_s is None else moment_s
            if not self._perform(step, planned_s):
                self._drop(steps[n + 1 :])
                return

    def _perform(self, command: LoadCommand, planned_s: float | None = None) -> bool:
        asked = self._client.ask(command.type, command.fields, planned_s)
        self._note(command, asked)
        return asked.outcome == OK

    def _note(self, command: LoadCommand, asked: Answer) -> None:
        if asked.outcome == OK:
            self.workload.replied(command, getattr(asked.reply.snapshot, "status", ""))
        elif asked.outcome == LOST:
            self.workload.lost(command)
        else:
            self.workload.dropped(command, is_gone=asked.outcome == GONE)

    def _drop(self, steps: list[LoadCommand]) -> None:
        for step in steps:
            self.workload.dropped(step)


def now_ms() -> int:
    """Steady milliseconds, for what is to last a while."""
    return int(time.monotonic() * 1000)
