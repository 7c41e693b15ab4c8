"""Migrates old records, batch by batch; killed anywhere, it goes on where it was."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Connection

from daemon.legacy.diff import Databases, look_at, plan_of
from daemon.legacy.errors import ChangedMeanwhileError, LegacyError
from daemon.legacy.plan import MigrationPlan
from daemon.legacy.rules.rows import TAKEN
from daemon.legacy.store.adopted import is_any_adopted
from daemon.legacy.store.imported import Range, undo_partial, write_changes
from daemon.legacy.store.quarantine import quarantined_pairs
from daemon.legacy.store.reader import (
    OldPair,
    PairKey,
    read_old_pair,
    read_old_pairs,
    read_only,
    rows_after,
)
from daemon.legacy.store.runs import (
    MigrationRun,
    exclusive_lock,
    finish_run,
    hold_last_run,
    hold_run,
    new_run,
    set_place,
)
from daemon.legacy.target_records import Counts

BATCH_PAIRS: Final = 2_000
LOOKUPS_MAX: Final = 1_000
"""Pairs that are looked up one by one: the old tables may have no index for that."""
_ATTEMPTS_MAX: Final = 10
WRITES: Final = ("written", "replaced", "removed")
"""Counts of what was written; in a run that changes nothing all of them are 0."""

_Item = TypeVar("_Item")


class MigrationProgress(NamedTuple):
    """How far a run is."""

    rows_done: int
    rows_total: int
    run: MigrationRun


ReportProgress = Callable[[MigrationProgress], None]


class _Mode(NamedTuple):
    """What a batch does to its run."""

    moves: bool = True
    """Whether the run is at its last pair then."""
    is_again: bool = False
    """Whether the pairs were counted before."""


_SWEEP: Final = _Mode()


def migrate(
    sides: Databases, policy: str, report: ReportProgress, batch_pairs: int = BATCH_PAIRS
) -> MigrationRun:
    """Migrate everything that is not there yet, or has changed since.

    A run of the same policy that was not finished is resumed.

    Raises:
        LegacyError: The old tables are not as the settings say, or somebody else does the same, or
            chats were adopted by another policy.
    """
    with exclusive_lock(sides.own):
        run = _begin(sides, policy)
        with read_only(sides.old) as old:
            run = _all_pairs(sides, old, run, report, batch_pairs)
        return _finish(sides, _again(sides, run))


def retry(sides: Databases, policy: str, batch_pairs: int = BATCH_PAIRS) -> MigrationRun:
    """Look again at the pairs of which something is set aside, as a run of its own."""
    with exclusive_lock(sides.own):
        with sides.own.begin() as own:
            run, pairs = new_run(own, policy), quarantined_pairs(own)
        if len(pairs) <= LOOKUPS_MAX:
            return _finish(sides, _lookups(sides, run, pairs, is_again=False))
        with read_only(sides.old) as old:  # so many are found faster among all
            run = _all_pairs(sides, old, run, lambda _: None, batch_pairs)
        return _finish(sides, run)


def _begin(sides: Databases, policy: str) -> MigrationRun:
    with sides.own.begin() as own:
        run = hold_last_run(own)
        if run is not None and run.policy != policy and is_any_adopted(own):
            raise LegacyError(
                f"chats were adopted by the policy {run.policy}: by {policy}, time would come twice"
            )
        if run is None or run.is_finished or run.policy != policy:
            run = new_run(own, policy)
        undo_partial(own, run.run_id)
    return run


def _finish(sides: Databases, run: MigrationRun) -> MigrationRun:
    with sides.own.begin() as own:
        finish_run(own, run.run_id, run.counts)
    return run._replace(is_finished=True)


def _all_pairs(
    sides: Databases, old: Connection, run: MigrationRun, report: ReportProgress, batch_pairs: int
) -> MigrationRun:
    total, done = rows_after(old, sides.shape, run.place), 0
    for olds in _batches(read_old_pairs(old, sides.shape, run.place), batch_pairs):
        last = olds[-1].pair
        upto = (last.user_id, last.advisor_id)
        run = _batch(sides, old, run, (Range(run.place, upto), olds), _SWEEP)
        done += sum(len(one.pair.records) + len(one.pair.chats) for one in olds)
        report(MigrationProgress(done, max(done, total), run))
    # Pairs that the old tables have no more, but meterd knows, may come after their last one.
    return _batch(sides, old, run, (Range(run.place, None), []), _SWEEP)


def _again(sides: Databases, run: MigrationRun) -> MigrationRun:
    """Look again where a chat was taken: another pair may have given it up since."""
    with sides.own.connect() as own:
        pairs = quarantined_pairs(own, TAKEN)
    return _lookups(sides, run, pairs[:LOOKUPS_MAX], is_again=True)


def _lookups(
    sides: Databases, run: MigrationRun, pairs: Iterable[PairKey], *, is_again: bool
) -> MigrationRun:
    """Pair by pair; the run's place stays, so that a killed one leaves none out."""
    with read_only(sides.old) as old:
        for pair in pairs:
            found = (Range.of(pair), [read_old_pair(old, sides.shape, pair)])
            run = _batch(sides, old, run, found, _Mode(False, is_again))
    return run


def _batch(
    sides: Databases,
    old: Connection,
    run: MigrationRun,
    found: tuple[Range, list[OldPair]],
    mode: _Mode,
) -> MigrationRun:
    for _ in range(_ATTEMPTS_MAX - 1):
        try:
            return _try_batch(sides, old, run, found, mode)
        except ChangedMeanwhileError:  # a chat of meterd came in between: look again
            continue
    return _try_batch(sides, old, run, found, mode)


def _try_batch(
    sides: Databases,
    old: Connection,
    run: MigrationRun,
    found: tuple[Range, list[OldPair]],
    mode: _Mode,
) -> MigrationRun:
    with sides.own.begin() as own:
        if hold_run(own, run.run_id) != run:
            raise LegacyError(f"somebody else goes on with run {run.run_id}")
        plan = plan_of(look_at(old, own, sides.shape, run.policy, found))
        after = run._replace(
            counts=_added(run.counts, plan, mode.is_again),
            place=_place(run, found[0]) if mode.moves else run.place,
        )
        if plan.changes:
            write_changes(own, run.run_id, plan.changes)
        if after != run:
            set_place(own, after)
    return after


def _place(run: MigrationRun, done: Range) -> PairKey | None:
    return done.upto or run.place


def _added(counts: dict[str, int], plan: MigrationPlan, is_again: bool) -> dict[str, int]:
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
