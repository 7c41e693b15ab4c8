"""Whether all that the old system has is here, once: by pair, by user, in total, and every chat."""

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Final, NamedTuple

from sqlalchemy import Connection

from daemon.legacy.balances_check import BalancesCheck, BalancesFound
from daemon.legacy.diff import Databases, DiffOptions, look_at, plan_of
from daemon.legacy.difference import RecordDifference
from daemon.legacy.free_time_check import free_time_differences
from daemon.legacy.pairs_check import Pairs
from daemon.legacy.plan import MigrationPlan
from daemon.legacy.store.adopted import fetch_shares
from daemon.legacy.store.imported import Range
from daemon.legacy.store.reader import (
    OldPair,
    PairKey,
    fingerprint,
    read_old_pairs,
    read_only,
    rows_after,
)
from daemon.legacy.store.runs import last_run
from daemon.legacy.store.totals import Totals, old_totals, own_totals, stray_records
from daemon.legacy.target_records import Counts

_BATCH_PAIRS: Final = 2_000
_SHOWN: Final = 100
MIGRATE: Final = "meterd legacy migrate"


class VerifyResult(NamedTuple):
    """What was compared, and what differs."""

    counts: dict[str, int]
    old: Totals
    here: Totals
    """What was imported, set aside, left over by rounding, still runs there, or was adopted.

    Without what was imported of records that are gone there (``gone_ms``, ``gone_micro``).
    """
    differences: list[RecordDifference]
    """A hundred of them, those first that no other run fixes."""
    differ: int
    """All of them."""
    balances: BalancesFound | None
    """None if no balance was imported yet."""
    is_quiet: bool
    """Whether the old tables stayed as they were while this looked: what is still written there
    has to be imported by another run."""
    next: dict[str, int]
    """How many of the differences another run of which command may well fix."""
    stopped_run: int | None
    """The last run, if it was not finished."""


class _Findings:
    def __init__(self) -> None:
        self._lasting: list[RecordDifference] = []
        self._passing: list[RecordDifference] = []
        self.count = 0
        self.next = Counter[str]()
        self.gone = Totals(Decimal(0), Decimal(0))
        """What rounding has left over of records that are gone."""

    def add(self, found: RecordDifference) -> None:
        self.count += 1
        if found.next:
            self.next[found.next] += 1
        some = self._passing if found.next else self._lasting
        if len(some) < _SHOWN:
            some.append(found)

    @property
    def first(self) -> list[RecordDifference]:
        """A hundred of them, those first that no other run fixes."""
        return [*self._lasting, *self._passing][:_SHOWN]


def verify(sides: Databases, policy: str, report: Callable[[int, int], None]) -> VerifyResult:
    """Compare both sides; nothing is written on either.

    Both are looked at as they are at one moment, in transactions in which the server refuses to
    write. What the old system itself writes meanwhile is seen by a fingerprint of its tables.

    Raises:
        LegacyError: A table or column is not there.
    """
    findings, counts = _Findings(), Counter[str]()
    before = _fingerprint(sides)
    with read_only(sides.old) as old, read_only(sides.own) as own:
        run = last_run(own)
        policy = policy if run is None else run.policy
        total = rows_after(old, sides.shape, None)
        for look, olds in _looks(sides, old, own, policy):
            _check(own, look, olds, counts, findings)
            for found in free_time_differences(own, sides.shape, look.targets):
                findings.add(found)
            report(counts["records"] + counts["chats"], total)
        for chat_id in stray_records(own, _SHOWN):
            findings.add(
                RecordDifference(
                    kind="stray",
                    pair=("", ""),
                    key=chat_id,
                    expected="a run that imported it",
                    found="none",
                )
            )
        totals = _totals(sides, old, own, counts, findings)
        balances = _balances(sides, old, own, findings)
    is_quiet = before == _fingerprint(sides)
    stopped = run.run_id if run is not None and not run.is_finished else None
    return VerifyResult(
        dict(counts), *totals, findings.first, findings.count, balances, is_quiet,
        dict(findings.next), stopped,
    )  # fmt: skip


def _fingerprint(sides: Databases) -> dict[str, tuple[int, int]]:
    with read_only(sides.old) as old:
        return fingerprint(old, sides.shape)


