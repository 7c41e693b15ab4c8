"""``meterd legacy adopt``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from actors.rules.money import format_micro, parse_micro
from daemon.commands.common import (
    EXIT_FAILED,
    ConfigOption,
    JsonOption,
    err,
    fail,
    print_json,
    print_table,
    table,
)
from daemon.commands.legacy_parts import accounts_or_exit
from daemon.commands.show import duration

if TYPE_CHECKING:
    from persistence.legacy.balances import Plan

_DONE = ("adopted", "ended_without_credits")
_AGAIN = "Some could not be taken over yet. Run this again: it sends the same commands"
_SETTLE = (
    "Some were refused. What their users' balances were lowered by is set aside: "
    "meterd legacy quarantine list; settle it with a top_up"
)
_COLUMNS = ("chat", "user", "carried", "cost", "of it not yet paid", "was", "outcome")


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

      meterd legacy adopt

      meterd legacy adopt --json | jq '.adopted[] | [.chat_id, .carried_ms]'
    """
    from daemon.legacy import adopt as adopting  # noqa: PLC0415 - the help need not wait
    from daemon.legacy.screen import shown  # noqa: PLC0415 - as above
    from meterd import Meter, MeterError  # noqa: PLC0415 - as above

    with accounts_or_exit(config) as (targets, settings, addresses), shown(err, "adopt") as tell:
        rate = parse_micro(settings.legacy.rate or settings.tariff.rate)
        cut = adopting.CutOver(settings.legacy.policy, at, rate)
        try:
            with Meter(addresses.redis_url) as meter:
                plans = adopting.adopt(targets, meter, cut, tell)
        except adopting.CutOverError as error:
            raise fail(str(error)) from None
        except MeterError as error:
            raise fail(f"{error}\nRun this again: it sends the same commands") from None
    _print(plans, json)
    left = {plan.outcome for plan in plans} - {*_DONE}
    if left:
        err.print(_SETTLE if any(map(adopting.is_refusal, left)) else _AGAIN)
        raise typer.Exit(EXIT_FAILED)


def _print(plans: "list[Plan]", json: bool) -> None:
    if json:
        print_json({"adopted": [_plain(plan) for plan in plans]})
        return
    rows = table("Adopted", *_COLUMNS)
    for plan in plans:
        rows.add_row(*_cells(plan))
    print_table(rows)


def _cells(plan: "Plan") -> list[str]:
    one = plan.adoption
    amounts = [format_micro(one.carried_micro), format_micro(one.unflushed_micro)]
    was = "paused" if one.was_paused else "running"
    return [one.chat_id, one.user_id, duration(one.carried_ms), *amounts, was, plan.outcome]


def _plain(plan: "Plan") -> dict[str, Any]:
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
