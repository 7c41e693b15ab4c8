"""Looks at both sides of some pairs, and makes out what has to be written."""

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from daemon.legacy.plan import MigrationPlan, ReferenceData, plan_pair
from daemon.legacy.rules.rows import Pair
from daemon.legacy.store.imported import (
    ImportedState,
    Range,
    fetch_adopted,
    fetch_imported,
    fetch_named,
)
from daemon.legacy.store.reader import OldPair, PairKey, chats_known
from daemon.legacy.store.shape import LegacyShape
from daemon.legacy.target_records import TargetRecords, count_split, target_records_of


class Databases(NamedTuple):
    """The old system's database and meterd's own, which may be one."""

    old: Engine
    own: Engine
    shape: LegacyShape


class DiffOptions(NamedTuple):
    """Both sides of some pairs."""

    targets: list[TargetRecords]
    stored: ImportedState
    books: ReferenceData


def look_at(
    old: Connection,
    own: Connection,
    shape: LegacyShape,
    policy: str,
    found: tuple[Range, Iterable[OldPair]],
) -> DiffOptions:
    """Give what should be and what is there of all pairs in a range.

    Args:
        old: the old system's database.
        own: meterd's.
        shape: what the old tables look like.
        policy: how time is divided.
        found: a range of pairs, and the old rows of each pair in it that has any.
    """
    stored = fetch_imported(own, found[0])
    olds = {(one.pair.user_id, one.pair.advisor_id): one for one in found[1]}
    division = shape.division(policy)
    targets = [
        target_records_of(
            olds.get(pair, _nothing(pair)), division, stored.quarantined.get(pair, {})
        )
        for pair in sorted(olds.keys() | stored.pairs())
    ]
    return DiffOptions(targets, stored, _books(old, own, shape, targets, stored))


def plan_of(look: DiffOptions) -> MigrationPlan:
    """Make out what has to be written."""
    plan = MigrationPlan.empty()
    for target in look.targets:
        if any(target.split[:3]):
            plan.counts.update(count_split(target.split))
        plan_pair(target, look.stored, look.books, plan)
    return plan


def _books(
    old: Connection,
    own: Connection,
    shape: LegacyShape,
    targets: list[TargetRecords],
    stored: ImportedState,
) -> ReferenceData:
    new = [i for one in targets for i in _chats(one) if i not in stored.chats.get(one.pair, {})]
    named = fetch_named(own, new) if new else {}
    live = [chat_id for chat_id, have in named.items() if have.owner is None]
    adopted = fetch_adopted(own, live) if live else {}
    left = [*chain.from_iterable(_left(one, stored) for one in targets)]
    return ReferenceData(named, adopted, chats_known(old, shape, left) if left else set())


def _chats(one: TargetRecords) -> Iterable[str]:
    """Those that are to have a record, and those that run there."""
    return chain(one.rows, (still.chat_id for still in one.split.running))


def _left(one: TargetRecords, stored: ImportedState) -> Iterable[str]:
    return (i for i in stored.chats.get(one.pair, {}) if i not in one.rows)


def _nothing(pair: PairKey) -> OldPair:
    return OldPair(Pair(*pair, [], []), [])
