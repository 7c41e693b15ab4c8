"""``meterd legacy balances``."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from daemon.console.common import ConfigOption, JsonOption, err, print_json, print_line
from daemon.console.units import duration
from daemon.legacy.cli.common import accounts_or_exit
from meterd.rules.money import format_micro

if TYPE_CHECKING:
    from daemon.legacy.store.balances import Sums

_TEXTS = {
    "opened": "accounts opened",
    "corrected": "accounts corrected, because the balance has changed since",
    "unchanged": "accounts that are as they should be",
    "empty": "users without a credit: they need no account",
    "in_use": "accounts that were opened before and are in use",
    "aside": "balances set aside: meterd legacy quarantine list",
}


def balances(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Open every user's account with what the old system has left for them.

    Once for each user, by an entry of the ledger. Run again, it fixes the
    accounts of those whose balance has changed since, as long as nothing else has
    happened to them; an account that is in use stays as it is. The daemon works
    meanwhile, and has to: meterd up. May be stopped anywhere and run again.

    For example:

      meterd legacy balances

      meterd legacy balances --json | jq .sums
    """
    from daemon.console.progress import progress  # noqa: PLC0415 - as above
    from daemon.legacy.balances import migrate_balances  # noqa: PLC0415 - the help need not wait
    from daemon.legacy.store.balances import sums_of_balances  # noqa: PLC0415 - as above

    with accounts_or_exit(config) as (targets, _, _), progress(err, "balances", "rows") as report:
        counts = migrate_balances(targets, report)
        with targets.sides.own.connect() as own:
            sums = sums_of_balances(own)
    if json:
        print_json({"counts": counts, "sums": _plain(sums)})
    else:
        _print(counts, sums)


def _print(counts: Counter[str], sums: "Sums") -> None:
    print_line(f"{counts['users']:,} users, {format_micro(counts['micro'])} credits")
    for name, text in _TEXTS.items():
        if counts[name]:
            print_line(f"{counts[name]:>14,}  {text}")
    if counts["free_used_ms"]:
        print_line(f"free time     {duration(counts['free_used_ms'])}, used there")
    print_line(f"old balances  {sums.imported + sums.aside:f} credits, of which")
    print_line(f"  opened      {sums.opened:f}")
    print_line(f"  adopted     {sums.unflushed:f}, for time that was not yet paid")
    print_line(f"  set aside   {sums.aside:f}")
    print_line(f"  left over   {sums.residue:f}, less than a micro-credit each")


def _plain(sums: "Sums") -> dict[str, Any]:
    return {name: f"{value:f}" for name, value in sums._asdict().items()}
