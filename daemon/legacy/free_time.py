"""How much free time users have used up in the old system, by advisor."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from daemon.legacy.diff import Databases
from daemon.legacy.splits import policy_of, splits
from daemon.legacy.store.reader import read_only, read_pairs_of
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
    found: FreeTimeUsed = {}
    if not sides.shape.names.has("records_free_used"):
        return found
    with sides.own.connect() as own:
        policy = policy_of(own, sides.shape)
    with read_only(sides.old) as old:
        for (user, advisor), done in splits(sides, policy, read_pairs_of(old, sides.shape, users)):
            if done.free_used_ms:
                found.setdefault(user, {})[advisor] = done.free_used_ms
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
