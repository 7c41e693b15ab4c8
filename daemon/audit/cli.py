"""``meterd audit``."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from daemon.console.common import (
    EXIT_FAILED,
    EXIT_USAGE,
    ConfigOption,
    JsonOption,
    engine_or_exit,
    err,
    fail,
    print_json,
    print_line,
    redis_or_exit,
    settings_or_exit,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from daemon.audit.differences import Difference, Findings
    from daemon.audit.run import Scope
    from daemon.discovery.runfile import Addresses
    from daemon.settings.settings import Settings
    from persistence.redis.client import RedisClients

_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")

SinceOption = Annotated[
    str,
    typer.Option(
        "--since",
        help="Only users with commands since then: 30m, 2h, 7d, or 2026-01-31T09:00 (local time).",
    ),
]
UserOption = Annotated[str, typer.Option("--user", help="Only this user.")]
NoRedisOption = Annotated[
    bool, typer.Option("--no-redis", help="Compare what is in Postgres only; Redis may be away.")
]


def audit(
    since: SinceOption = "",
    user: UserOption = "",
    json: JsonOption = False,
    no_redis: NoRedisOption = False,
    config: ConfigOption = None,
) -> None:
    """Fold the journal again and compare everything with it.

    Outcomes, records, ledger and balances in Postgres; accounts, wallets and
    chats in Redis; one effect for each id. Each difference is printed with what
    was expected and what was found. Exits 1 if there is any, 0 if there is
    none. Nothing is changed. It may run while the daemon works, and while it
    does not, as long as both servers answer.

    For example:

      meterd audit

      meterd audit --since 24h

      meterd audit --user u1 --json | jq -r '.differences[] | .kind'
    """
    scope = _scope(since, user)
    addresses = _addresses_or_exit(settings_or_exit(config), no_redis)
    shown: list[Difference] = []
    with _servers(addresses, no_redis) as (engine, clients):
        findings = _run(engine, clients, scope, shown.append if json else print_difference)
    if json:
        print_json(_document(findings, shown))
    else:
        _print_end(findings)
    if findings.differences:
        raise typer.Exit(EXIT_FAILED)


def _run(
    engine: "Engine",
    clients: "RedisClients | None",
    scope: "Scope",
    show: "Callable[[Difference], None]",
) -> "Findings":
    from daemon.audit.differences import Findings  # noqa: PLC0415 - the help need not wait for it

    findings = Findings(show)
    if show is not print_difference:
        _run_each(engine, clients, scope, findings, lambda _phase: None)
        return findings
    with _progress(engine, findings, scope) as progress:
        _run_each(engine, clients, scope, findings, progress)
    return findings


def _run_each(
    engine: "Engine",
    clients: "RedisClients | None",
    scope: "Scope",
    findings: "Findings",
    progress: "Callable[[str], None]",
) -> None:
    """Each partition; of one user, the user's."""
    from daemon.audit.run import Audit  # noqa: PLC0415 - as above
    from meterd.rules.partitions import Partition  # noqa: PLC0415
    from meterd.rules.redis_keys import Keys  # noqa: PLC0415
    from persistence.postgres.layout import fetch_partitions  # noqa: PLC0415
    from persistence.redis.snapshot_scan import SnapshotScan  # noqa: PLC0415

    with engine.connect() as connection:
        partitions = fetch_partitions(connection) or 1
    for number in range(partitions):
        one = Partition(number, partitions)
        if scope.user is None or one.has(scope.user):
            scan = SnapshotScan(clients.of(number), Keys(number)) if clients else None
            Audit(engine, scan, findings, progress, partition=one).run(scope)


