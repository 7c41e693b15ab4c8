"""Pairs of the old tables divided as somebody has decided, whatever the last run has written."""

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from daemon.legacy.diff import Databases
from daemon.legacy.rules.rows import CHAT, RECORD, Pair, Split
from daemon.legacy.rules.split import split
from daemon.legacy.store.quarantine import decided
from daemon.legacy.store.reader import PairKey
from daemon.legacy.store.runs import last_run
from daemon.legacy.store.shape import LegacyShape
from daemon.legacy.target_records import ASSIGNED_TO, TRUST_IN, Decisions, obeying


def policy_of(own: Connection, shape: LegacyShape) -> str:
    """The policy of the last run; if there was none, that of the settings."""
    run = last_run(own)
    return shape.policy if run is None else run.policy


def splits(sides: Databases, policy: str, pairs: Iterable[Pair]) -> Iterator[tuple[PairKey, Split]]:
    """Divide pairs, obeying what was decided about each.

    Raises:
        LegacyError: the policy needs a column that the old tables do not have.
    """
    with sides.own.connect() as own:
        assigned = decided(own, RECORD, ASSIGNED_TO)
        trusted = decided(own, CHAT, TRUST_IN)
    division = sides.shape.division(policy)
    for pair in pairs:
        key = (pair.user_id, pair.advisor_id)
        whom = next(iter(trusted.get(key, {}).values()), "")
        yield key, split(obeying(pair, Decisions(assigned.get(key, {}), whom)), division)
