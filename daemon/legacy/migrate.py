"""Brings old records over, batch by batch; killed anywhere, it goes on where it was."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Connection

from actors.rules.legacy_rows import TAKEN
from daemon.legacy.look import Sides, look_at, plan_of
from daemon.legacy.plan import Plan
from daemon.legacy.wanted import Counts
from persistence.legacy.kept import ChangedMeanwhile, Range, write_changes
from persistence.legacy.layout import LegacyError
from persistence.legacy.quarantine import pairs_aside
from persistence.legacy.read import (
    OldPair,
    PairKey,
    read_old_pair,
    read_old_pairs,
    read_only,
    rows_after,
)
from persistence.legacy.runs import (
    Run,
    alone,
    finish_run,
    hold_last_run,
    hold_run,
    new_run,
    set_place,
)

BATCH_PAIRS: Final = 2_000
_ATTEMPTS_MAX: Final = 10
WRITES: Final = ("written", "replaced", "removed")
"""Counts of what was written; in a run that changes nothing all of them are 0."""

_Item = TypeVar("_Item")


class Progress(NamedTuple):
    """How far a run is."""

    rows_done: int
    rows_total: int
    run: Run


Tell = Callable[[Progress], None]


def migrate(sides: Sides, policy: str, tell: Tell, batch_pairs: int = BATCH_PAIRS) -> Run:
    """Bring over everything that is not there yet, or has changed since.

    A run of the same policy that was not finished is resumed.

    Raises:
        LegacyError: The old tables are not as the settings say, or somebody else does the same.
    """
    with alone(sides.own):
        run = _begin(sides, policy)
        with read_only(sides.old) as old:
            run = _all_pairs(sides, old, run, tell, batch_pairs)
        run = _again(sides, run, batch_pairs, taken_only=True)
        return _finish(sides, run)


def retry(sides: Sides, policy: str, batch_pairs: int = BATCH_PAIRS) -> Run:
    """Look again at the pairs of which something is set aside, as a run of its own."""
    with alone(sides.own):
        with sides.own.begin() as own:
            run = new_run(own, policy)
        return _finish(sides, _again(sides, run, batch_pairs, taken_only=False))


def _begin(sides: Sides, policy: str) -> Run:
    with sides.own.begin() as own:
        last = hold_last_run(own)
        if last is None or last.is_finished or last.policy != policy:
            return new_run(own, policy)
        return last


def _finish(sides: Sides, run: Run) -> Run:
    with sides.own.begin() as own:
        finish_run(own, run.run_id, run.counts)
    return run._replace(is_finished=True)


def _all_pairs(sides: Sides, old: Connection, run: Run, tell: Tell, batch_pairs: int) -> Run:
    total, done = rows_after(old, sides.names, run.place), 0
    for olds in _batches(read_old_pairs(old, sides.names, run.place), batch_pairs):
        last = olds[-1].pair
        upto = (last.user_id, last.advisor_id)
        run = _batch(sides, old, run, (Range(run.place, upto), olds))
        done += sum(len(one.pair.records) + len(one.pair.chats) for one in olds)
        tell(Progress(done, max(done, total), run))
    # Pairs that the old tables have no more, but meterd knows, may come after their last one.
    return _batch(sides, old, run, (Range(run.place, None), []))


def _again(sides: Sides, run: Run, batch_pairs: int, *, taken_only: bool) -> Run:
    """Look again where another pair may have given up a chat since."""
    with sides.own.connect() as own:
        pairs = pairs_aside(own, TAKEN if taken_only else None)
    with read_only(sides.old) as old:
        for some in _batches(pairs, batch_pairs):
            for pair in some:
                found = (Range.of(pair), [read_old_pair(old, sides.names, pair)])
                run = _batch(sides, old, run, found, is_again=taken_only)
    return run


def _batch(
    sides: Sides,
    old: Connection,
    run: Run,
    found: tuple[Range, list[OldPair]],
    *,
    is_again: bool = False,
) -> Run:
    for _ in range(_ATTEMPTS_MAX - 1):
        try:
            return _try_batch(sides, old, run, found, is_again)
        except ChangedMeanwhile:  # a chat of meterd came in between: look again
            continue
    return _try_batch(sides, old, run, found, is_again)


def _try_batch(
    sides: Sides, old: Connection, run: Run, found: tuple[Range, list[OldPair]], is_again: bool
) -> Run:
    with sides.own.begin() as own:
        if hold_run(own, run.run_id) != run:
            raise LegacyError(f"somebody else goes on with run {run.run_id}")
        plan = plan_of(look_at(old, own, sides.names, run.policy, found))
        after = run._replace(
            counts=_added(run.counts, plan, is_again),
            place=run.place if is_again else _place(run, found[0]),
        )
        if plan.changes:
            write_changes(own, run.run_id, plan.changes)
        if after != run:
            set_place(own, after)
    return after


def _place(run: Run, done: Range) -> PairKey | None:
    return done.upto or run.place


def _added(counts: dict[str, int], plan: Plan, is_again: bool) -> dict[str, int]:
    """A pair that is looked at twice counts once; what was written counts always."""
    new: Counts = plan.counts
    if is_again:
        new = Counter({name: new[name] for name in WRITES})
    total = Counter(counts)
    total.update(new)
    return {name: total[name] for name in sorted(total) if total[name]}


def _batches(items: Iterable[_Item], most: int) -> Iterator[list[_Item]]:
    rest = iter(items)
    while some := list(islice(rest, most)):
        yield some
