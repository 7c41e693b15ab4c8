"""Chats that ran in the old system at the cut-over and were adopted: what each carried along."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from daemon.legacy.store.imported import fetch_adopted

_IS_THERE: Final = "SELECT to_regclass('legacy_adoptions') IS NOT NULL"
_PLANS: Final = """
SELECT chat_id, share_ms, share_micro FROM legacy_adoptions WHERE chat_id = ANY(%s)"""

_IS_ANY: Final = "SELECT EXISTS (SELECT 1 FROM legacy_adoptions)"


class Adopted(NamedTuple):
    """What a chat carried along."""

    carried_ms: int
    carried_micro: int
    share_ms: int | None
    """What of it the split gave to the chat when it was adopted; None if nobody wrote it down."""
    share_micro: int | None


def fetch_shares(connection: Connection, chat_ids: Sequence[str]) -> dict[str, Adopted]:
    """Give those of the chats that were adopted."""
    if not chat_ids:
        return {}
    carried = fetch_adopted(connection, chat_ids)
    shares: dict[str, tuple[int, int]] = {}
    if carried and connection.exec_driver_sql(_IS_THERE).scalar():
        for row in connection.exec_driver_sql(_PLANS, (list(carried),)):
            shares[row[0]] = (int(row[1]), int(row[2]))
    return {i: Adopted(*both, *shares.get(i, (None, None))) for i, both in carried.items()}


def is_any_adopted(connection: Connection) -> bool:
    """Whether the cut-over has begun."""
    return bool(connection.exec_driver_sql(_IS_ANY).scalar_one())
