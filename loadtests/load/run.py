"""One run from its first chat to the end of its measured phase.

Chats are opened first. When the last one is open everything that was counted is reset, and the
measured phase begins; it lasts exactly as long as was asked for, and then what is in flight is
waited for. What follows (``loadtests.load.teardown``) is not measured.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import gevent
from gevent.event import Event
from gevent.pool import Pool

from loadtests.common.queue import queue_ms
from loadtests.load.backend import Backend
from loadtests.load.client import Report, TimedClient
from loadtests.load.figures import RunFigures
from loadtests.load.frontend import Frontend, direct
from loadtests.load.notification_latency import TimerProbes
from loadtests.load.options import LoadOptions
from loadtests.load.rate_limiter import RateLimiter, waited_for_cpu_s
from loadtests.load.schedule import Phase, Schedule
from loadtests.load.workload_model import Workload, shared_out
from meterd import EventsLostError, Meter, MeterError
from persistence.redis.client import connect

FINISH_S_MAX: Final = 45.0
"""A command gives up after four attempts of 10 s."""
STRETCH_S: Final = 1.0
NOTICES_AT_ONCE: Final = 50
BARRIER_S: Final = 0.05


class LoadRun:
    """What all Locust users of a process share."""

    def __init__(
        self,
        options: LoadOptions,
        schedule: Schedule,
        report: Report,
        on_measured: Callable[[], None],
    ) -> None:
        """Nothing is sent yet.

        Args:
            options: what is asked for.
            schedule: its phase, pace and clock.
            report: passes a request on to Locust.
            on_measured: called when the measured phase begins.
        """
        self.options = options
        self.schedule = schedule
        self.figures = RunFigures()
        self.began_s = time.time()
        self.meter = Meter(options.redis_url)
        name = f"load-{uuid4().hex[:8]}-"
        self.timer_probes = TimerProbes(
            TimedClient(self.meter, self._report), name, options.notices, options.seed
        )
        self.backends: list[Backend] = []
        self._workloads = itertools.cycle(_workloads(options, name))
        self._report_on = report
        self._on_measured = on_measured
        self._chats_when_measured = 0
        self._waited_s = 0.0
        self._opened = 0
        self._began = Event()
        self._is_following = Event()
        self._helpers: list[Any] = []

    @property
    def open_chats(self) -> int:
        """As far as replies and events have told."""
        return sum(b.workload.open_chats for b in self.backends) + self.timer_probes.open_chats

    def live_backend(self) -> None:
        """All of a backend's life: open, wait for the others, work."""
        backend = Backend(self.options, self.schedule, next(self._workloads), self._report)
        self.backends.append(backend)
        try:
            self._open(backend)
            self._began.wait()
            backend.work()
            backend.finish(self.options.duration + FINISH_S_MAX)
        except MeterError as error:
            self.schedule.give_up(str(error))

    def live_frontend(self) -> None:
        """All of a frontend's life: read what is there, at its share of the pace."""
        frontend = Frontend(direct(self.meter), self._report)
        self._began.wait()
        limiter, count = RateLimiter(lambda: self.options.reads / self.options.frontends), 0
        while self.schedule.is_measuring():
            gevent.sleep(min(limiter.wait_s(), self.schedule.left_s()))
            count += 1
            workload = self.backends[count % len(self.backends)].workload
            chat = workload.any_chat()
            if chat is not None:
                frontend.read(chat.chat_id, workload.any_user())

    def tick(self) -> bool:
        """Go on to the next phase if it is time; False once it is over. Called every second."""
        schedule = self.schedule
        is_done = schedule.phase == Phase.MEASURED and not schedule.is_measuring()
        if schedule.is_cut_short or is_done:
            self.finish()
        return not schedule.is_over

    def finish(self) -> None:
        """No more commands; wait for those in flight. May be called again."""
        if self.schedule.phase in (Phase.FINISHING, Phase.OVER):
            return
        was_measured = self.schedule.finish()
        if was_measured:
            self._waited_s = waited_for_cpu_s() - self._waited_s
        for backend in self.backends:
            backend.finish(FINISH_S_MAX)
        if was_measured:
            self.figures.end_stretch(self.schedule.elapsed_s(), self.open_chats)
        else:
            self.schedule.problems.append(
                "it ended before all chats were open; nothing was measured"
            )
        self.schedule.end()
        self._began.set()

    def cut_short(self) -> None:
        """Stop now: whoever runs it does not want to wait."""
        if not self.schedule.is_over:
            self.schedule.is_cut_short = True
            self.finish()

    def end_chats(self) -> None:
        """End all that is or may be open; after the measured phase, cut short or not."""
        self.schedule.is_cut_short = False
        for backend in self.backends:
            backend.end()
        self.timer_probes.end(TimedClient(self.meter, lambda *_: None))
        not_ended = sum(backend.not_ended for backend in self.backends)
        if not_ended:
            self.schedule.problems.append(f"{not_ended} chats could not be ended")

    def close(self) -> None:
        """Let go of all clients."""
        for backend in self.backends:
            backend.close()
        self.meter.close()

    def stop_helpers(self) -> None:
        """No more events are needed."""
        gevent.killall(self._helpers, timeout=5)

    def document(self) -> dict[str, Any]:
        """All figures."""
        schedule = self.schedule
        return {
            **self.figures.document(schedule.measured_s),
            "asked_per_s": round(schedule.asked_per_s, 3),
            "measured_from_s": schedule.measured_from_s,
            "measured_to_s": schedule.measured_to_s,
            "open_chats": self._chats_when_measured,
            "generator_waited_for_cpu_s": round(self._waited_s, 3),
            "notices": self.timer_probes.expectations.document(),
            **({"raw": self.figures.raw()} if self.options.barrier else {}),
        }

    def _open(self, backend: Backend) -> None:
        schedule = self.schedule
        backend.open()
        if backend.opening_failures:
            schedule.problems.append(f"{backend.opening_failures} accounts could not be opened")
        self._opened += 1
        is_last = self._opened == self.options.backends
        if is_last and not schedule.is_over and not schedule.is_cut_short:
            self._open_timer_probes()
            self._wait_for_others()
            self._begin()

    def _wait_for_others(self) -> None:
        """Until each generator has opened its chats; the runner ends those that wait in vain."""
        if not self.options.barrier:
            return
        folder = Path(self.options.barrier)
        (folder / f"ready-{os.getpid()}").touch()
        while len(list(folder.glob("ready-*"))) < self.options.generators:
            gevent.sleep(BARRIER_S)

    def _open_timer_probes(self) -> None:
        if not self.options.notices:
            return
        self._helpers.append(gevent.spawn(self._follow))
        self._is_following.wait()
        opened = Pool(NOTICES_AT_ONCE).map(self.timer_probes.open, self.timer_probes.openings())
        if not all(opened):
            self.schedule.problems.append("chats that go idle could not be opened")

    def _begin(self) -> None:
        """Everything so far was preparation: forget its figures."""
        begin_ms = self.queue_ms()
        self.timer_probes.expectations.begin(begin_ms, begin_ms + self.options.duration * 1000)
        self.figures.reset()
        self._chats_when_measured = self.open_chats
        self._waited_s = waited_for_cpu_s()
        self._on_measured()
        self.schedule.begin()
        self._helpers += [gevent.spawn(self._keep_series), gevent.spawn(self._probe_timers)]
        self._began.set()

    def queue_ms(self) -> int:
        """The queue's clock."""
        with contextlib.closing(connect(self.options.redis_url)) as client:
            return queue_ms(client)

    def _keep_series(self) -> None:
        while self.schedule.phase == Phase.MEASURED:
            gevent.sleep(STRETCH_S)
            if self.schedule.is_measuring():
                self.figures.end_stretch(self.schedule.elapsed_s(), self.open_chats)

    def _probe_timers(self) -> None:
        limiter = RateLimiter(lambda: float(self.options.notices))
        pool = Pool(NOTICES_AT_ONCE)
        while self.options.notices and self.schedule.is_measuring():
            gevent.sleep(min(limiter.wait_s(), self.schedule.left_s()))
            if self.schedule.is_measuring():
                pool.spawn(self.timer_probes.one_more)
        pool.join()

    def _follow(self) -> None:
        try:
            with self.meter.events() as events:
                self._is_following.set()
                for event in events:
                    self.timer_probes.heard(event)
        except EventsLostError:
            self.schedule.problems.append("events left their stream before they were read")
        except MeterError as error:
            self.schedule.problems.append(f"events could not be read: {error}")
        finally:
            self._is_following.set()

    def _report(self, kind: str, name: str, latency_ms: float, error: Exception | None) -> None:
        """A command or read has come back; of what comes after the end nothing is counted."""
        if not self.schedule.is_over:
            self.figures.add(kind, name, latency_ms, is_failure=error is not None)
            self._report_on(kind, name, latency_ms, error)


def _workloads(options: LoadOptions, name: str) -> list[Workload]:
    """The accounts and chats of each backend."""
    rooms = shared_out(options.chats, options.users)
    return [
        Workload(f"{name}{n}", rooms[n :: options.backends], options.weights, options.seed + n)
        for n in range(options.backends)
    ]
