"""``meterd legacy quarantine``: what could not be decided, and deciding it."""

from typing import Annotated

import typer

from daemon.console.common import (
    EXIT_USAGE,
    ConfigOption,
    JsonOption,
    fail,
    print_json,
    print_line,
    print_table,
    table,
)
from daemon.legacy.cli.common import legacy_or_exit

app = typer.Typer(
    help="Look at what could not be decided, decide it, and try again.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_SHOWN = 100
_WHOM = ("chats", "records")


@app.command("list")
def list_rows(
    reason: Annotated[str | None, typer.Option("--reason", help="Only those of it.")] = None,
    running: Annotated[
        bool,
        typer.Option("--running", help="Only what says that its chat runs or is paused."),
    ] = False,
    most: Annotated[int, typer.Option("--most", min=1, max=1_000_000, help="How many.")] = _SHOWN,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List what was set aside, by reason; docs/migration.md says what each means.

    A chat whose record is set aside can't be adopted at the cut-over: look at
    those that run before.

    For example:

      meterd legacy quarantine list --running

      meterd legacy quarantine list --reason negative_total --json
    """
    from daemon.legacy.store.quarantine import (  # noqa: PLC0415 - the help need not wait for it
        count_reasons,
        fetch_quarantined,
    )

    if reason is not None and reason not in _reasons():
        raise fail(f"--reason: {reason!r} is none of {', '.join(_reasons())}", EXIT_USAGE)
    with legacy_or_exit(config) as (sides, _), sides.own.connect() as own:
        counts, found = (
            count_reasons(own),
            list(fetch_quarantined(own, reason, most, running=running)),
        )
    if json:
        print_json([{**aside._asdict(), "run_id": run_id} for aside, run_id in found])
        return
    reasons = table("Set aside", "reason", "rows", "ms", "micro-credits")
    for one in counts:
        reasons.add_row(one.reason, f"{one.rows:,}", f"{one.total_ms:,}", f"{one.cost_micro:,}")
    print_table(reasons)
    rows = table("Rows", "kind", "key", "reason", "user", "advisor", "ms", "micro-credits", "run")
    for aside, run_id in found:
        whose = (aside.kind, aside.key, aside.reason, aside.user_id, aside.advisor_id)
        amounts = (str(aside.total_ms), str(aside.cost_micro), str(run_id))
        rows.add_row(*(ascii(text)[1:-1] for text in whose), *amounts)
    print_table(rows)


@app.command()
def retry(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Look again at every pair of which something is set aside.

    After the old rows were corrected there, or something was assigned here. It
    counts as a run of its own.

    For example:

      meterd legacy quarantine retry
    """
    from daemon.legacy.resolve import retry_aside  # noqa: PLC0415 - the help need not wait for it

    with legacy_or_exit(config) as (sides, policy):
        run, before, after = retry_aside(sides, policy)
    if json:
        print_json({"run_id": run.run_id, "before": before, "after": after})
        return
    print_line(f"run {run.run_id}: {before:,} rows were set aside, {after:,} are now")


@app.command()
def assign(
    key: Annotated[str, typer.Argument(metavar="RECORD", help="Its id in the old records.")],
    chat_id: Annotated[str, typer.Argument(metavar="CHAT", help="The chat it belongs to.")],
    config: ConfigOption = None,
) -> None:
    """Say to which chat a record that is set aside belongs.

    Obeyed by all later runs; takes effect with: meterd legacy quarantine retry.
    Assigned again, it belongs to the other chat from then on.

    For example:

      meterd legacy quarantine assign 4711 chat-1
    """
    from daemon.legacy.errors import CannotResolveError  # noqa: PLC0415 - as above
    from daemon.legacy.resolve import assign_record  # noqa: PLC0415 - as above

    with legacy_or_exit(config) as (sides, _):
        try:
            is_known = assign_record(sides, key, chat_id)
        except CannotResolveError as error:
            raise fail(str(error)) from None
    if not is_known:
        print_line(f"there is no chat {chat_id} in the old tables: it will be made of the record")
    print_line(f"record {key} belongs to {chat_id}; next: meterd legacy quarantine retry")


@app.command()
def trust(
    chat_id: Annotated[
        str, typer.Argument(metavar="CHAT", help="Set aside as chats_exceed_records.")
    ],
    whom: Annotated[str, typer.Argument(metavar="WHOM", help="chats or records.")],
    config: ConfigOption = None,
) -> None:
    """Say whom to believe about a pair whose chats say more time than its records.

    chats: each chat has its own duration. records: what the records have counted
    is divided by the chats' durations. It goes for all chats of that user and
    advisor, is obeyed by all later runs, and takes effect with: meterd legacy
    quarantine retry.

    For example:

      meterd legacy quarantine trust c8 records
    """
    from daemon.legacy.errors import CannotResolveError  # noqa: PLC0415 - as above
    from daemon.legacy.resolve import trust as decide  # noqa: PLC0415 - as above

    if whom not in _WHOM:
        raise fail(f"{whom!r} is none of {', '.join(_WHOM)}", EXIT_USAGE)
    with legacy_or_exit(config) as (sides, _):
        try:
            user_id, advisor_id = decide(sides, chat_id, whom)
        except CannotResolveError as error:
            raise fail(str(error)) from None
    print_line(
        f"of {user_id} with {advisor_id} the {whom} are believed;"
        " next: meterd legacy quarantine retry"
    )


def _reasons() -> tuple[str, ...]:
    from daemon.legacy.rules.rows import REASONS  # noqa: PLC0415 - the help need not wait for it
    from daemon.legacy.target_balance import REASONS as OF_BALANCES  # noqa: PLC0415 - as above

    return tuple(dict.fromkeys((*REASONS, *OF_BALANCES)))
