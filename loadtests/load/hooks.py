"""Where Locust and the run meet: users, shapes, options, the exit code.

Importing this imports Locust, which patches the process for gevent: only Locust's own process may.
"""

import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import gevent
from gevent.event import Event
from locust import LoadTestShape, User, events, task

from loadtests.load import load_profiles
from loadtests.load.addresses import AddressesError, check, with_addresses
from loadtests.load.options import LoadOptions, OptionsError, add_to_locust, load_options_of
from loadtests.load.progress import ProgressLine
from loadtests.load.run import LoadRun
from loadtests.load.schedule import Schedule
from loadtests.load.teardown import close, write
from loadtests.load.thresholds import Threshold, ThresholdsError, read_thresholds

EXIT_FAILED = 1
EXIT_USAGE = 2


class BackendUser(User):
    """A backend: one of them carries as many chats as it is given."""

    @task
    def live(self) -> None:
        """Open chats, then send commands until the measured phase is over."""
        _session(self.environment).begun().live_backend()
        rest()


class FrontendUser(User):
    """A frontend: reads snapshots."""

    @task
    def live(self) -> None:
        """Read until the measured phase is over."""
        _session(self.environment).begun().live_frontend()
        rest()


class _Shape(LoadTestShape):
    """All users are there all the time; what moves is the pace of the commands."""

    abstract = True
    use_common_options = True  # --run-time, as a limit of everything
    level: load_profiles.Profile
    session: "Session"

    def tick(self) -> tuple[int, float] | None:
        """Once a second: go on, or stop."""
        options = self.session.options
        users = options.backends + options.frontends
        return (users, float(users)) if self.session.goes_on() else None


class SteadyShape(_Shape):
    """All of it, from the beginning to the end."""

    level = staticmethod(load_profiles.steady)


class RampShape(_Shape):
    """From a tenth to all of it."""

    level = staticmethod(load_profiles.ramp)


class SpikeShape(_Shape):
    """A quarter of it; all of it in the middle."""

    level = staticmethod(load_profiles.spike)


class SoakShape(_Shape):
    """Up and down, for hours."""

    level = staticmethod(load_profiles.soak)


PROFILES: dict[str, type[_Shape]] = {
    "steady": SteadyShape,
    "ramp": RampShape,
    "spike": SpikeShape,
    "soak": SoakShape,
}


class Session:
    """Locust's process: one run after another, as they are started."""

    def __init__(self, environment: Any, options: LoadOptions, thresholds: list[Threshold]) -> None:
        """Nothing runs yet."""
        self.options = options
        self._environment = environment
        self._thresholds = thresholds
        self._progress = ProgressLine()
        self._run: LoadRun | None = None
        self.problems = ["no run was begun"]

    def begun(self) -> LoadRun:
        """The run; the first user that lives begins it."""
        if self._run is None:
            level = self._environment.shape_class.level
            schedule = Schedule(self.options, level)
            reset = self._environment.stats.reset_all
            self._run = LoadRun(self.options, schedule, self._report, reset)
        return self._run

    def goes_on(self) -> bool:
        """Whether users are still needed; says how it goes."""
        if self._run is None:
            return True
        if self._environment.parsed_options.headless:
            self._progress.look(self._run)
        return self._run.tick()

    def stop(self) -> None:
        """SIGTERM: Locust has no handler of its own while a shape runs headless."""
        self.begun().schedule.give_up("it was stopped by SIGTERM")

    def end(self) -> None:
        """Bring the run to its end, once; what is wrong with it is in ``problems``."""
        run, self._run = self._run, None
        if run is None:
            return
        # What several generators reach together is for the runner to judge.
        thresholds = [] if self.options.barrier else self._thresholds
        figures = close(run, thresholds, self._progress.say)
        write(figures, self.options.figures)
        self.problems = figures["problems"]
        for problem in self.problems:
            self._progress.say(f"FAILED: {problem}")

    def _report(self, kind: str, name: str, latency_ms: float, error: Exception | None) -> None:
        self._environment.events.request.fire(
            request_type=kind, name=name, response_time=latency_ms, response_length=0,
            exception=error, context={},
        )  # fmt: skip


def rest() -> None:
    """Wait to be stopped: Locust would begin a task that has ended once more."""
    Event().wait()


def _session(environment: Any) -> Session:
    session: Session = environment.meterd_session
    return session


def on_options(parser: Any, **_: Any) -> None:
    """Locust makes its command line."""
    add_to_locust(parser)


def on_init(environment: Any, runner: Any, **_: Any) -> None:
    """Locust is about to start: read what is wanted, refuse what can't be."""
    parsed = environment.parsed_options
    if parsed.master or parsed.worker or parsed.processes:
        _refuse("--master, --worker and --processes can't be. For several processes: python -m "
                "loadtests.load --generators")  # fmt: skip
    if parsed.generators > 1 and not parsed.barrier:
        _refuse("--generators is an option of python -m loadtests.load")
    try:
        options = with_addresses(load_options_of(parsed))
        thresholds = read_thresholds(Path(options.thresholds))
        check(options)
    except (AddressesError, OptionsError, ThresholdsError) as error:
        _refuse(str(error))
    environment.meterd_session = Session(environment, options, thresholds)
    environment.shape_class = PROFILES[options.shape]()
    environment.shape_class.session = environment.meterd_session
    environment.shape_class.runner = runner
    _count_users(environment, options)
    if parsed.headless:
        parsed.only_summary = True  # our own line says how it goes
        gevent.signal_handler(signal.SIGTERM, environment.meterd_session.stop)


def _count_users(environment: Any, options: LoadOptions) -> None:
    BackendUser.fixed_count, FrontendUser.fixed_count = options.backends, options.frontends
    if not options.frontends:
        environment.user_classes = [c for c in environment.user_classes if c is not FrontendUser]


def _refuse(why: str) -> NoReturn:
    sys.stderr.write(why + "\n")
    sys.exit(EXIT_USAGE)


def on_test_stop(environment: Any, **_: Any) -> None:
    """Users are gone: what follows is not measured."""
    _session(environment).end()


def on_quitting(environment: Any, **_: Any) -> None:
    """The exit code: without a single command, Locust itself would say that all is well."""
    session = _session(environment)
    session.end()
    environment.process_exit_code = EXIT_FAILED if session.problems else 0


events.init_command_line_parser.add_listener(on_options)
events.init.add_listener(on_init)
events.test_stop.add_listener(on_test_stop)
events.quitting.add_listener(on_quitting)
