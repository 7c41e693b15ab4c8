"""How much free time users have used up in the old system, by advisor."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from sqlalchemy import Connection

from daemon.legacy.diff import Databases
from daemon.legacy.rules.rows import Pair
from daemon.legacy.splits import policy_of, splits
from daemon.legacy.store.reader import read_only, read_pairs, read_pairs_of
from meterd.rules.free_time import scope_key
from meterd.rules.model import FREE_OF_ADVISOR, FREE_OF_CHAT, FREE_OF_USER, FreeScope

FreeTimeUsed: TypeAlias = dict[str, dict[str, int]]
"""Milliseconds by user and advisor; without those that have used none."""


def free_time_used(sides: Databases, users: Sequence[str]) -> FreeTimeUsed:
    """Give the free time that these users have used up.

    Of each user and advisor it is the greatest that a record says, of those that are not set aside.

    Raises:
        LegacyError: a table or column is not there.
    """
    if not sides.shape.names.has("records_free_used"):
        return {}
    with read_only(sides.old) as old:
        pairs = read_pairs_of(old, sides.shape, users)
        return FreeTimeReader(sides, pairs).upto(None)


class FreeTimeReader:
    """Gives the free time of one user after the other, as long as their pairs last."""

    def __init__(self, sides: Databases, pairs: Iterable[Pair]) -> None:
        """``pairs`` are in the order of users, byte by byte."""
        with sides.own.connect() as own:
            policy = policy_of(own, sides.shape)
        self._splits = splits(sides, policy, pairs)
        self._head = next(self._splits, None)

    @staticmethod
    def of_all(sides: Databases, old: Connection) -> "FreeTimeReader":
        """Read the pairs of all users; none where no column says what was free."""
        has_free_time = sides.shape.names.has("records_free_used")
        return FreeTimeReader(sides, read_pairs(old, sides.shape) if has_free_time else ())

    def upto(self, last: str | None) -> FreeTimeUsed:
        """Give those that come next, and not after the ``last`` one; or all that are left."""
        found: FreeTimeUsed = {}
        while self._head is not None and (last is None or self._head[0][0] <= last):
            (user, advisor), done = self._head
            if done.free_used_ms:
                found.setdefault(user, {})[advisor] = done.free_used_ms
            self._head = next(self._splits, None)
        return found


def scopes_of(free_scope: FreeScope, by_advisor: Mapping[str, int]) -> dict[str, int]:
    """Give what an account's scopes have used, out of what its user has used with each advisor.

    Args:
        free_scope: which chats share free time. Where all chats of a user do, it is the greatest.
        by_advisor: milliseconds.
    """
    if free_scope == FREE_OF_CHAT or not by_advisor:
        return {}
    if free_scope == FREE_OF_USER:
        return {scope_key(FREE_OF_USER, ""): max(by_advisor.values())}
    return {scope_key(FREE_OF_ADVISOR, one): ms for one, ms in sorted(by_advisor.items())}
