"""``meterd up``: everything in the foreground until SIGTERM or SIGINT.

The daemon's own process supervises the servers and the engine, the process that drives Ray.
Whatever happens to Ray happens to the engine, and another one starts.
"""

import contextlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis
import structlog
from sqlalchemy.exc import OperationalError

from actors.supervisor.starts import StartLimit
from daemon.discovery.layout import check_redis, settle_postgres, settle_redis
from daemon.discovery.runfile import Addresses, RunFile
from daemon.embedded import EmbeddedServers
from daemon.embedded.errors import EmbeddedServerError
from daemon.embedded.log_file import LogFile
from daemon.embedded.memory import check_memory, memory_bytes
from daemon.errors import DaemonError, PartitionsError
from daemon.gateway.errors import BindError, KeysError
from daemon.gateway.key_source import secret_of
from daemon.logging.masking import mask_credentials
from daemon.process.engine_client import (
    WATCH_S,
    EngineConfig,
    EngineProcess,
    install_signal_handlers,
    save_ray_logs,
)
from daemon.process.gateway_process import GatewaySupervisor
from daemon.process.loss_log import LossLog
from daemon.process.ray_folder import new_ray_folder, remove_ray_folder
from daemon.settings.fingerprint import settings_fingerprint
from daemon.settings.settings import Settings
from meterd.rules.redis_keys import Keys
from persistence.errors import FunctionsError, PreflightError, SchemaError
from persistence.postgres import migrate
from persistence.postgres.engine import make_engine
from persistence.redis.client import RedisClients, connect
from persistence.redis.functions import check_functions, load_functions
from persistence.redis.preflight import check_preflight, mark_format

log = structlog.get_logger()

FAILURES_MAX = 10
"""Engines that may fail in a row, none of them ready once, before the daemon ends.

One that was only slow is not counted.
"""
SERVERS_STOP_MS = 4_000
CLUSTER_PAUSE_S = 2.0
"""Between two attempts to join a Ray cluster that does not take this machine."""
RAY_STOP_S = 10.0
"""What Ray's own end may take, beyond the supervisor's time."""

OnStatus = Callable[[Addresses, dict[str, Any]], None]
"""Called when the state or its reason changes: where the servers are, what runs where."""


STARTING_ERRORS = (
    EmbeddedServerError,
    FunctionsError,
    PreflightError,
    SchemaError,
    DaemonError,
    PartitionsError,
    KeysError,
    BindError,
)
"""What a person can fix; the message says how."""


