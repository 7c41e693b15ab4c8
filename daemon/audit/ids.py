"""One id, one effect: the rows of the journal that share an id, against each other."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from daemon.audit.differences import NOTHING, Difference, of_row
from daemon.audit.remembered_ids import ms_min_of
from meterd.rules import outcomes
from meterd.rules.commands import InvalidCommand, entry_ms, fingerprint
from meterd.rules.model import Policy
from meterd.rules.replay import JournalEntry, command_of
from persistence.postgres.rows import JournalRow


class _Use(NamedTuple):
    """The row that an id stands for."""

    entry: str
    fingerprint: str
    outcome: str
    ms_min: int
    """For how long the id had to be remembered."""


def compare_ids(
    rows: Iterable[JournalRow],
    is_all: bool,
    policies: Mapping[str, Policy],
    archived_at_ms: int = 0,
) -> Iterator[Difference]:
    """Ids with a second effect, or whose later rows do not answer as the first.

    Args:
        rows: id by id, each id's rows in the order of the stream.
        is_all: whether an id's first use is among them; not so if they are one user's only.
        policies: by id: by the rules of version 0.1, every id was remembered for a day.
        archived_at_ms: when rows were archived last: an id that was used again before may have
            been used first by one of them, and was compared with it then. Afterwards none can:
            nothing is archived whose id is still remembered.
    """
    for _, uses in groupby(rows, key=lambda row: row.fields.get("id")):
        yield from _one_id(uses, is_all, policies, archived_at_ms)


def _one_id(
    rows: Iterable[JournalRow],
    is_all: bool,
    policies: Mapping[str, Policy],
    archived_at_ms: int,
) -> Iterator[Difference]:
    first: _Use | None = None
    is_unknown = not is_all
    for row in rows:
        may_be_unknown = is_unknown or entry_ms(row.stream_id) < archived_at_ms
        if row.outcome == outcomes.INTERNAL_ERROR and not row.replayed:
            is_unknown = True  # set aside without effect: an operator may send it again
        elif _is_repeat(row):
            yield from _repeat(row, first, may_be_unknown)
        else:
            if first is not None and _is_remembered(first, row):
                yield _differs("double_effect", row, f"as {first.entry}: {first.outcome}")
            ms_min = ms_min_of(row, policies.get(row.policy_id))
            first = _Use(row.stream_id, _content(row), row.outcome, ms_min)


def _repeat(row: JournalRow, first: _Use | None, may_be_unknown: bool) -> Iterator[Difference]:
    if first is None:
        if not may_be_unknown:
            yield _differs("id_unused", row, f"a first use of {row.fields.get('id')}")
        return
    is_same = _content(row) == first.fingerprint
    expected = first.outcome if is_same else outcomes.ID_CONFLICT
    if (row.outcome, row.replayed) != (expected, is_same):
        again = "replayed " if is_same else ""
        yield _differs("id_outcome", row, f"{again}{expected} because of {first.entry}")


def _is_remembered(first: _Use, row: JournalRow) -> bool:
    """Whether the id still stood for its first use: later it may stand for something new."""
    return entry_ms(row.stream_id) - entry_ms(first.entry) < first.ms_min


def _is_repeat(row: JournalRow) -> bool:
    return row.replayed or row.outcome == outcomes.ID_CONFLICT


def _content(row: JournalRow) -> str:
    command = command_of(JournalEntry(row.stream_id, row.fields, row.outcome, row.replayed))
    return "" if isinstance(command, InvalidCommand) else fingerprint(command)


def _differs(kind: str, row: JournalRow, expected: str) -> Difference:
    return of_row(kind, row, expected, f"{'replayed ' * row.replayed}{row.outcome}" or NOTHING)
