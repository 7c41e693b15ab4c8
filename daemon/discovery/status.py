"""The status of the daemon that runs here: published in Redis, else left in METERD_HOME."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import redis

from daemon.discovery.published import read_whole_status
from daemon.discovery.runfile import Addresses, RunFile
from daemon.logging.masking import mask_credentials
from daemon.monitoring.alarms import alarms_of
from daemon.monitoring.next_steps import next_step_of
from daemon.settings.fingerprint import settings_fingerprint
from daemon.settings.home import choose_home, elsewhere_hint
from meterd.redis_servers import RedisServers
from persistence.redis.client import RedisClients

if TYPE_CHECKING:
    from daemon.settings.settings import Settings

DOWN: dict[str, Any] = {"state": "down"}
_NOT_READY: Final = "MeterdNotReady"
_NONE_CAN_BE_SENT: Final = "commands are not being handled, and none can be sent"
_UNTIL_REDIS: Final = "until Redis answers"
_UNTIL_UP: Final = "until: meterd up"


def find_addresses(settings: "Settings") -> Addresses | None:
    """Where the servers are: as configured, else where the daemon in METERD_HOME has them."""
    found = RunFile(settings.home).read()
    urls = settings.redis.all_urls or (found.redis.urls if found else ())
    postgres_url = settings.postgres.url or (found.postgres_url if found else None)
    http_url = found.http_url if found and not RunFile(settings.home).is_stale() else ""
    return Addresses.of(urls, postgres_url or "", http_url) if urls else None


def running_status(config: Path | None) -> dict[str, Any] | None:
    """The status of the daemon that runs here with the settings that there are.

    None if there is none: then the settings say where to look, which takes longer.
    """
    home = choose_home(os.environ).path
    running = RunFile(home).read_running(settings_fingerprint(config, os.environ))
    if running is None:
        return None
    return _told(*_found(home, running.addresses), running.environment)


def full_status(settings: "Settings") -> dict[str, Any]:
    """State and addresses; ``state`` is ``ready`` once commands are being handled."""
    home, addresses = settings.home, find_addresses(settings)
    if addresses is None:
        why = f"no daemon runs in {home}; start one with: meterd up"
        found, until = {**DOWN, "why": why, "home": str(home)}, _UNTIL_UP
    elif not settings.redis.all_urls and RunFile(home).is_stale():
        # What it published last outlives it by some seconds.
        why = f"the daemon in {home} has ended; start it again with: meterd up"
        found, until = _found(home, addresses, {**DOWN, "why": why})
        until = until and _UNTIL_UP
    else:
        found, until = _found(home, addresses)
    return _told(found, until, settings.http.environment)


def _told(found: dict[str, Any], until: str, environment: str) -> dict[str, Any]:
    """With what a person should know about it; ``until`` when nothing can be sent, else empty."""
    step = next_step_of(found)
    if step and "redis_url" not in found:
        step = f"{step.removesuffix('.')}{elsewhere_hint(os.environ)}."
    alarms = list(alarms_of(found))
    for alarm in alarms:
        if until and alarm["name"] == _NOT_READY:
            alarm["summary"] = f"{_NONE_CAN_BE_SENT} {until}"
    return {**found, "environment": environment, "next_step": step, "alarms": alarms}


def _found(
    home: Path, addresses: Addresses, status: dict[str, Any] | None = None
) -> tuple[dict[str, Any], str]:
    """The status with the addresses; and until when nothing can be sent, empty if Redis answers."""
    runfile = RunFile(home)
    published, until = _status(runfile, addresses.redis)
    status = status or published
    found = {
        "state": status["state"],
        "home": str(home),
        "redis_url": addresses.redis_url,
        "redis_urls": list(addresses.redis.urls),
        "postgres_url": addresses.postgres_url or None,
        "http_url": addresses.http_url or None,
        **status,
        "here": _here(runfile),
    }
    return found, until


def _here(runfile: RunFile) -> dict[str, Any] | None:
    """The daemon of this METERD_HOME, which may stand by while another one works; None if none."""
    pid = runfile.pid()
    if pid is None or runfile.is_stale():
        return None
    state, why = runfile.state()
    return {"pid": pid, "state": state or "starting", "why": why}


def _status(runfile: RunFile, servers: RedisServers) -> tuple[dict[str, Any], str]:
    where = ", ".join(map(mask_credentials, servers.urls))
    try:
        with RedisClients(servers, socket_timeout_s=2) as clients:
            found = read_whole_status(clients)
        return found or _local_status(runfile, f"no daemon answers on {where}"), ""
    except redis.RedisError as error:
        return _local_status(runfile, f"Redis does not answer at {where}: {error}"), _UNTIL_REDIS


def _local_status(runfile: RunFile, why: str) -> dict[str, Any]:
    """The state that a daemon on this machine has left; it runs, but commands wait."""
    if runfile.pid() is None or runfile.is_stale():
        return {**DOWN, "why": why}
    state, said = runfile.state()
    if state in ("", "ready"):
        return {"state": "degraded", "why": why}
    now_ms = int(time.time() * 1_000)
    times = {"now": now_ms, "state_since": runfile.state_since()}
    return {"state": state, "why": said or why, **times}
