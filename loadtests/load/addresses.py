"""Where the daemon's servers are, if nobody has said so."""

from pathlib import Path

import redis

from daemon.discovery.published import read_whole_status
from daemon.discovery.status import find_addresses
from daemon.errors import SettingsError
from daemon.logging.masking import mask_credentials
from daemon.settings.settings import load_settings
from loadtests.load.options import LoadOptions, without_ours
from meterd.redis_servers import RedisServers
from persistence.redis.client import RedisClients


class AddressesError(Exception):
    """No Redis is known; the message says how to name one."""


def with_addresses(options: LoadOptions) -> LoadOptions:
    """The options with the addresses of the daemon in METERD_HOME, unless it names a Redis."""
    if options.redis_url:
        return options
    try:
        found = find_addresses(load_settings(env=without_ours()))
    except SettingsError as error:
        raise AddressesError(str(error)) from None
    if found is None:
        raise AddressesError(
            f"No daemon runs in {Path('.meterd').absolute()} (METERD_HOME names another place).\n"
            "Start one with: meterd up · or name its Redis: --redis-url redis://… "
            "· or let one be started: python -m loadtests.load"
        )
    return options._replace(redis_url=found.redis_url, postgres_url=found.postgres_url)


def check(options: LoadOptions) -> None:
    """Raise AddressesError unless a daemon handles commands there."""
    shown = mask_credentials(options.redis_url)
    try:
        with RedisClients(RedisServers(options.redis_url)) as clients:
            status = read_whole_status(clients)
    except (redis.RedisError, ValueError) as error:
        raise AddressesError(f"Redis does not answer at {shown}: {error}") from None
    if status is None or status["state"] != "ready":
        state = "down" if status is None else status["state"]
        raise AddressesError(f"The daemon on {shown} is {state}; see why with: meterd status")
