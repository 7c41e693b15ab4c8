"""Takes out what a run imported, unless it has been used since."""

from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import Engine

from daemon.legacy.errors import LegacyError
from daemon.legacy.store.imported import delete_imported
from daemon.legacy.store.rollback import chats_of_run, count_chats, forget_run, used_chats
from daemon.legacy.store.runs import exclusive_lock, finish_run, hold_run

_BATCH_CHATS: Final = 5_000


class RollbackResult(NamedTuple):
    """What a rollback did."""

    run_id: int
    removed: int
    kept: list[str]
    """Chats that something happened to since: their records stay."""


def rollback(own: Engine, run_id: int, report: Callable[[int, int], None]) -> RollbackResult:
    """Take out a run's records, and what it set aside; done twice, it does nothing more.

    Raises:
        LegacyError: There is no such run, or somebody else is at it.
    """
    with exclusive_lock(own):
        with own.begin() as connection:
            run = hold_run(connection, run_id)
        if run is None:
            raise LegacyError(f"there is no run {run_id}")
        removed, kept = _take_out(own, run_id, report)
        with own.begin() as connection:
            forget_run(connection, run_id)
            finish_run(connection, run_id, {**run.counts, "rolled_back": 1})
    return RollbackResult(run_id, removed, kept)


def _take_out(
    own: Engine, run_id: int, report: Callable[[int, int], None]
) -> tuple[int, list[str]]:
    removed, kept, after = 0, list[str](), ""
    with own.connect() as connection:
        total = count_chats(connection, run_id)
    while True:
        with own.begin() as connection:
            chat_ids = chats_of_run(connection, run_id, after, _BATCH_CHATS)
            if not chat_ids:
                return removed, kept
            used = used_chats(connection, chat_ids)
            removed += delete_imported(connection, [i for i in chat_ids if i not in used])
            kept += sorted(used)
            after = chat_ids[-1]
        report(removed + len(kept), total)
