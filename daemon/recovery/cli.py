"""``meterd recover``."""

import contextlib
import getpass
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.console.common import (
    EXIT_FAILED,
    ConfigOption,
    JsonOption,
    addresses_or_exit,
    err,
    fail,
    out,
    postgres_or_exit,
    print_json,
    print_line,
    redis_or_exit,
    settings_or_exit,
)
from daemon.console.format import moment
from daemon.console.progress import progress

if TYPE_CHECKING:
    from pathlib import Path

    from daemon.recovery.rebuild import Recovery, RecoveryPlan, RecoveryReport


def recover(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what is missing; touch nothing.")
    ] = False,
    by: Annotated[
        str | None, typer.Option("--by", help="Who does this, for the record; else your login.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Rebuild what Redis or Postgres has lost.

    When Redis was restarted empty or from an older copy, or Postgres failed over
    to a standby without the last rows, the daemon notices, says so in `meterd
    status` (state lost), and bills nothing. This folds the journal again and puts
    accounts, open chats and ids where they were after its last entry; commands
    that are still in the stream are handled afterwards, and write their rows. It
    says what is missing. The daemon may run meanwhile: it goes on by itself.

    It touches nothing if neither has lost anything, and may be repeated after it
    was cut short. Audit the result with: meterd audit

    For example:

      meterd recover --dry-run

      meterd recover --by ann
    """
    is_whole = True
    with _recoveries(config) as recoveries:
        from daemon.errors import RecoverError  # noqa: PLC0415 - the help need not wait

        try:
            for number, recovery in enumerate(recoveries):
                if len(recoveries) > 1 and not json:
                    print_line(f"partition       {number}")
                is_whole &= _recover(recovery, dry_run, by or getpass.getuser(), json)
        except RecoverError as error:
            raise fail(str(error)) from None
    if not is_whole:
        raise typer.Exit(EXIT_FAILED)


def _recover(recovery: "Recovery", dry_run: bool, by: str, json: bool) -> bool:
    """Rebuild a partition if it has lost something; whether all of its accounts could be folded."""
    plan = recovery.plan()
    if dry_run or not plan.missing:
        _print_plan(plan, json)
        return True
    with progress(err, "recover", "accounts") as done:
        report = recovery.run(by, done)
    _print_report(report, json)
    return not report.unfolded


@contextlib.contextmanager
def _recoveries(config: "Path | None") -> "Iterator[list[Recovery]]":
    """One for each partition."""
    from daemon.recovery.rebuild import Recovery  # noqa: PLC0415 - as above
    from daemon.settings.derived import limits_of  # noqa: PLC0415 - as above
    from meterd.rules.redis_keys import Keys  # noqa: PLC0415 - as above
    from persistence.postgres.engine import make_engine  # noqa: PLC0415 - as above
    from persistence.postgres.layout import fetch_partitions  # noqa: PLC0415 - as above
    from persistence.redis.functions import load_functions  # noqa: PLC0415 - as above

    settings = settings_or_exit(config)
    addresses = addresses_or_exit(settings)
    with postgres_or_exit(addresses.postgres_url), redis_or_exit(addresses.redis) as clients:
        engine = make_engine(addresses.postgres_url)
        with engine.connect() as connection:
            partitions = fetch_partitions(connection) or 1
        for client, _ in clients.groups(partitions):
            load_functions(client)
        ended_ttl_ms, limits = settings.queue.ended_ttl_ms, limits_of(settings)
        yield [
            Recovery(
                engine,
                clients.of(number),
                Keys(number),
                ended_ttl_ms,
                limits,
                partitions=partitions,
            )
            for number in range(partitions)
        ]


def _print_plan(plan: "RecoveryPlan", json: bool) -> None:
    if json:
        print_json({**plan.postgres._asdict(), "missing": plan.missing})
        return
    print_line(f"missing         {plan.missing or 'nothing'}")
    out.print(f"journal ends    {_when(plan.postgres.journal)}", markup=False)


def _print_report(report: "RecoveryReport", json: bool) -> None:
    if json:
        print_json(report._asdict())
        return
    rebuilt = f"{report.accounts} accounts, {report.open_chats} open chats, {report.ids} ids"
    lines = [
        f"What was found: {report.missing}.",
        f"Rebuilt from the journal up to {_when(report.journal)}:",
        f"  {rebuilt}; {report.keys_removed} older keys removed",
        f"  {report.commands_left} commands are in the stream and will be handled now",
        "What is missing:",
        f"  commands accepted after {_when(report.journal)} that are not in the stream any more,",
        "  with what they did; whoever sent them may send them again with the same ids",
        "  replies and events that were in Redis only",
        *(f"  the account of {user}: its journal can't be folded" for user in report.unfolded),
        "Now check it with: meterd audit",
    ]
    for line in lines:
        print_line(line)


def _when(entry: str) -> str:
    return f"{entry} ({moment(int(entry.partition('-')[0]))})"
