"""Whether accounts were opened with the free time that their users have used."""

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from daemon.legacy.balances_check import BALANCES
from daemon.legacy.difference import RecordDifference
from daemon.legacy.store.balances import fetch_free_times, is_any_migrated
from daemon.legacy.store.shape import LegacyShape
from daemon.legacy.target_records import TargetRecords
from meterd.rules.model import FREE_OF_ADVISOR


def free_time_differences(
    own: Connection, shape: LegacyShape, targets: Iterable[TargetRecords]
) -> Iterator[RecordDifference]:
    """Pairs of which the account has other free time than the old records say.

    Nothing is compared before balances were imported, nor of records that are gone, nor of an
    account that was in use before it could be opened.

    Args:
        own: meterd's database.
        shape: that of the old tables.
        targets: pairs as they should be.
    """
    if shape.free_scope != FREE_OF_ADVISOR or not shape.names.has("records_free_used"):
        return
    due = {one.pair: one.split.free_used_ms for one in targets if not one.is_gone}
    if not due or not is_any_migrated(own):
        return
    here = fetch_free_times(own, sorted({user for user, _ in due}))
    for pair, due_ms in due.items():
        found_ms = here.used_ms.get(pair, 0)
        if due_ms != found_ms and pair[0] not in here.in_use:
            yield RecordDifference(
                kind="free_time",
                pair=pair,
                key="",
                expected=f"{due_ms} ms used",
                found=f"{found_ms} ms",
                next=BALANCES,
            )