def _looks(
    sides: Databases, old: Connection, own: Connection, policy: str
) -> Iterator[tuple[DiffOptions, list[OldPair]]]:
    stream = read_old_pairs(old, sides.shape)
    place: PairKey | None = None
    while olds := list(islice(stream, _BATCH_PAIRS)):
        upto = (olds[-1].pair.user_id, olds[-1].pair.advisor_id)
        yield look_at(old, own, sides.shape, policy, (Range(place, upto), olds)), olds
        place = upto
    yield look_at(old, own, sides.shape, policy, (Range(place, None), [])), []


def _check(
    own: Connection, look: DiffOptions, olds: list[OldPair], counts: Counts, findings: _Findings
) -> None:
    by_pair = {(one.pair.user_id, one.pair.advisor_id): one for one in olds}
    pairs = Pairs(look, by_pair, fetch_shares(own, _maybe_adopted(look)), counts)
    found = list(pairs.differences())
    for one in pairs.leftovers_gone:
        findings.gone = findings.gone.plus_exact(one.ms, one.credits)
    plan = plan_of(look)
    behind = _pairs_behind(look, plan)
    for one_found in found:
        findings.add(one_found._replace(next=MIGRATE if one_found.pair in behind else ""))
    for row in plan.changes.imported:
        findings.add(_behind(row[1:3], row.chat_id, "its record, as the old rows say"))
    for chat_id in set(plan.changes.deleted) - {row.chat_id for row in plan.changes.imported}:
        findings.add(_behind(("", ""), chat_id, "no record"))
    for aside in plan.changes.quarantined:
        findings.add(_behind(aside[:2], aside.key, f"set aside: {aside.reason}"))


def _behind(pair: PairKey, key: str, expected: str) -> RecordDifference:
    return RecordDifference(
        kind="behind", pair=pair, key=key, expected=expected, found="something else", next=MIGRATE
    )


def _pairs_behind(look: DiffOptions, plan: MigrationPlan) -> set[PairKey]:
    """Of which migrate would write something: what differs there has most likely changed since."""
    changes, out = plan.changes, set(plan.changes.deleted)
    asides, gone = changes.quarantined_gone + changes.quarantined, changes.remainders_gone
    return {
        *((row.user_id, row.advisor_id) for row in changes.imported),
        *((row.user_id, row.advisor_id) for row in asides),
        *((row.user_id, row.advisor_id) for row in gone + changes.remainders),
        *(pair for pair, chats in look.stored.chats.items() if not out.isdisjoint(chats)),
    }


def _maybe_adopted(look: DiffOptions) -> list[str]:
    """Chats that are to have a record, or still run, and were not imported."""
    return [
        chat_id
        for one in look.targets
        for chat_id in [*one.rows, *(still.chat_id for still in one.split.running)]
        if chat_id not in look.stored.chats.get(one.pair, {})
    ]


def _balances(
    sides: Databases, old: Connection, own: Connection, findings: _Findings
) -> BalancesFound | None:
    check = BalancesCheck(old, own, sides.shape)
    for found in check.differences():
        findings.add(found)
    return check.found


def _totals(
    sides: Databases, old: Connection, own: Connection, counts: Counts, findings: _Findings
) -> tuple[Totals, Totals]:
    """In total, summed up by the servers themselves."""
    there = old_totals(old, sides.shape)
    # What chats have beyond their records is no part of the old sum: somebody trusted the chats.
    ms = counts["elsewhere_ms"] - counts["gone_ms"] - counts["surplus_ms"]
    micro = counts["elsewhere_micro"] - counts["gone_micro"]
    here = own_totals(own).plus(ms, micro)
    here = here.plus_exact(-findings.gone.ms, -findings.gone.credits)
    for name, before, after in zip(Totals._fields, there, here, strict=True):
        if before != after:
            again = MIGRATE if findings.next[MIGRATE] else ""
            findings.add(
                RecordDifference(
                    kind=f"total_{name}",
                    pair=("", ""),
                    key="",
                    expected=str(before),
                    found=str(after),
                    next=again,
                )
            )
    return there, here