class Daemon:
    """The processes of one daemon, from start to stop."""

    def __init__(self, settings: Settings, config: Path | None = None) -> None:
        """Nothing starts before ``run``. ``config`` is the settings' file, if one was named."""
        self._settings = settings
        self._config = str(config) if config else None
        self._stop = threading.Event()
        self._token = secrets.token_hex(16)
        self._ray_log = LogFile(settings.home, "ray")
        self._limit = StartLimit(settings.ray.start_timeout_ms / 1000)
        self._runfile = RunFile(settings.home)
        self._embedded: EmbeddedServers
        self._gateway: GatewaySupervisor | None = None

    def stop(self) -> None:
        """End ``run``, in order."""
        self._stop.set()

    def run(self, on_status: OnStatus) -> None:
        """Start everything, report it, work until ``stop``, then end everything in order."""
        check_memory(memory_bytes())
        install_signal_handlers(self.stop)
        with self._servers() as servers, self._listening(servers) as addresses:
            prepare(addresses, self._settings.partitions)
            if not self._settings.redis.all_urls:
                forget_status(addresses.redis_url, self._settings.partitions)
            with self._held(addresses):
                try:
                    if self._gateway is not None:
                        self._gateway.start(addresses)
                    self._run_engines(addresses, on_status)
                finally:
                    remove_ray_folder(self._settings.home)

    def _held(self, addresses: Addresses) -> contextlib.AbstractContextManager[None]:
        named = Path(self._config) if self._config else None
        return self._runfile.held(
            addresses,
            jwt_secret=self._jwt_secret(),
            settings=settings_fingerprint(named, os.environ),
            environment=self._settings.http.environment,
        )

    def _jwt_secret(self) -> str:
        """What `meterd token` has to sign with; empty if the gateway takes no secret."""
        http = self._settings.http
        return "" if http.jwks_file or not http.enabled else secret_of(self._settings)

    @contextlib.contextmanager
    def _servers(self) -> Iterator[Addresses]:
        redis_urls, postgres_url = self._settings.redis.all_urls, self._settings.postgres.url
        embedded = EmbeddedServers(self._settings.home, not redis_urls, not postgres_url)
        urls = embedded.start()
        self._embedded = embedded
        try:
            yield Addresses.of(
                redis_urls or (urls.redis_url or "",), postgres_url or urls.postgres_url or ""
            )
        finally:
            embedded.stop(SERVERS_STOP_MS)

    @contextlib.contextmanager
    def _listening(self, servers: Addresses) -> Iterator[Addresses]:
        """Listen for the gateway, which is started when there is something to read."""
        if not self._settings.http.enabled:
            yield servers
            return
        self._gateway = GatewaySupervisor(self._settings, self._config)
        try:
            yield servers._replace(http_url=self._gateway.url)
        finally:
            self._gateway.stop()

    def _run_engines(self, addresses: Addresses, on_status: OnStatus) -> None:
        failures, before = 0, ""
        while not self._stop.is_set():
            self._report_start(before)
            folder = new_ray_folder(self._settings.home)
            config = EngineConfig(
                addresses=addresses,
                config=self._config,
                token=self._token,
                folder=folder,
                start_limit_s=self._limit.seconds,
                ray_address=self._settings.ray.address,
            )
            engine = EngineProcess(config, self._ray_log)
            try:
                before = self._watch(engine, addresses, on_status)
                is_late = bool(before) and engine.is_start_timeout()
            finally:
                self._end(engine)
            if before:
                save_ray_logs(folder, self._ray_log.path)
                failures = self._count(engine, is_late, failures)
                pause_s = CLUSTER_PAUSE_S if engine.is_cluster_away() else 0
                self._engine_lost(before, failures, pause_s)

    def _report_start(self, before: str) -> None:
        """Note what is being waited for in METERD_HOME: Redis does not have it yet."""
        why = f"{self._limit.describe('Ray')}; log: {self._ray_log.path}"
        log.info(
            "ray.starting",
            attempt=self._limit.attempt,
            limit_ms=int(self._limit.seconds * 1000),
            log_file=str(self._ray_log.path),
        )
        if before:
            self._runfile.note("restarting", f"{before}; {why}")
        else:
            self._runfile.note("starting", why)

    def _count(self, engine: EngineProcess, is_late: bool, failures: int) -> int:
        """How many engines have failed in a row; one that was late gets more time instead.

        A Ray cluster that others have started is waited for, for ever.
        """
        if engine.is_cluster_away():
            return failures
        if is_late:
            self._limit.exceeded()
            return failures
        self._limit.met()
        return 0 if engine.was_ready else failures + 1

    def _engine_lost(self, why: str, failures: int, pause_s: float) -> None:
        log.error("engine.lost", why=why, failures=failures)
        if failures > FAILURES_MAX:
            raise DaemonError(
                f"{why}, {failures} times in a row; the cause is in {self._ray_log.path}"
            )
        self._stop.wait(min(0.1 * 2**failures, 5) if failures else pause_s)

    def _watch(self, engine: EngineProcess, addresses: Addresses, on_status: OnStatus) -> str:
        """Watch until ``stop`` (returns nothing), or the engine has a problem (returns it)."""
        noted, reported, losses = ("", ""), ("", ""), LossLog()
        while not self._stop.wait(WATCH_S):
            problem = engine.problem()
            if problem:
                return problem
            self._restart_servers()
            self._embedded.bound_logs()
            self._ray_log.bound()
            if self._gateway is not None:
                self._gateway.restart_if_ended(addresses)
            status = engine.status
            state, why = status.get("state", ""), status.get("why", "")
            if status and (state, why) != noted:
                self._runfile.note(state, why)
                noted = state, why
            losses.observe(status)
            if status and (state, without_figures(why)) != reported:
                on_status(addresses, status)
                reported = state, without_figures(why)
        return ""

    def _restart_servers(self) -> None:
        try:
            for server in self._embedded.restart_ended():
                log.warning("server.restarted", server=server)
        except EmbeddedServerError as error:
            log.error("server.not_restarted", why=str(error))
            raise

    def _end(self, engine: EngineProcess) -> None:
        if self._stop.is_set():
            engine.stop(self._settings.supervisor.stop_timeout_ms / 1000 + RAY_STOP_S)
        else:
            engine.kill()


