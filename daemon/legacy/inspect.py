"""What is in the old tables, what is odd there, and what each policy would make of it."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine

from daemon.legacy.rules.rows import POLICIES, Pair, Split
from daemon.legacy.rules.split import split
from daemon.legacy.store.names import LegacyNames
from daemon.legacy.store.reader import old_balances, read_old_pairs, read_only, rows_after
from daemon.legacy.target_records import Counts, count_split

_EXAMPLES: Final = 3
_TELL_EVERY_PAIRS: Final = 1_000


class Kind(NamedTuple):
    """A reason or an anomaly, how often it is there, and where, for example."""

    rows: int
    examples: list[str]


class Inspection(NamedTuple):
    """What was found."""

    counts: dict[str, int]
    """Rows and sums of the old tables."""
    reasons: dict[str, Kind]
    """What can't be decided."""
    odd: dict[str, Kind]
    """What is odd and can be decided all the same."""
    policies: dict[str, dict[str, int]]
    """By policy: what becomes of chats, times and costs."""


class _Examples:
    """Counts by kind, and the first few of each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str) -> None:
        self._counts[kind] += 1
        known = self._examples.setdefault(kind, [])
        if len(known) < _EXAMPLES:
            known.append(example)

    def kinds(self) -> dict[str, Kind]:
        return {kind: Kind(n, self._examples[kind]) for kind, n in self._counts.most_common()}


def inspect(old: Engine, names: LegacyNames, tell: Callable[[int, int], None]) -> Inspection:
    """Look through the old tables; nothing is written anywhere.

    Args:
        old: the old system's database.
        names: what its tables are called.
        tell: is told now and then how many rows of how many were looked at.

    Raises:
        LegacyError: A table or column is not there.
    """
    counts: Counts = Counter()
    reasons, odd = _Examples(), _Examples()
    policies: dict[str, Counts] = {policy: Counter() for policy in POLICIES}
    with read_only(old) as connection:
        total = rows_after(connection, names, None)
        for number, one in enumerate(read_old_pairs(connection, names)):
            _count_pair(one.pair, counts)
            counts["fractions"] += len(one.remainders)
            for policy in POLICIES:
                done = split(one.pair, policy)
                policies[policy].update(count_split(done))
                if policy == POLICIES[0]:
                    _show(done, reasons, odd)
            if number % _TELL_EVERY_PAIRS == 0:
                tell(counts["records"] + counts["chats"], total)
        _count_balances(old_balances(connection, names), counts)
    plain = {policy: dict(sorted(found.items())) for policy, found in policies.items()}
    return Inspection(dict(counts), reasons.kinds(), odd.kinds(), plain)


def _count_pair(pair: Pair, counts: Counts) -> None:
    counts.update(pairs=1, records=len(pair.records), chats=len(pair.chats))
    for record in pair.records:
        counts.update(total_ms=record.total_ms or 0, total_micro=record.cost_micro or 0)


def _count_balances(balances: Iterable[Any], counts: Counts) -> None:
    for one in balances:
        counts.update(
            users=1,
            balance_micro=one.balance_micro or 0,
            unreadable_balances=one.balance_micro is None,
            users_with_several_balances=one.rows > 1,
        )


def _show(done: Split, reasons: _Examples, odd: _Examples) -> None:
    for aside in done.quarantined:
        reasons.add(aside.reason, f"{aside.kind} {aside.key}")
    for one in done.anomalies:
        odd.add(one.anomaly, one.key)
