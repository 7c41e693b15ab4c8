"""``meterd legacy runs``: what each run has imported."""

from typing import TYPE_CHECKING, Any

from daemon.console.common import ConfigOption, JsonOption, print_json, print_table, table
from daemon.legacy.cli.common import legacy_or_exit

if TYPE_CHECKING:
    from datetime import datetime

    from daemon.legacy.store.runs import MigrationRun

_COUNTED = {
    "written": "written",
    "replaced": "replaced",
    "removed": "removed",
    "running": "run there",
}
_COLUMNS = ("run", "policy", "began", "finished", *_COUNTED.values(), "set aside", "")


def runs(json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the runs of migrate and quarantine retry, and what each has changed.

    Where records are written and written again less and less, catching up is
    nearly done. The number is what rollback wants.

    For example:

      meterd legacy runs

      meterd legacy runs --json | jq '.[-1].counts'
    """
    from daemon.legacy.store.runs import fetch_runs  # noqa: PLC0415 - the help need not wait for it

    with legacy_or_exit(config) as (sides, _), sides.own.connect() as own:
        found = fetch_runs(own)
    if json:
        print_json([_plain(*one) for one in found])
        return
    rows = table("Runs", *_COLUMNS)
    for run, began, finished in found:
        counts = [f"{run.counts.get(name, 0):,}" for name in (*_COUNTED, "aside")]
        rows.add_row(
            str(run.run_id), run.policy, _when(began), _when(finished), *counts, _note(run)
        )
    print_table(rows)


def _when(moment: "datetime | None") -> str:
    return "no" if moment is None else moment.isoformat(" ", "seconds")


def _note(run: "MigrationRun") -> str:
    if run.counts.get("rolled_back"):
        return "rolled back"
    return "" if run.is_finished else "meterd legacy migrate goes on with it"


def _plain(run: "MigrationRun", began: "datetime", finished: "datetime | None") -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "policy": run.policy,
        "began_at": began.isoformat(),
        "finished_at": None if finished is None else finished.isoformat(),
        "counts": run.counts,
    }
