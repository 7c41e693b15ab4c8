"""What is in the old tables, what is odd there, and what each policy would make of it."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine

from daemon.legacy.rules.rows import CHAT_DURATION, LATEST, UNKNOWN, Pair, Split
from daemon.legacy.rules.split import split
from daemon.legacy.store.reader import old_balances, read_old_pairs, read_only, rows_after
from daemon.legacy.store.shape import LegacyShape
from daemon.legacy.target_records import Counts, count_split

_EXAMPLES: Final = 3
_TELL_EVERY_PAIRS: Final = 1_000


class Kind(NamedTuple):
    """A reason or an anomaly, how often it is there, and where, for example."""

    rows: int
    examples: list[str]


class StatusWord(NamedTuple):
    """A word in the column of the status."""

    rows: int
    means: str
    """``running``, ``paused`` or ``ended``; ``unknown`` if no setting says it."""


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
    status_words: dict[str, StatusWord]
    """What stands in the column of the status."""


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


def inspect(old: Engine, shape: LegacyShape, report: Callable[[int, int], None]) -> Inspection:
    """Look through the old tables; nothing is written anywhere.

    Args:
        old: the old system's database.
        shape: what its tables look like.
        report: is called now and then with how many rows of how many were looked at.

    Raises:
        LegacyError: A table or column is not there.
    """
    counts: Counts = Counter()
    reasons, odd = _Examples(), _Examples()
    words: Counts = Counter()
    policies: dict[str, Counts] = {policy: Counter() for policy in shape.policies}
    shown = CHAT_DURATION if CHAT_DURATION in policies else LATEST
    divisions = {policy: shape.division(policy) for policy in policies}
    with read_only(old) as connection:
        total = rows_after(connection, shape, None)
        for number, one in enumerate(read_old_pairs(connection, shape)):
            _count_pair(one.pair, counts)
            counts["fractions"] += len(one.remainders)
            words.update(record.word for record in one.pair.records)
            for policy, division in divisions.items():
                done = split(one.pair, division)
                policies[policy].update(count_split(done))
                if policy == shown:
                    _show(done, reasons, odd)
            if number % _TELL_EVERY_PAIRS == 0:
                report(counts["records"] + counts["chats"], total)
        _count_balances(old_balances(connection, shape), counts)
    plain = {policy: dict(sorted(found.items())) for policy, found in policies.items()}
    return Inspection(dict(counts), reasons.kinds(), odd.kinds(), plain, _meanings(words, shape))


def _meanings(words: Counts, shape: LegacyShape) -> dict[str, StatusWord]:
    """Each word with its rows and what it means, those first that nobody knows."""
    if not shape.names.has("records_status"):
        return {word: StatusWord(rows, word) for word, rows in sorted(words.items())}
    found = {word: StatusWord(rows, shape.status_of(word)) for word, rows in words.items()}
    return dict(sorted(found.items(), key=lambda one: (one[1].means != UNKNOWN, one[0])))


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
