"""``meterd legacy adopt``."""

import sys
from collections import Counter
from functools import partial
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
from daemon.console.units import duration
from daemon.legacy.cli.common import accounts_or_exit
from daemon.legacy.rules.rows import DURATION_MS_MAX
from meterd.rules.money import format_micro, parse_micro

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.console.progress import Report
    from daemon.legacy.adopt import CutoverOptions, CutoverResult
    from daemon.legacy.rules.adoption import OldTariff
    from daemon.legacy.store.balances import BalancePlan
    from daemon.settings.settings import Settings

_TARIFF = ("free_ms", "free_scope", "increment_ms", "increment_due", "abandon_ms")
_DONE = ("adopted", "ended_without_credits")
_AGAIN = "Some could not be taken over yet. Run this again: it sends the same commands"
_SETTLE = (
    "Some were refused. What their users' balances were lowered by is set aside: "
    "meterd legacy quarantine list; settle it with a top_up"
)
_CAME_OVER = (
    "Some were imported as ended and run there again: meterd legacy migrate, then run this again. "
    "One that was refunded here stays ended: end it there, meterd legacy migrate, and settle the "
    "difference, which is set aside as changed_since_it_was_used"
)
_LEFT = (
    "Correct them there, or name the word in legacy.status_words, or decide about them: "
    "meterd legacy quarantine list; then meterd legacy migrate, and run this again"
)
_COLUMNS = (
    *("chat", "user", "carried", "of it since resumed", "of it free"),
    *("cost", "of it not yet paid", "was", "outcome"),
)
_FORESEEN = (
    "Nothing was written or sent. First those that have run longest since they were resumed: "
    "end there what nobody is in any more"
)
_SHOWN = 20


def adopt(
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="MOMENT",
            help="The cut-over: milliseconds since 1970, or a time with its zone, such as"
            " 2026-11-20T10:45:00Z; else now, or as at the first run.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what it would do; nothing is written or sent."),
    ] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Adopt chats too that carry more than legacy.adopt_ms_max."),
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """At the cut-over, go on with the chats that run in the old system.

    The old system must have stopped writing. Each chat carries its time and cost
    up to the cut-over; what is not yet paid of it is taken from the opening
    balance, as far as that goes. A chat that its user can't pay for any more is
    ended, with its record. Everything is written down before it is sent, so it
    may be stopped anywhere and run again: it sends the same commands. Exits 1 if
    a chat that runs there, or may run, could not be taken over, and names it.

    For example:

      meterd legacy adopt --dry-run

      meterd legacy adopt --at 2026-11-20T10:45:00Z

      meterd legacy adopt --json | jq '.adopted[] | [.chat_id, .carried_ms]'
    """
    from daemon.legacy import adopt as adopting  # noqa: PLC0415 - the help need not wait
    from daemon.legacy.errors import CutoverError  # noqa: PLC0415 - as above
    from meterd import Meter, MeterError  # noqa: PLC0415 - as above

    at_ms = _moment_or_exit(at)
    with accounts_or_exit(config) as (targets, settings, addresses):
        cut = adopting.CutoverOptions(
            policy=settings.legacy.policy,
            at_ms=at_ms,
            tariff=_tariff(settings),
            carried_ms_max=DURATION_MS_MAX if yes else settings.legacy.adopt_ms_max,
        )
        try:
            if dry_run:
                result = adopting.foresee(targets, cut)
            else:
                with Meter(addresses.redis.urls) as meter:
                    result = _adopt(partial(adopting.adopt, targets, meter), cut, json)
        except CutoverError as error:
            raise fail(str(error)) from None
        except MeterError as error:
            raise fail(f"{error}\nRun this again: it sends the same commands") from None
    if dry_run:
        _print_foreseen(result, json)
    else:
        _print("Adopted", result, json)
    _print_left(result)
    undone = set() if dry_run else {plan.outcome for plan in result.plans} - {*_DONE}
    _exit_if_left(undone, is_any_left=bool(result.left))


def _moment_or_exit(at: str | None) -> int | None:
    from daemon.legacy.moment import parse_moment  # noqa: PLC0415 - the help need not wait

    try:
        return None if at is None else parse_moment(at)
    except ValueError as error:
        raise fail(f"--at: {error}", EXIT_USAGE) from None