@contextlib.contextmanager
def _progress(
    engine: "Engine", findings: "Findings", scope: "Scope"
) -> "Iterator[Callable[[str], None]]":
    from daemon.console.progress import progress  # noqa: PLC0415 - as above
    from persistence.postgres.reader import journal_size  # noqa: PLC0415

    with engine.connect() as connection:
        entries = None if scope.user or scope.since_ms else journal_size(connection)
    with progress(err, "audit", "entries", lambda: _counts(findings)) as report:
        yield lambda phase: report(findings.entries, entries, phase)


@contextlib.contextmanager
def _servers(
    addresses: "Addresses", no_redis: bool
) -> "Iterator[tuple[Engine, RedisClients | None]]":
    import redis  # noqa: PLC0415 - as above

    opened = contextlib.nullcontext(None) if no_redis else redis_or_exit(addresses.redis)
    with opened as clients, engine_or_exit(addresses.postgres_url) as engine:
        try:
            yield engine, clients
        except redis.RedisError as error:
            raise fail(
                f"Redis has stopped answering: {error}\n"
                "Compare what is in Postgres only with: meterd audit --no-redis"
            ) from None


def _addresses_or_exit(settings: "Settings", no_redis: bool) -> "Addresses":
    from daemon.discovery.runfile import Addresses, RunFile  # noqa: PLC0415 - as above
    from daemon.settings.home import elsewhere_hint  # noqa: PLC0415 - as above

    found = RunFile(settings.home).read()
    redis_urls = settings.redis.all_urls or (found.redis.urls if found else ())
    postgres_url = settings.postgres.url or (found.postgres_url if found else "")
    if not postgres_url or not (redis_urls or no_redis):
        missing = "redis.url" if postgres_url else "postgres.url"
        raise fail(
            f"No daemon runs in {settings.home} and {missing} is not configured.\n"
            f"Start one with: meterd up{elsewhere_hint(os.environ)}"
        )
    return Addresses.of(redis_urls or ("",), postgres_url)


def _scope(since: str, user: str) -> "Scope":
    from daemon.audit.run import Scope  # noqa: PLC0415 - as above

    return Scope(user or None, _since_ms(since) if since else 0)


def _since_ms(since: str) -> int:
    duration = _DURATION.fullmatch(since)
    if duration is not None:
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        return max(1, now_ms - int(duration[1]) * _UNITS_MS[duration[2]])
    try:
        return max(1, int(datetime.fromisoformat(since).timestamp() * 1000))
    except (ValueError, OverflowError):
        raise fail(
            f"--since: {since!r} is neither a duration (30m, 2h, 7d) "
            "nor a date or time (2026-01-31, 2026-01-31T09:00)",
            EXIT_USAGE,
        ) from None


def print_difference(difference: "Difference") -> None:
    """One difference, with what was expected and what was found."""
    about = (("user", difference.user), ("chat", difference.chat), ("entry", difference.entry))
    named = "  ".join(f"{name} {value}" for name, value in about if value)
    print_line(f"{difference.kind:20}  {named}", typer.colors.RED)
    print_line(f"    expected  {difference.expected}")
    print_line(f"    found     {difference.found}")


def _print_end(findings: "Findings") -> None:
    if findings.is_truncated:
        print_line("further differences were only counted")
    colour = typer.colors.RED if findings.differences else typer.colors.GREEN
    users, entries = f"{findings.users:,} users", f"{findings.entries:,} entries"
    print_line(f"{users}, {findings.chats:,} chats, {entries}, {_differences(findings)}", colour)


def _counts(findings: "Findings") -> str:
    """What was compared so far, beside the entries."""
    return f"{findings.users:,} users, {findings.chats:,} chats, {_differences(findings)}"


def _differences(findings: "Findings") -> str:
    return f"{findings.differences:,} differences"


def _document(findings: "Findings", shown: "list[Difference]") -> dict[str, Any]:
    return {
        "ok": not findings.differences,
        "users": findings.users,
        "chats": findings.chats,
        "entries": findings.entries,
        "count": findings.differences,
        "differences": [difference._asdict() for difference in shown],
        "truncated": findings.is_truncated,
    }
