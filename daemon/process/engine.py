"""The process that drives Ray: supervisor, actors, recorder.

``meterd up`` starts it, watches it, and starts another one when it ends, hangs, or its Ray dies.

It is told what to do in one line of JSON on its standard input, and says how it is in lines of JSON
on its standard output. When its input ends, its daemon has died, and it dies at once: nothing
depends on an end in order.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

import ray
import structlog

from actors.ray_actors import Boot, SupervisorActor
from actors.ray_processes import start_actor
from actors.recorder import RecorderConfig
from daemon.discovery.runfile import Addresses
from daemon.logging.logs import configure_logging, configure_worker_logging
from daemon.process.engine_client import heed_signals
from daemon.process.ray_processes import RayProcesses, kill_descendants
from daemon.settings.derived import limits_of, policy_id, policy_of, supervisor_settings
from daemon.settings.settings import Settings, load_settings
from meterd.rules.redis_keys import Keys

log = structlog.get_logger()

WATCH_S: Final = 0.5
ASK_S: Final = 1.0
"""How long one question to the supervisor may take before it counts as unanswered."""
OBJECT_STORE_BYTES: Final = 100 * 1024 * 1024
FAILURES_MAX: Final = 5
"""Supervisors that may fail one after the other before Ray itself is started anew."""

EXIT_AGAIN: Final = 3
"""The exit code that asks for another engine."""

Tell = Callable[[dict[str, Any]], None]
"""Takes what the daemon is to know: state, why, what runs where."""


class Engine:
    """One Ray session and the supervisors that follow each other in it."""

    def __init__(self, settings: Settings, addresses: Addresses, token: str, folder: str) -> None:
        """Nothing starts before ``run``.

        ``token`` names the daemon to others; ``folder`` is for Ray's own files.
        """
        self._settings = settings
        self._addresses = addresses
        self._token = token
        self._folder = folder
        self._stop = threading.Event()
        self._start_s = settings.actors.start_timeout_ms / 1000
        self._answer_s = settings.actors.answer_timeout_ms / 1000

    def stop(self) -> None:
        """End ``run``, in order."""
        self._stop.set()

    def run(self, tell: Tell) -> None:
        """Start Ray and work until ``stop``; ends the process if that becomes impossible."""
        with self._ray() as processes:
            boot = self._boot()
            failures = 0
            while not self._stop.is_set() and failures < FAILURES_MAX:
                was_ready = self._supervise(boot, processes, tell)
                failures = 0 if was_ready else failures + 1
                self._stop.wait(min(0.1 * 2**failures, 2))
            if not self._stop.is_set():
                give_up("the supervisor failed again and again")

    @contextlib.contextmanager
    def _ray(self) -> Iterator[RayProcesses]:
        try:
            start_ray(self._settings.ray.address, self._folder)
            heed_signals(self.stop)  # Ray puts handlers of its own in their place
            yield RayProcesses(os.getpid(), self._answer_s)
        finally:
            ray.shutdown()

    def _supervise(self, boot: Boot, processes: RayProcesses, tell: Tell) -> bool:
        """One supervisor's life; returns whether it was ready once."""
        settings = supervisor_settings(self._settings)
        supervisor = start_actor(SupervisorActor, boot, settings, self._token)
        running = supervisor.run.remote()
        try:
            was_ready = self._watch(running, supervisor, processes, tell)
            if self._stop.is_set():
                self._stop_supervisor(supervisor, running)
            return was_ready
        finally:
            ray.kill(supervisor)

    def _watch(self, running: Any, supervisor: Any, processes: RayProcesses, tell: Tell) -> bool:
        """Until told to stop, or the supervisor ends or hangs; tells how it is in between."""
        # The first answer comes when the actor has started, which is another patience.
        was_ready, pid, patience_s = False, None, self._start_s
        answered_at = time.monotonic()
        while not self._stop.wait(WATCH_S):
            problem = processes.problem()
            if problem:
                give_up(problem)
            if _has_ended(running):
                return was_ready
            status = _status_or_none(supervisor)
            if status is None:
                tell({})
                if time.monotonic() - answered_at > patience_s:
                    log.error("supervisor.hangs", pid=pid)
                    _kill(pid)
                    return was_ready
                continue
            was_ready, pid = was_ready or status["state"] == "ready", status.get("pid")
            answered_at, patience_s = time.monotonic(), self._answer_s
            tell(status)
        return was_ready

    def _stop_supervisor(self, supervisor: Any, running: Any) -> None:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(supervisor.stop.remote(), timeout=2)
            ray.wait([running], timeout=self._settings.supervisor.stop_timeout_ms / 1000)

    def _boot(self) -> Boot:
        settings, policy = self._settings, policy_of(self._settings)
        return Boot(
            redis_url=self._addresses.redis_url,
            postgres_url=self._addresses.postgres_url,
            keys=Keys(),
            policy=policy,
            policy_id=policy_id(policy),
            limits=limits_of(settings),
            ended_ttl_ms=settings.queue.ended_ttl_ms,
            socket_timeout_s=settings.redis.socket_timeout_ms / 1000,
            connect_timeout_s=settings.redis.connect_timeout_ms / 1000,
            pool_size=settings.postgres.pool_size,
            recorder=RecorderConfig(settings.recorder.batch_max, settings.recorder.retry_ms_max),
            set_up=partial(
                configure_worker_logging, str(settings.home / "logs"), settings.log.level
            ),
        )


def give_up(why: str) -> NoReturn:
    """End this process at once: Ray would wait for what has died. Its daemon starts another one."""
    log.error("engine.failed", why=why)
    kill_descendants()
    os._exit(EXIT_AGAIN)


def start_ray(address: str | None, folder: str) -> None:
    """Join the cluster at ``address``, or start one of our own on this machine."""
    if address:
        ray.init(address=address, namespace="meterd", log_to_driver=False)
        return
    ray.init(
        address="local",
        namespace="meterd",
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        object_store_memory=OBJECT_STORE_BYTES,
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
    )


def _has_ended(running: Any) -> bool:
    ended, _ = ray.wait([running], timeout=0)
    if ended:
        try:
            log.warning("supervisor.ended", why=ray.get(running))
        except ray.exceptions.RayError as error:
            log.error("supervisor.failed", error=str(error)[-2000:])
    return bool(ended)


def _status_or_none(supervisor: Any) -> dict[str, Any] | None:
    """The supervisor's own word, which may be that another daemon leads."""
    try:
        status: dict[str, Any] = ray.get(supervisor.status.remote(), timeout=ASK_S)
    except (ray.exceptions.RayError, TimeoutError):
        return None
    return status


def _kill(pid: int | None) -> None:
    """End a process that Ray can't reach, because it was stopped."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _die_with(parent_pipe: Any) -> None:
    """Wait for the end of the daemon's pipe, which is the end of the daemon."""
    parent_pipe.read()
    kill_descendants()
    os._exit(1)


def main() -> None:
    """Do what the first line of standard input says."""
    order = json.loads(sys.stdin.readline())
    # What Ray or others print must not get between the lines of JSON.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    settings = load_settings(Path(order["config"]) if order["config"] else None)
    configure_logging(settings.log.level, settings.log.format)
    engine = Engine(settings, Addresses(**order["addresses"]), order["token"], order["folder"])
    heed_signals(engine.stop)
    threading.Thread(target=_die_with, args=(sys.stdin,), daemon=True).start()
    engine.run(lambda status: print(json.dumps(status), file=answers))


if __name__ == "__main__":
    main()