def _tariff(settings: "Settings") -> "OldTariff":
    """What chats cost in the old system; what no setting says is as configured."""
    from daemon.legacy.rules.adoption import OldTariff  # noqa: PLC0415 - the help need not wait

    legacy = settings.legacy
    fields = {name: getattr(legacy, name) for name in _TARIFF}
    return OldTariff(
        parse_micro(legacy.rate or settings.tariff.rate),
        {name: value for name, value in fields.items() if value is not None},
    )


def _adopt(
    adopt_by: "Callable[[CutoverOptions, Report], CutoverResult]",
    cut: "CutoverOptions",
    json: bool,
) -> "CutoverResult":
    """Adopt; at a terminal, ask about chats that would carry very much."""
    from daemon.console.progress import progress  # noqa: PLC0415 - the help need not wait
    from daemon.legacy.errors import CarriesTooMuchError  # noqa: PLC0415 - as above

    try:
        with progress(err, "adopt", "chats") as report:
            return adopt_by(cut, report)
    except CarriesTooMuchError as error:
        if json or not sys.stdin.isatty():
            raise
        print_note(str(error))
        if not typer.confirm("Adopt them all the same?", err=True):
            raise typer.Exit(EXIT_FAILED) from None
    with progress(err, "adopt", "chats") as report:
        return adopt_by(cut._replace(carried_ms_max=DURATION_MS_MAX), report)


def _exit_if_left(undone: set[str], *, is_any_left: bool) -> None:
    from daemon.legacy.adopt import CAME_OVER, is_refusal  # noqa: PLC0415 - as above

    if CAME_OVER in undone:
        print_note(_CAME_OVER)
    if any(map(is_refusal, undone)):
        print_note(_SETTLE)
    elif undone - {CAME_OVER}:
        print_note(_AGAIN)
    if undone or is_any_left:
        raise typer.Exit(EXIT_FAILED)


def _print_foreseen(result: "CutoverResult", json: bool) -> None:
    plans = sorted(result.plans, key=_resumed_ms, reverse=True)
    _print("Would be adopted", result._replace(plans=plans), json)
    print_note(_FORESEEN)


def _print(title: str, result: "CutoverResult", json: bool) -> None:
    plans = result.plans
    if json:
        left = [one._asdict() for one in result.left]
        print_json({"adopted": [_plain(plan) for plan in plans], "left": left})
        return
    rows = table(title, *_COLUMNS)
    for plan in plans:
        rows.add_row(*_cells(plan))
    print_table(rows)
    outcomes = Counter(plan.outcome for plan in plans)
    counted = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()))
    unpaid = format_micro(sum(plan.adoption.unflushed_micro for plan in plans))
    print_line(f"{len(plans):,} chats ({counted or 'none runs'}), {unpaid} credits not yet paid")


def _print_left(result: "CutoverResult") -> None:
    """On the error output: it is there with --json too."""
    for one in result.left[:_SHOWN]:
        what = f"chat {one.chat_id}" if one.chat_id else f"{one.kind} {one.key}"
        text = f"not adopted: {what} of {one.user_id} with {one.advisor_id}: {one.reason}"
        print_note(text)
    if len(result.left) > _SHOWN:
        print_note(f"not adopted: {len(result.left) - _SHOWN:,} more")
    if result.left:
        print_note(_LEFT)


def _resumed_ms(plan: "BalancePlan") -> int:
    return plan.adoption.carried_ms - plan.adoption.share_ms


def _cells(plan: "BalancePlan") -> list[str]:
    one = plan.adoption
    amounts = [format_micro(one.carried_micro), format_micro(one.unflushed_micro)]
    was = "paused" if one.was_paused else "running"
    free_ms = one.carried_free_ms
    free = "" if free_ms is None else duration(free_ms)
    times = [duration(one.carried_ms), duration(_resumed_ms(plan)), free]
    return [one.chat_id, one.user_id, *times, *amounts, was, plan.outcome]


def _plain(plan: "BalancePlan") -> dict[str, Any]:
    one = plan.adoption
    return {
        "chat_id": one.chat_id,
        "user_id": one.user_id,
        "advisor_id": one.advisor_id,
        "share_ms": one.share_ms,
        "share_cost": format_micro(one.share_micro),
        "carried_ms": one.carried_ms,
        "carried_free_ms": one.carried_free_ms,
        "carried_cost": format_micro(one.carried_micro),
        "unflushed_cost": format_micro(one.unflushed_micro),
        "rate": format_micro(one.rate_micro),
        "tariff": one.tariff,
        "started_at": one.started_at,
        "was_paused": one.was_paused,
        "at": one.at_ms,
        "outcome": plan.outcome,
    }
