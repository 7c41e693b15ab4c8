"""``meterd up``: everything in the foreground until SIGTERM or SIGINT."""

import contextlib
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import ray
import redis
import structlog
from sqlalchemy.exc import OperationalError

from actors.ray_actors import Boot, RecorderActor, SupervisorActor, start_actor
from actors.recorder import RecorderSettings
from daemon.embedded import EmbeddedServers
from daemon.embedded.errors import EmbeddedServerError
from daemon.logs import configure_worker_logging
from daemon.masking import mask_credentials
from daemon.policy import limits_of, policy_id, policy_of, supervisor_settings
from daemon.runfile import Addresses, RunFile
from daemon.settings import Settings
from persistence.client import connect
from persistence.keys import Keys
from persistence.library import LibraryError, ensure_library
from persistence.postgres import migrate

log = structlog.get_logger()

RESTARTS_MAX = 10
RECORDER_STOP_S = 2.0
SERVERS_STOP_MS = 4_000
OBJECT_STORE_BYTES = 100 * 1024 * 1024
WATCH_S = 0.5

OnStatus = Callable[[Addresses, dict[str, Any]], None]
"""Called when the state changes: where the servers are, what runs where."""


class DaemonError(Exception):
    """The daemon can't go on; the message says why and what to do."""


STARTING_ERRORS = (EmbeddedServerError, LibraryError, migrate.SchemaError, DaemonError)
"""What a person can do something about; the message says what."""


class Daemon:
    """The processes of one daemon, from start to stop."""

    def __init__(self, settings: Settings) -> None:
        """Nothing starts before ``run``."""
        self._settings = settings
        self._stop = threading.Event()
        self._token = secrets.token_hex(16)
        self._restarts = 0
        self._embedded: EmbeddedServers

    def stop(self) -> None:
        """End ``run``, in order."""
        self._stop.set()

    def run(self, on_status: OnStatus) -> None:
        """Start everything, say so, work until ``stop``, then end everything in order."""
        self._heed_signals()
        with self._servers() as addresses:
            prepare(addresses)
            boot = self._boot(addresses)
            with RunFile(self._settings.home).held(addresses), self._ray(), self._recorder(boot):
                self._supervise(boot, addresses, on_status)

    def _heed_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())

    @contextlib.contextmanager
    def _servers(self) -> Iterator[Addresses]:
        redis_url, postgres_url = self._settings.redis.url, self._settings.postgres.url
        embedded = EmbeddedServers(self._settings.home, not redis_url, not postgres_url)
        urls = embedded.start()
        self._embedded = embedded
        try:
            yield Addresses(
                redis_url or urls.redis_url or "", postgres_url or urls.postgres_url or ""
            )
        finally:
            embedded.stop(SERVERS_STOP_MS)

    @contextlib.contextmanager
    def _ray(self) -> Iterator[None]:
        folder = tempfile.mkdtemp(prefix="meterd-ray-")
        try:
            start_ray(self._settings.ray.address, folder)
            self._heed_signals()  # Ray puts handlers of its own in their place
            yield
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)

    def _boot(self, addresses: Addresses) -> Boot:
        settings, policy = self._settings, policy_of(self._settings)
        return Boot(
            redis_url=addresses.redis_url,
            postgres_url=addresses.postgres_url,
            keys=Keys(),
            policy=policy,
            policy_id=policy_id(policy),
            limits=limits_of(settings),
            ended_ttl_ms=settings.queue.ended_ttl_ms,
            socket_timeout_s=settings.redis.socket_timeout_ms / 1000,
            connect_timeout_s=settings.redis.connect_timeout_ms / 1000,
            pool_size=settings.postgres.pool_size,
            set_up=partial(
                configure_worker_logging, str(settings.home / "logs"), settings.log.level
            ),
        )

    @contextlib.contextmanager
    def _recorder(self, boot: Boot) -> Iterator[None]:
        settings = RecorderSettings(
            self._settings.recorder.batch_max, self._settings.recorder.retry_ms_max
        )
        recorder = start_actor(RecorderActor, boot, settings)
        running = recorder.run.remote()
        try:
            yield
        finally:
            recorder.stop.remote()
            _, late = ray.wait([running], timeout=RECORDER_STOP_S)
            if late:
                log.warning("recorder.unfinished", note="the rest stays in Redis for next time")

    def _supervise(self, boot: Boot, addresses: Addresses, on_status: OnStatus) -> None:
        while not self._stop.is_set():
            settings = supervisor_settings(self._settings)
            supervisor = start_actor(SupervisorActor, boot, settings, self._token)
            running = supervisor.run.remote()
            self._watch(running, supervisor, partial(on_status, addresses))
            if self._stop.is_set():
                self._stop_supervisor(supervisor, running)
            else:
                self._ended(running)

    def _watch(self, running: Any, supervisor: Any, tell: Callable[[dict[str, Any]], None]) -> None:
        """Until told to stop or the supervisor ends; tells of every new state in between."""
        told = ""
        while not self._stop.wait(WATCH_S):
            ended, _ = ray.wait([running], timeout=0)
            if ended:
                return
            for server in self._embedded.restart_ended():
                log.warning("server.restarted", server=server)
            status = _status_or_none(supervisor)
            if status is not None and status["state"] != told:
                told = status["state"]
                tell(status)

    def _stop_supervisor(self, supervisor: Any, running: Any) -> None:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(supervisor.stop.remote(), timeout=2)
            ray.wait([running], timeout=self._settings.supervisor.stop_timeout_ms / 1000)

    def _ended(self, running: Any) -> None:
        """The supervisor ended by itself: begin anew, but not for ever."""
        try:
            log.warning("supervisor.ended", why=ray.get(running))
        except ray.exceptions.RayError as error:
            log.error("supervisor.failed", error=str(error)[-2000:])
        self._restarts += 1
        if self._restarts > RESTARTS_MAX:
            raise DaemonError("the supervisor failed again and again; see the logs in METERD_HOME")
        self._stop.wait(min(0.2 * 2**self._restarts, 5))


def prepare(addresses: Addresses) -> None:
    """Bring both servers to what this meterd needs: function library and tables.

    Raises:
        DaemonError: a server does not answer.
        LibraryError: Redis can't hold the function library, or holds a newer one.
        SchemaError: Postgres has a newer schema.
    """
    try:
        with contextlib.closing(connect(addresses.redis_url)) as client:
            ensure_library(client)
    except redis.RedisError as error:
        raise _no_answer("Redis", addresses.redis_url, "redis.url", error) from None
    try:
        if migrate.current_revision(addresses.postgres_url) != migrate.head_revision():
            log.info("postgres.upgraded", revision=migrate.upgrade(addresses.postgres_url))
    except OperationalError as error:
        raise _no_answer("Postgres", addresses.postgres_url, "postgres.url", error) from None


def _no_answer(server: str, url: str, setting: str, error: Exception) -> DaemonError:
    why = mask_credentials(str(error).splitlines()[0])
    return DaemonError(
        f"{server} at {mask_credentials(url)} does not answer: {why}\n"
        f"Start it, or correct {setting}; without it meterd starts a server of its own."
    )


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


def _status_or_none(supervisor: Any) -> dict[str, Any] | None:
    """The supervisor's own word, which may be that another daemon leads."""
    try:
        status: dict[str, Any] = ray.get(supervisor.status.remote(), timeout=WATCH_S * 5)
    except (ray.exceptions.RayError, TimeoutError):
        return None
    return status
