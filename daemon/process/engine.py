"""The process that drives Ray: supervisor, actors, recorder.

``meterd up`` starts it, watches it, and starts another one when it ends, hangs, or its Ray dies.

It gets its configuration in one line of JSON on its standard input, and reports its status in lines
of JSON on its standard output. Its error output is a file, for what Ray prints; its own log goes to
the file descriptor that the configuration names. When its input ends, its daemon has died, and it
ends at once: nothing depends on an end in order.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

import ray
import structlog

from actors.ray_actors import ActorConfig, SupervisorActor
from actors.ray_processes import end_process, own_node, start_actor
from actors.recorder import RecorderConfig
from actors.silence import ProcessSilence
from actors.supervisor.starts import StartLimit
from daemon.discovery.runfile import Addresses
from daemon.errors import RayStartError, RayStartTimeoutError
from daemon.logging.logs import configure_logging, configure_worker_logging
from daemon.process.engine_client import (
    EXIT_CLUSTER_AWAY,
    EXIT_FAILED,
    EXIT_START_TIMEOUT,
    EngineConfig,
    install_signal_handlers,
)
from daemon.process.ray_processes import RayProcesses, kill_descendants
from daemon.process.ray_start import is_head_there, start_ray
from daemon.settings.derived import limits_of, policy_id, policy_of, ray_log_of, supervisor_settings
from daemon.settings.settings import Settings, load_settings

log = structlog.get_logger()

WATCH_S: Final = 0.5
POLL_S: Final = 1.0
"""How long one poll waits for the supervisor's answer; a late answer is taken by the next."""
HEAD_POLL_S: Final = 1.0
"""Between two attempts to reach the head of a cluster that is away."""
STARTING: Final = ("starting", "recovering")
"""States of a supervisor that does not work yet."""
FAILURES_MAX: Final = 5
"""Supervisors that may fail one after the other before Ray itself is restarted."""

Report = Callable[[dict[str, Any]], None]
"""Called with the daemon's status: state, why, what runs where."""


class Engine:
    """One Ray session and the supervisors that follow each other in it."""

    def __init__(self, settings: Settings, config: EngineConfig) -> None:
        """Nothing starts before ``run``."""
        self._settings = settings
        self._config = config
        self._stop = threading.Event()
        self._limit = StartLimit(settings.actors.start_timeout_ms / 1000)
        self._call_s = settings.actors.call_timeout_ms / 1000

    def stop(self) -> None:
        """End ``run``, in order."""
        self._stop.set()

    def run(self, report: Report) -> None:
        """Start Ray and work until ``stop``; ends the process if that becomes impossible."""
        self._await_head(report)
        if self._stop.is_set():
            return
        with self._ray() as processes:
            actor_config = self._actor_config()
            failures = 0
            while not self._stop.is_set() and failures < FAILURES_MAX:
                attempt = self._limit.attempt
                was_ready = self._supervise(actor_config, processes, report)
                is_late = self._limit.attempt > attempt
                failures = 0 if was_ready else failures if is_late else failures + 1
                self._stop.wait(min(0.1 * 2**failures, 2))
            if not self._stop.is_set():
                exit_fatal(f"{FAILURES_MAX} supervisors have failed in a row")

    def _await_head(self, report: Report) -> None:
        """Wait for the head of the cluster to join, for ever, and say so.

        Ray's own attempt would take minutes in which nobody hears of anything.
        """
        address = self._config.ray_address
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        while address and not self._stop.is_set() and not is_head_there(address):
            report(
                {"state": "starting", "why": f"waiting for Ray's head at {address} since {since}"}
            )
            self._stop.wait(HEAD_POLL_S)

    @contextlib.contextmanager
    def _ray(self) -> Iterator[RayProcesses]:
        config = self._config
        try:
            try:
                start_ray(config.ray_address, config.folder, config.start_limit_s)
            except (RayStartTimeoutError, RayStartError) as error:
                exit_fatal(str(error), _exit_code(error, config.ray_address))
            install_signal_handlers(self.stop)  # Ray puts handlers of its own in their place
            yield RayProcesses(os.getpid(), self._call_s)
        finally:
            ray.shutdown()

    def _supervise(
        self, actor_config: ActorConfig, processes: RayProcesses, report: Report
    ) -> bool:
        """One supervisor's life; returns whether it was ready once."""
        settings = supervisor_settings(self._settings)
        waiting = self._limit.describe("the supervisor")
        report({"state": "starting", "why": f"{waiting}; log: {ray_log_of(self._settings)}"})
        supervisor = start_actor(
            SupervisorActor, own_node(), actor_config, settings, self._config.token
        )
        running = supervisor.run.remote()
        try:
            was_ready = self._watch(running, supervisor, processes, report)
            if self._stop.is_set():
                self._stop_supervisor(supervisor, running)
            return was_ready
        finally:
            ray.kill(supervisor)

    def _watch(
        self, running: Any, supervisor: Any, processes: RayProcesses, report: Report
    ) -> bool:
        """Report the status until ``stop``, or until the supervisor ends or hangs."""
        # Until it works the start's limit applies: a slow machine is no reason to replace it.
        was_ready, is_starting, pid = False, True, 0
        poll, silence = StatusPoll(supervisor), ProcessSilence()
        while not self._stop.wait(WATCH_S):
            problem = processes.problem()
            if problem:
                exit_fatal(problem)
            if _has_ended(running):
                return was_ready
            status = poll.answer(POLL_S)
            if status is None:
                report({})
                silence.observe(pid or None, WATCH_S + POLL_S)
                if silence.is_over(self._limit.seconds if is_starting else self._call_s):
                    self._end_silent(is_starting, pid)
                    return was_ready
                continue
            is_starting, pid = status["state"] in STARTING, status.get("pid", 0)
            if not is_starting:
                self._limit.met()
            was_ready = was_ready or status["state"] == "ready"
            silence.answered()
            report(status)
        return was_ready

    def _end_silent(self, is_starting: bool, pid: int) -> None:
        if is_starting:
            limit_ms = int(self._limit.seconds * 1000)
            log.warning("supervisor.start_timeout", attempt=self._limit.attempt, limit_ms=limit_ms)
            self._limit.exceeded()
        else:
            log.error("supervisor.hangs", pid=pid)
        if pid:
            end_process(pid)  # its node is ours; Ray can't reach it if it is stopped

    def _stop_supervisor(self, supervisor: Any, running: Any) -> None:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(supervisor.stop.remote(), timeout=2)
            ray.wait([running], timeout=self._settings.supervisor.stop_timeout_ms / 1000)

    def _actor_config(self) -> ActorConfig:
        settings, policy = self._settings, policy_of(self._settings)
        return ActorConfig(
            redis_servers=self._config.addresses.redis,
            postgres_url=self._config.addresses.postgres_url,
            partitions=settings.partitions,
            policy=policy,
            policy_id=policy_id(policy),
            limits=limits_of(settings),
            ended_ttl_ms=settings.queue.ended_ttl_ms,
            socket_timeout_s=settings.redis.socket_timeout_ms / 1000,
            connect_timeout_s=settings.redis.connect_timeout_ms / 1000,
            pool_size=settings.postgres.pool_size,
            is_joined=self._config.ray_address is not None,
            is_spread=settings.ray.spread,
            recorder=RecorderConfig(settings.recorder.batch_max, settings.recorder.retry_ms_max),
            set_up=partial(
                configure_worker_logging, str(settings.home / "logs"), settings.log.level
            ),
        )


