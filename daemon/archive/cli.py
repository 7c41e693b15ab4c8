"""``meterd archive``."""

import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from daemon.audit.cli import print_difference
from daemon.console.common import (
    EXIT_FAILED,
    EXIT_USAGE,
    ConfigOption,
    JsonOption,
    engine_or_exit,
    err,
    fail,
    postgres_url_or_exit,
    print_json,
    print_line,
    settings_or_exit,
)
from daemon.console.progress import progress

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from daemon.archive.files import Manifest
    from daemon.archive.plan import ArchivePlan
    from daemon.archive.run import ArchiveReport
    from daemon.audit.differences import Difference, Findings, Tell
    from daemon.settings.settings import Settings

DAY_MS: Final = 86_400_000

BeforeOption = Annotated[
    str,
    typer.Option(
        "--before",
        metavar="DATE",
        help="A day, such as 2026-10-01: whole months (UTC) before it are archived.",
    ),
]
ToOption = Annotated[
    Path | None,
    typer.Option("--to", metavar="FOLDER", help="Where to; else archives/ in METERD_HOME."),
]
VerifyOption = Annotated[
    Path | None,
    typer.Option("--verify", metavar="FOLDER", help="Fold an archive again; nothing is changed."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be archived.")]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who does this, for the record; else your login.")
]


def archive(
    before: BeforeOption = "",
    to: ToOption = None,
    verify: VerifyOption = None,
    dry_run: DryRunOption = False,
    by: ByOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Move the journal before a date into files, and check such files.

    Audits every account that has commands before the date, and writes the rows
    with what the accounts were before and after into a folder of zstd files:
    JSON lines, checksums, a manifest. They are read back and folded again before
    anything is dropped; then the journal begins where the archive ends. Records
    and ledger are copied and stay. Run it as the owner of the tables, while the
    daemon works or not. If it is cut short, run it again: it comes to the same.

    For example:

      meterd archive --before 2026-10-01 --to /srv/meterd-archives --dry-run

      meterd archive --before 2026-10-01 --to /srv/meterd-archives --by ann

      meterd archive --verify /srv/meterd-archives/begin_2026-10-01

      zstd -dc journal-*.jsonl.zst | jq -c 'select(.chat_id == "c1")'
    """
    if bool(before) == bool(verify):
        raise fail("Say either --before DATE or --verify FOLDER; see: meterd archive --help", 2)
    if verify is not None:
        _verify(verify, json)
        return
    settings = settings_or_exit(config)
    before_ms = _before_ms(before)
    with engine_or_exit(postgres_url_or_exit(settings)) as engine:
        _check_age(engine, settings, before, before_ms)
        _archive(engine, before_ms, to or settings.home / "archives", by, dry_run, json)


def _archive(
    engine: "Engine", before_ms: int, to: Path, by: str | None, dry_run: bool, json: bool
) -> None:
    from daemon.archive.run import Archiver  # noqa: PLC0415 - the help need not wait for it
    from daemon.errors import ArchiveError  # noqa: PLC0415 - as above

    with progress(err, "archive", "entries") as report:
        archiver = Archiver(engine, _show(json), _counted(report))
        try:
            plan = archiver.plan(before_ms)
            if plan is None or dry_run:
                _print_plan(plan, to, json)
                return
            done = archiver.run(plan, to, by or getpass.getuser())
        except ArchiveError as error:
            raise fail(str(error)) from None
        except OSError as error:
            raise fail(f"{error}\nThe journal is as it was. Run this again") from None
    _print_report(done, json)


def _verify(folder: Path, json: bool) -> None:
    from daemon.archive.files import read_manifest  # noqa: PLC0415 - as above
    from daemon.archive.verify import Verification  # noqa: PLC0415 - as above
    from daemon.audit.differences import Findings  # noqa: PLC0415 - as above
    from daemon.errors import ArchiveError  # noqa: PLC0415 - as above

    shown: list[Difference] = []
    findings = Findings(shown.append if json else print_difference)
    try:
        manifest, _ = read_manifest(folder)
    except ArchiveError as error:
        raise fail(str(error)) from None
    with progress(err, "archive", "entries") as report:
        Verification(folder, manifest, findings.report, _counted(report, manifest.entries)).run()
    if json:
        print_json(_document(manifest, findings, shown))
    else:
        _print_verified(manifest, findings)
    if findings.differences:
        raise typer.Exit(EXIT_FAILED)


def _counted(report: Any, total: int | None = None) -> Callable[[str], None]:
    done = {"": 0}

    def count(phase: str) -> None:
        done[phase] = done.get(phase, 0) + 1
        report(done[phase], total if phase == "fold" else None, phase)

    return count


def _show(json: bool) -> "Tell":
    return (lambda _difference: None) if json else print_difference


def _before_ms(before: str) -> int:
    try:
        day = datetime.strptime(before, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise fail(f"--before: {before!r} is no day; say 2026-10-01", EXIT_USAGE) from None
    return int(day.timestamp()) * 1_000


def _check_age(engine: "Engine", settings: "Settings", before: str, before_ms: int) -> None:
    """Nothing goes of which an id is still remembered: an audit could not compare its uses."""
    from sqlalchemy import text  # noqa: PLC0415 - as above

    kept_ms = max(settings.queue.id_ttl_ms, settings.queue.credit_id_ttl_ms) + DAY_MS
    days = -(-kept_ms // DAY_MS)
    with engine.connect() as connection:
        now_ms = int(
            connection.scalar(text("SELECT (extract(epoch FROM now()) * 1000)::bigint")) or 0
        )
    last_ms = now_ms - days * DAY_MS
    if before_ms > last_ms:
        last = f"{datetime.fromtimestamp(last_ms / 1_000, UTC):%Y-%m-%d}"
        raise fail(
            f"--before: {before} is less than {days} days ago, for which ids are remembered: an "
            f"audit needs the commands they stand for. The latest day is {last}",
            EXIT_USAGE,
        )


def _print_plan(plan: "ArchivePlan | None", to: Path, json: bool) -> None:
    if json:
        found = None if plan is None else {"name": plan.name, "partitions": plan.partitions}
        print_json({"archived": False, "plan": found})
    elif plan is None:
        print_line("nothing to be done: no month of the journal ends before that day")
    else:
        print_line(f"would archive into {to / plan.name}")
        print_line(f"and drop {', '.join(plan.partitions)}")


def _print_report(done: "ArchiveReport", json: bool) -> None:
    if json:
        print_json({"archived": True, **done._asdict()})
        return
    print_line(
        f"{done.folder}: {done.entries:,} entries of {done.users:,} users, {done.bytes:,} bytes"
    )
    print_line(f"dropped {', '.join(done.partitions)}; the journal begins at {done.before}")
    print_line("Now copy the folder to where backups are, and check the rest with: meterd audit")


def _print_verified(manifest: "Manifest", findings: "Findings") -> None:
    colour = typer.colors.RED if findings.differences else typer.colors.GREEN
    print_line(
        f"{manifest.name}: {manifest.users:,} users, {manifest.entries:,} entries, "
        f"{findings.differences:,} differences",
        colour,
    )


def _document(
    manifest: "Manifest", findings: "Findings", shown: "list[Difference]"
) -> dict[str, Any]:
    return {
        "ok": not findings.differences,
        "name": manifest.name,
        "users": manifest.users,
        "entries": manifest.entries,
        "count": findings.differences,
        "differences": [difference._asdict() for difference in shown],
        "truncated": findings.is_truncated,
    }
