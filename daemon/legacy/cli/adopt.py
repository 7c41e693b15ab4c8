"""``meterd legacy adopt``."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.console.common import (
    EXIT_FAILED,
    ConfigOption,
    JsonOption,
    err,
    fail,
    print_json,
    print_table,
    table,
)
from daemon.console.format import duration
from daemon.legacy.cli.common import accounts_or_exit
from meterd.rules.money import format_micro, parse_micro

if TYPE_CHECKING:
    from daemon.legacy.balances import Targets
    from daemon.legacy.store.balances import BalancePlan

_DONE = ("adopted", "ended_without_credits")
_AGAIN = "Some could not be taken over yet. Run this again: it sends the same commands"
_SETTLE = (
    "Some were refused. What their users' balances were lowered by is set aside: "
    "meterd legacy quarantine list; settle it with a top_up"
)
_CAME_OVER = (
    "Some came over as ended and run there again: meterd legacy migrate, then run this again. One "
    "that was refunded here stays ended: end it there, meterd legacy migrate, and settle the "
    "difference, which is set aside as changed_since_it_was_used"
)
_COLUMNS = (
    *("chat", "user", "carried", "of it since resumed"),
    *("cost", "of it not yet paid", "was", "outcome"),
)
_FORESEEN = (
    "Nothing was written or sent. First those that have run longest since they were resumed: "
    "end there what nobody is in any more"
)
_ASIDE = "meterd legacy quarantine list --running"


def adopt(
    at: Annotated[
        int | None,
        typer.Option(
            "--at",
            metavar="MS",
            min=0,
            help="The cut-over, in milliseconds since 1970; else now, or as at the first run.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what it would do; nothing is written or sent."),
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
    a chat could not be taken over.

    For example:

      meterd legacy adopt --dry-run

      meterd legacy adopt

      meterd legacy adopt --json | jq '.adopted[] | [.chat_id, .carried_ms]'
    """
    from daemon.console.progress import progress  # noqa: PLC0415 - as above
    from daemon.legacy import adopt as adopting  # noqa: PLC0415 - the help need not wait
    from daemon.legacy.errors import CutoverError  # noqa: PLC0415 - as above
    from meterd import Meter, MeterError  # noqa: PLC0415 - as above

    with (
        accounts_or_exit(config) as (targets, settings, addresses),
        progress(err, "adopt", "rows") as tell,
    ):
        rate = parse_micro(settings.legacy.rate or settings.tariff.rate)
        cut = adopting.CutoverOptions(settings.legacy.policy, at, rate)
        try:
            if dry_run:
                _print_foreseen(adopting.foresee(targets, cut), json)
                _print_aside(targets)
                return
            with Meter(addresses.redis_url) as meter:
                plans = adopting.adopt(targets, meter, cut, tell)
        except CutoverError as error:
            raise fail(str(error)) from None
        except MeterError as error:
            raise fail(f"{error}\nRun this again: it sends the same commands") from None
        _print("Adopted", plans, json)
        _print_aside(targets)
    _exit_if_left({plan.outcome for plan in plans} - {*_DONE})


def _exit_if_left(left: set[str]) -> None:
    from daemon.legacy.adopt import CAME_OVER, is_refusal  # noqa: PLC0415 - as above

    if CAME_OVER in left:
        err.print(_CAME_OVER, soft_wrap=True)
    if any(map(is_refusal, left)):
        err.print(_SETTLE, soft_wrap=True)
    elif left - {CAME_OVER}:
        err.print(_AGAIN, soft_wrap=True)
    if left:
        raise typer.Exit(EXIT_FAILED)


def _print_foreseen(plans: "list[BalancePlan]", json: bool) -> None:
    _print("Would be adopted", sorted(plans, key=_resumed_ms, reverse=True), json)
    err.print(_FORESEEN, soft_wrap=True)


def _print(title: str, plans: "list[BalancePlan]", json: bool) -> None:
    if json:
        print_json({"adopted": [_plain(plan) for plan in plans]})
        return
    rows = table(title, *_COLUMNS)
    for plan in plans:
        rows.add_row(*_cells(plan))
    print_table(rows)
    outcomes = Counter(plan.outcome for plan in plans)
    told = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()))
    unpaid = format_micro(sum(plan.adoption.unflushed_micro for plan in plans))
    typer.echo(f"{len(plans):,} chats ({told or 'none runs'}), {unpaid} credits not yet paid")


def _print_aside(targets: "Targets") -> None:
    """On the error output: it is no part of what programs read."""
    from daemon.legacy.store.quarantine import count_running  # noqa: PLC0415 - the help need not wait

    with targets.sides.own.connect() as own:
        count = count_running(own)
    if count:
        text = f"{count:,} records that say their chat runs are set aside: {_ASIDE}"
        err.print(text, soft_wrap=True)


def _resumed_ms(plan: "BalancePlan") -> int:
    return plan.adoption.carried_ms - plan.adoption.share_ms


def _cells(plan: "BalancePlan") -> list[str]:
    one = plan.adoption
    amounts = [format_micro(one.carried_micro), format_micro(one.unflushed_micro)]
    was = "paused" if one.was_paused else "running"
    times = [duration(one.carried_ms), duration(_resumed_ms(plan))]
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
        "carried_cost": format_micro(one.carried_micro),
        "unflushed_cost": format_micro(one.unflushed_micro),
        "rate": format_micro(one.rate_micro),
        "started_at": one.started_at,
        "was_paused": one.was_paused,
        "at": one.at_ms,
        "outcome": plan.outcome,
    }