def without_figures(why: str) -> str:
    """A reason without its seconds, attempts and sizes: when only they change, it is the same."""
    return re.sub(r"\d+", "", why)


def prepare(addresses: Addresses, partitions: int) -> None:
    """Bring all servers to what this meterd needs: function library, tables, partitions.

    Raises:
        DaemonError: a server does not answer.
        PartitionsError: the data was made with another number of partitions.
        PreflightError: Redis may throw data away, or its data is of a newer meterd.
        FunctionsError: Redis can't hold the function library, or a daemon that is newer by more
            than one version has worked here.
        SchemaError: Postgres has a newer schema.
    """
    servers = addresses.redis
    with RedisClients(servers) as clients:
        for url, numbers in servers.groups(partitions).items():
            with _answering("Redis", url, "redis.url"):
                _await_loaded(clients.at(url))
                check_functions(clients.at(url))
                for number in numbers:
                    check_preflight(clients.at(url), Keys(number))
                check_redis(clients, url, partitions)
        with _answering("Postgres", addresses.postgres_url, "postgres.url"):
            _prepare_postgres(addresses.postgres_url, partitions)
        # Only now that all agree is anything written to Redis.
        for url, numbers in servers.groups(partitions).items():
            with _answering("Redis", url, "redis.url"):
                settle_redis(clients, url, partitions)
                for number in numbers:
                    mark_format(clients.at(url), Keys(number))
                load_functions(clients.at(url))


def _prepare_postgres(url: str, partitions: int) -> None:
    if migrate.current_revision(url) != migrate.head_revision():
        log.info("postgres.upgraded", revision=migrate.upgrade(url))
    engine = make_engine(url)
    try:
        settle_postgres(engine, partitions)
    finally:
        engine.dispose()


@contextlib.contextmanager
def _answering(server: str, url: str, setting: str) -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OperationalError) as error:
        raise _no_answer(server, url, setting, error) from None


def forget_status(redis_url: str, partitions: int) -> None:
    """Delete the status of a daemon that was killed; nobody else works on an embedded Redis."""
    with contextlib.closing(connect(redis_url)) as client:
        client.delete(*(Keys(number).status for number in range(partitions)))


LOADING_S_MAX = 600.0
"""How long Redis may take to load its data before the daemon gives up: gigabytes take minutes."""


def _await_loaded(client: redis.Redis) -> None:
    deadline = time.monotonic() + LOADING_S_MAX
    while True:
        try:
            client.ping()
            return
        except redis.BusyLoadingError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _no_answer(server: str, url: str, setting: str, error: Exception) -> DaemonError:
    why = mask_credentials(str(error).splitlines()[0])
    return DaemonError(
        f"{server} at {mask_credentials(url)} does not answer: {why}\n"
        f"Start it, or correct {setting}; without it meterd starts a server of its own."
    )
