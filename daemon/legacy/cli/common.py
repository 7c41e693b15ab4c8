"""What the commands of ``meterd legacy`` share: both databases, and errors with the next step."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from daemon.console.common import (
    EXIT_STOPPED,
    addresses_or_exit,
    fail,
    postgres_or_exit,
    postgres_url_or_exit,
    redis_or_exit,
    settings_or_exit,
)
from daemon.logging.masking import mask_credentials

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from daemon.discovery.runfile import Addresses
    from daemon.legacy.balances import Targets
    from daemon.legacy.diff import Databases
    from daemon.legacy.store.shape import LegacyShape
    from daemon.settings.settings import Settings

_WORDS_OF_SQL: Final = ("user", "order", "group", "table")
_NO_RIGHTS: Final = "42501"
_STOPPED: Final = "Stopped. It may be run again at any time: it goes on where it was"


@contextmanager
def old_or_exit(config: Path | None) -> Iterator[tuple["Engine", "LegacyShape"]]:
    """The old database alone, and the shape of its tables; meterd's own need not be there."""
    settings = settings_or_exit(config)
    with _old_side(settings, settings.legacy.url or postgres_url_or_exit(settings)) as old:
        yield old, _shape(settings)


@contextmanager
def legacy_or_exit(config: Path | None) -> Iterator[tuple["Databases", str]]:
    """Both databases and the policy of the settings; what fails ends the command."""
    from daemon.legacy.diff import Databases  # noqa: PLC0415 - the help need not wait for it
    from persistence.errors import SchemaError  # noqa: PLC0415 - as above
    from persistence.postgres import migrate  # noqa: PLC0415 - as above
    from persistence.postgres.engine import make_engine  # noqa: PLC0415 - as above

    settings = settings_or_exit(config)
    own_url = postgres_url_or_exit(settings)
    with postgres_or_exit(own_url):
        try:
            migrate.check(own_url)
        except SchemaError as error:
            raise fail(str(error)) from None
        own = make_engine(own_url)
        try:
            with _old_side(settings, settings.legacy.url or own_url) as old:
                yield Databases(old, own, _shape(settings)), settings.legacy.policy
        finally:
            own.dispose()


@contextmanager
def _old_side(settings: "Settings", url: str) -> Iterator["Engine"]:
    from sqlalchemy import event  # noqa: PLC0415 - as above
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - as above

    from daemon.legacy.errors import LegacyError  # noqa: PLC0415 - as above
    from persistence.postgres.engine import make_engine  # noqa: PLC0415 - as above

    old = make_engine(url, pool_size=1, application_name="meterd legacy")
    faults: list[BaseException | None] = []
    event.listen(old, "handle_error", lambda context: faults.append(context.original_exception))
    try:
        _try_out(old, _shape(settings))
        yield old
    except LegacyError as error:
        raise fail(f"{error}{_next_step(str(error), settings)}") from None
    except DBAPIError as error:
        if error.orig not in faults:
            raise
        raise fail(_fault_there(url, settings, error.orig)) from None
    except KeyboardInterrupt:
        raise fail(_STOPPED, EXIT_STOPPED) from None
    finally:
        old.dispose()


def _try_out(old: "Engine", shape: "LegacyShape") -> None:
    """Read from every table: what can't be read later is told before anything is done."""
    from daemon.legacy.store.layout import layout_of  # noqa: PLC0415 - as above
    from daemon.legacy.store.names import TABLES  # noqa: PLC0415 - as above
    from daemon.legacy.store.reader import read_only  # noqa: PLC0415 - as above

    with read_only(old) as connection:
        layout = layout_of(connection, shape)
        for table in filter(layout.has, TABLES):
            connection.exec_driver_sql(f"SELECT 1 FROM {layout.sql(table)} LIMIT 0")  # noqa: S608


def _shape(settings: "Settings") -> "LegacyShape":
    from daemon.legacy.store.shape import LegacyShape  # noqa: PLC0415 - the help need not wait

    return LegacyShape.of(settings.legacy)


def _fault_there(url: str, settings: "Settings", cause: BaseException | None) -> str:
    from daemon.legacy.store.names import TABLES  # noqa: PLC0415 - the help need not wait

    told = mask_credentials(str(cause).strip())
    names = _shape(settings).names
    step = "legacy.url says where it is"
    if not settings.legacy.url:
        step = "legacy.url is not set, so it is meterd's own: see meterd status"
    if getattr(cause, "pgcode", None) == _NO_RIGHTS:
        tables = ", ".join(_typed(getattr(names, one)) for one in TABLES if names.has(one))
        step = f"Let the role of legacy.url read: GRANT SELECT ON {tables} TO …"
    return f"The old system's database fails at {mask_credentials(url)}: {told}\n{step}"


def _typed(table: str) -> str:
    """A table as one types it: in quotation marks where it needs them."""
    from daemon.legacy.store.names import quoted  # noqa: PLC0415 - the help need not wait

    plain = table.replace(".", "").replace("_", "")
    return table if plain.islower() and table not in _WORDS_OF_SQL else quoted(table)


def _next_step(message: str, settings: "Settings") -> str:
    if not message.startswith("legacy."):
        return ""
    where = "" if settings.legacy.url else " · legacy.url is not set: that is meterd's own database"
    return f"\nThe settings are described in config.yaml, legacy:{where}"


@contextmanager
def accounts_or_exit(config: Path | None) -> Iterator[tuple["Targets", "Settings", "Addresses"]]:
    """Both databases and the accounts in Redis; what fails ends the command."""
    import redis  # noqa: PLC0415 - as above

    from daemon.legacy.balances import Targets  # noqa: PLC0415 - as above
    from daemon.legacy.errors import FlushTimeoutError  # noqa: PLC0415 - as above
    from persistence.errors import UnverifiedStateError  # noqa: PLC0415 - as above

    settings = settings_or_exit(config)
    addresses = addresses_or_exit(settings)
    with legacy_or_exit(config) as (sides, _), redis_or_exit(addresses.redis) as clients:
        try:
            yield Targets.of(sides, clients.of), settings, addresses
        except UnverifiedStateError:
            raise fail(
                "No daemon works on this Redis, so nobody knows whether it has all accounts.\n"
                "Start one with: meterd up · and see: meterd status"
            ) from None
        except FlushTimeoutError as error:
            raise fail(str(error)) from None
        except redis.RedisError as error:
            raise fail(f"Redis fails: {error}\nRun this again; it goes on where it was") from None
