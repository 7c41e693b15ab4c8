"""What the commands of ``meterd legacy`` share: both databases, and errors with the next step."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.commands.common import (
    addresses_or_exit,
    fail,
    postgres_or_exit,
    redis_or_exit,
    settings_or_exit,
)

if TYPE_CHECKING:
    from daemon.legacy.balances import Targets
    from daemon.legacy.look import Sides
    from daemon.runfile import Addresses
    from daemon.settings import Settings


@contextmanager
def legacy_or_exit(config: Path | None) -> Iterator[tuple["Sides", str]]:
    """Both databases and the policy of the settings; what fails ends the command."""
    from daemon.legacy.look import Sides  # noqa: PLC0415 - the help need not wait for it
    from persistence.legacy.layout import LegacyError  # noqa: PLC0415 - as above
    from persistence.postgres import migrate  # noqa: PLC0415 - as above
    from persistence.postgres.engine import make_engine  # noqa: PLC0415 - as above

    settings = settings_or_exit(config)
    own_url = _own_url_or_exit(settings)
    old_url = settings.legacy.url or own_url
    with postgres_or_exit(own_url):
        try:
            migrate.check(own_url)
        except migrate.SchemaError as error:
            raise fail(str(error)) from None
    with postgres_or_exit(old_url):
        own = make_engine(own_url)
        old = make_engine(old_url, pool_size=1, application_name="meterd legacy")
        try:
            yield Sides(old, own, settings.legacy.names), settings.legacy.policy
        except LegacyError as error:
            raise fail(f"{error}{_next_step(str(error))}") from None
        finally:
            old.dispose()
            own.dispose()


def _next_step(message: str) -> str:
    is_setting = message.startswith("legacy.")
    return "\nThe settings are described in config.yaml, legacy:" if is_setting else ""


def _own_url_or_exit(settings: "Settings") -> str:
    from daemon.runfile import RunFile  # noqa: PLC0415 - as above

    running = RunFile(settings.home).read()
    url = settings.postgres.url or (running.postgres_url if running else None)
    if not url:
        raise fail(
            f"postgres.url is not configured and no daemon runs in {settings.home}.\n"
            "Set METERD_POSTGRES__URL=postgresql://user:password@host/name, "
            "or start a daemon with: meterd up"
        )
    return url


@contextmanager
def accounts_or_exit(config: Path | None) -> Iterator[tuple["Targets", "Settings", "Addresses"]]:
    """Both databases and the accounts in Redis; what fails ends the command."""
    import redis  # noqa: PLC0415 - as above

    from daemon.legacy.balances import Targets  # noqa: PLC0415 - as above
    from daemon.legacy.waiting import StuckError  # noqa: PLC0415 - as above
    from persistence.openings import UnswornError  # noqa: PLC0415 - as above

    settings = settings_or_exit(config)
    addresses = addresses_or_exit(settings)
    with legacy_or_exit(config) as (sides, _), redis_or_exit(addresses.redis_url) as client:
        try:
            yield Targets.of(sides, client), settings, addresses
        except UnswornError:
            raise fail(
                "No daemon works on this Redis, so nobody knows whether it has all accounts.\n"
                "Start one with: meterd up · and see: meterd status"
            ) from None
        except StuckError as error:
            raise fail(str(error)) from None
        except redis.RedisError as error:
            raise fail(f"Redis fails: {error}\nRun this again; it goes on where it was") from None