class StatusPoll:
    """Asks the supervisor for its status, one question at a time: a late answer is an answer."""

    def __init__(self, supervisor: Any) -> None:
        """Nothing is asked yet."""
        self._supervisor = supervisor
        self._asked: Any = None

    def answer(self, wait_s: float) -> dict[str, Any] | None:
        """The answer to the open question; None if there is none yet, or none will come."""
        if self._asked is None:
            self._asked = self._supervisor.status.remote()
        answered, _ = ray.wait([self._asked], timeout=wait_s)
        if not answered:
            return None
        asked, self._asked = self._asked, None
        try:
            status: dict[str, Any] = ray.get(asked)
        except ray.exceptions.RayError:
            return None
        return status


def _exit_code(error: Exception, ray_address: str | None) -> int:
    """A cluster of others is waited for, whatever keeps it from taking us."""
    if ray_address is not None:
        return EXIT_CLUSTER_AWAY
    return EXIT_START_TIMEOUT if isinstance(error, RayStartTimeoutError) else EXIT_FAILED


def exit_fatal(why: str, code: int = EXIT_FAILED) -> NoReturn:
    """End this process at once: Ray would wait for what has died. Its daemon starts another one."""
    log.error("engine.failed", why=why)
    kill_descendants()
    os._exit(code)


def _has_ended(running: Any) -> bool:
    ended, _ = ray.wait([running], timeout=0)
    if ended:
        try:
            log.warning("supervisor.ended", why=ray.get(running))
        except ray.exceptions.RayError as error:
            log.error("supervisor.failed", error=str(error)[-2000:])
    return bool(ended)


def _die_with(parent_pipe: Any) -> None:
    """Wait for the end of the daemon's pipe, which is the end of the daemon."""
    parent_pipe.read()
    kill_descendants()
    os._exit(1)


def main() -> None:
    """Run with the configuration in the first line of standard input."""
    given = json.loads(sys.stdin.readline())
    own_log = os.fdopen(given.pop("log_fd"), "w", buffering=1)
    config = EngineConfig(**{**given, "addresses": Addresses(**given["addresses"])})
    # What Ray or others print must not get between the lines of JSON.
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    settings = load_settings(Path(config.config) if config.config else None)
    configure_logging(settings.log.level, settings.log.format, own_log)
    engine = Engine(settings, config)
    install_signal_handlers(engine.stop)
    threading.Thread(target=_die_with, args=(sys.stdin,), daemon=True).start()
    engine.run(lambda status: print(json.dumps(status), file=reports))


if __name__ == "__main__":
    main()
