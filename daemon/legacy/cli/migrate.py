"""``meterd legacy``: migrate what the system before meterd has counted."""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.console.common import (
    EXIT_FAILED,
    EXIT_USAGE,
    ConfigOption,
    JsonOption,
    err,
    fail,
    print_json,
    print_line,
    print_note,
    print_table,
    table,
)
from daemon.legacy.cli.adopt import adopt
from daemon.legacy.cli.balances import balances
from daemon.legacy.cli.common import legacy_or_exit, old_or_exit
from daemon.legacy.cli.quarantine import app as quarantine
from daemon.legacy.cli.runs import runs

if TYPE_CHECKING:
    from daemon.legacy.inspect import Inspection, Kind
    from daemon.legacy.store.runs import MigrationRun
    from daemon.legacy.verify import VerifyResult

app = typer.Typer(
    help="Migrate what the system before meterd has counted. The plan: docs/migration.md",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PolicyOption = Annotated[
    str | None,
    typer.Option("--policy", help="latest, proportional or chat_duration; else legacy.policy."),
]
_BATCH_PAIRS = 2_000
_POLICIES = ("latest", "proportional", "chat_duration")
_SHOWN = 20


@app.command()
def inspect(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Look through the old tables: what is there, what is odd, what would become of it.

    Nothing is written, neither there nor here; meterd need not run yet. Amounts
    are milliseconds and micro-credits: a million are a credit.

    For example:

      meterd legacy inspect

      meterd legacy inspect --json | jq .reasons
    """
    from daemon.console.progress import progress  # noqa: PLC0415 - as above
    from daemon.legacy.inspect import inspect as look  # noqa: PLC0415 - the help need not wait

    with old_or_exit(config) as (old, shape), progress(err, "inspect", "rows") as report:
        found = look(old, shape, report)
    if json:
        print_json(_inspection(found))
    else:
        _print_inspection(found)


@app.command()
def migrate(
    policy: PolicyOption = None,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=100_000, help="Users and advisors at once.")
    ] = _BATCH_PAIRS,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Migrate every chat that has ended, each with a record of its own.

    The old system may go on writing: run it again, and what has changed since is
    migrated too. Stopped or killed anywhere, the next run goes on where it
    was. What can't be decided is set aside: meterd legacy quarantine list.

    A run by another policy divides everything again: better name it in the
    settings, legacy.policy, which reads obey too.

    For example:

      meterd legacy migrate

      meterd legacy migrate --json | jq .counts
    """
    from daemon.console.progress import progress  # noqa: PLC0415 - as above
    from daemon.legacy.migrate import migrate as migrate_all  # noqa: PLC0415 - the help need not wait
    from daemon.legacy.store.runs import last_run  # noqa: PLC0415 - as above

    with legacy_or_exit(config) as (sides, usual), progress(err, "migrate", "rows") as report:
        chosen = _policy(policy or usual)
        with sides.own.connect() as own:
            before = last_run(own)
        if before is not None and not before.is_finished and before.policy == chosen:
            print_note(f"run {before.run_id} was stopped: it goes on")
        run = migrate_all(sides, chosen, lambda p: report(p.rows_done, p.rows_total), batch)
    if json:
        print_json({"run_id": run.run_id, "policy": run.policy, "counts": run.counts})
    else:
        _print_run(run)


@app.command()
def verify(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Compare both sides exactly: by pair, in total, and that every chat has its record.

    Milliseconds and credits of the old records = records here + what is set
    aside + what runs there still or was adopted + fractions of a millisecond and
    a micro-credit. Old balances = what accounts were opened with, by the ledger,
    + what paid for adopted time + what is set aside + fractions. Exits 1 if
    anything differs. Nothing is written. As long as the old system writes, some
    differences are what it has changed since the last run: they are counted
    apart, and another run migrates them.

    For example:

      meterd legacy verify

      meterd legacy verify --json | jq '.differences[]'
    """
    from daemon.console.progress import progress  # noqa: PLC0415 - the help need not wait
    from daemon.legacy.verify import verify as compare  # noqa: PLC0415 - as above

    with legacy_or_exit(config) as (sides, usual), progress(err, "verify", "rows") as report:
        result = compare(sides, usual, report)
    if json:
        print_json(_verdict(result))
    else:
        _print_verdict(result)
    if result.differ:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def rollback(
    run_id: Annotated[
        int, typer.Argument(metavar="RUN", help="Its number, by meterd legacy runs.")
    ],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Take out what a run imported, unless it has been used since.

    Says which records it kept, because something happened to them. What later
    runs wrote again is theirs: to take out everything, take out each of them. The
    next migrate brings it in again.

    For example:

      meterd legacy rollback 1
    """
    from daemon.console.progress import progress  # noqa: PLC0415 - as above
    from daemon.legacy.rollback import rollback as take_out  # noqa: PLC0415 - the help

    with legacy_or_exit(config) as (sides, _), progress(err, "rollback", "rows") as report:
        done = take_out(sides.own, run_id, report)
    if json:
        print_json(done._asdict())
        return
    print_line(f"run {run_id}: {done.removed:,} records taken out, {len(done.kept):,} kept")
    for chat_id in done.kept:
        print_line(f"kept, used since: {chat_id}")


app.add_typer(quarantine, name="quarantine")
app.command()(balances)
app.command()(adopt)
app.command()(runs)


def _policy(policy: str) -> str:
    if policy not in _POLICIES:
        raise fail(f"--policy: {policy!r} is none of {', '.join(_POLICIES)}", EXIT_USAGE)
    return policy


def _print_run(run: "MigrationRun") -> None:
    counts = run.counts
    print_line(f"run {run.run_id}, {run.policy}: {counts.get('pairs', 0):,} users and advisors")
    texts = {
        "written": "records written",
        "replaced": "records replaced, because the old rows or the policy have changed",
        "removed": "records removed: the chat runs, or is another's",
        "unchanged": "records already there",
        "kept": "records kept as they are, because they have been used",
        "gone": "records kept, because those in the old system are gone",
        "adopted": "chats that were adopted",
        "running": "chats that run in the old system: meterd legacy adopt, once, at the cut-over",
        "aside": "rows set aside: meterd legacy quarantine list",
    }
    for name, text in texts.items():
        if counts.get(name):
            print_line(f"{counts[name]:>14,}  {text}")


def _inspection(found: "Inspection") -> dict[str, Any]:
    return {
        "counts": found.counts,
        "reasons": {name: kind._asdict() for name, kind in found.reasons.items()},
        "odd": {name: kind._asdict() for name, kind in found.odd.items()},
        "policies": found.policies,
        "status_words": {word: about._asdict() for word, about in found.status_words.items()},
    }


def _print_inspection(found: "Inspection") -> None:
    there = table("In the old tables", "what", "how much")
    for name, count in found.counts.items():
        there.add_row(name, f"{count:,}")
    print_table(there)
    words = table("Status words, by legacy.status_words", "word", "means", "records")
    for word, about in found.status_words.items():
        words.add_row(ascii(word), about.means, f"{about.rows:,}")
    print_table(words)
    _print_kinds("Can't be decided, and would be set aside", found.reasons)
    _print_kinds("Odd, and decided all the same", found.odd)
    names = sorted({name for counts in found.policies.values() for name in counts})
    policies = table("What would become of it", "", *found.policies)
    for name in (name for name in names if "." not in name):
        policies.add_row(name, *(f"{counts.get(name, 0):,}" for counts in found.policies.values()))
    print_table(policies)


def _print_kinds(title: str, kinds: "dict[str, Kind]") -> None:
    rows = table(title, "what", "how many", "for example")
    for name, kind in kinds.items():
        rows.add_row(name, f"{kind.rows:,}", ", ".join(map(ascii, kind.examples)))
    print_table(rows)


def _verdict(result: "VerifyResult") -> dict[str, Any]:
    return {
        "ok": not result.differ,
        "counts": result.counts,
        "old": _plain(result.old._asdict()),
        "here": _plain(result.here._asdict()),
        "balances": result.balances and _plain(result.balances._asdict()),
        "count": result.differ,
        "differences": [one._asdict() for one in result.differences],
        "next": result.next,
        "stopped_run": result.stopped_run,
        "old_tables_unchanged": result.is_quiet,
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Amounts as strings: to the last digit."""
    return {k: f"{v:f}" if isinstance(v, Decimal) else v for k, v in values.items()}


def _print_verdict(result: "VerifyResult") -> None:
    for one in result.differences[:_SHOWN]:
        line = f"{one.kind:12} {one.pair!a} {one.key!a}"
        print_line(line, typer.colors.RED)
        print_line(f"    expected  {one.expected}")
        print_line(f"    found     {one.found}")
    for name, value in result.counts.items():
        print_line(f"{value:>18,}  {name}")
    print_line(f"old records   {result.old.ms} ms, {result.old.credits} credits")
    print_line(f"found again   {result.here.ms} ms, {result.here.credits} credits")
    if result.balances is None:
        print_line("old balances  not imported yet: meterd legacy balances")
    else:
        print_line(f"old balances  {result.balances.old:f} credits")
        print_line(f"found again   {result.balances.here:f} credits")
    _print_end(result)


def _print_end(result: "VerifyResult") -> None:
    """What it comes to, and what to do."""
    if result.stopped_run is not None:
        print_line(f"run {result.stopped_run} was stopped: meterd legacy migrate goes on with it")
    if not result.is_quiet:
        print_line("the old system has written meanwhile: run meterd legacy migrate again later")
    colour = typer.colors.RED if result.differ else typer.colors.GREEN
    print_line(f"{result.differ:,} differences", colour)
    for command, count in result.next.items():
        print_line(f"{count:>18,}  where something has changed since: {command}, then verify again")
    if left := result.differ - sum(result.next.values()):
        print_line(f"{left:>18,}  that no other run fixes: docs/migration.md, If verify differs")
