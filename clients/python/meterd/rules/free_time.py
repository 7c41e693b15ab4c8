"""Free time that several chats of a user share (PROTOCOL 3, *Shared free time*).

In each millisecond the running chats of a scope take turns in order of ``chat_id``: one whose time
so far was all free, and whose limit is above what the scope has used up to its turn, uses one
millisecond of it. A chat's ``free_ms`` is what it has used and, while it runs, what it will still
get if nothing else changes: so all of billing needs that number alone. It is computed again after
each change of the account, in closed form: chats take the same number of turns until one falls out.
"""

from collections.abc import Iterable, Mapping

from meterd.rules.billing import active_ms
from meterd.rules.model import FREE_OF_ADVISOR, FREE_OF_CHAT, RUNNING, Account, Chat, FreeScope


def scope_key(free_scope: FreeScope, advisor_id: str) -> str:
    """Return the key of a shared scope in ``Account.free_used_ms``."""
    assert free_scope != FREE_OF_CHAT, "a chat's own free time is not shared"
    return f"{free_scope}:{advisor_id}" if free_scope == FREE_OF_ADVISOR else free_scope


def shares(chat: Chat) -> bool:
    """Whether the chat's free time is that of a scope."""
    return chat.free_scope != FREE_OF_CHAT


def is_any_shared(chats: Iterable[Chat]) -> bool:
    """Whether the free time of one of the chats is that of a scope."""
    return any(chat.free_scope != FREE_OF_CHAT for chat in chats)


def may_share(chat: Chat, used: Mapping[str, int]) -> bool:
    """Whether a chat that does not run would get a share of its scope's free time, if it ran."""
    if not shares(chat) or chat.active_ms > chat.free_ms:
        return False
    return chat.free_limit_ms > used.get(_key(chat), 0)


def used_ms(account: Account, at: int) -> dict[str, int]:
    """Return what each scope has used by ``at``, if nothing has changed since the last change.

    Args:
        account: as its last change left it.
        at: a millisecond that is not before that change.
    """
    used = dict(account.free_used_ms)
    for chat in account.chats.values():
        if chat.free_scope != FREE_OF_CHAT and chat.status == RUNNING:
            before_ms = min(active_ms(chat, max(account.as_of_ms, chat.since_ms)), chat.free_ms)
            more_ms = min(active_ms(chat, at), chat.free_ms) - before_ms
            if more_ms > 0:
                key = _key(chat)
                used[key] = used.get(key, 0) + more_ms
    return used


def free_ms_of(chats: Iterable[Chat], used: Mapping[str, int], at: int) -> dict[str, int]:
    """Return ``free_ms`` of each running chat that may still get a share, by chat_id.

    Args:
        chats: the account's open chats.
        used: what each scope has used by ``at``, in ms.
        at: the millisecond from which on nothing changes.
    """
    scopes: dict[str, list[Chat]] = {}
    for chat in chats:
        if chat.free_scope == FREE_OF_CHAT or chat.status != RUNNING:
            continue
        if active_ms(chat, at) <= chat.free_ms:
            scopes.setdefault(_key(chat), []).append(chat)
    free_ms: dict[str, int] = {}
    for key, sharing in scopes.items():
        sharing.sort(key=_chat_id)
        gains_ms = _gains_ms([chat.free_limit_ms for chat in sharing], used.get(key, 0))
        for chat, gain_ms in zip(sharing, gains_ms, strict=True):
            free_ms[chat.chat_id] = active_ms(chat, at) + gain_ms
    return free_ms


def allotted(account: Account, used: Mapping[str, int], at: int) -> Account:
    """Return the account with the free time of all its chats computed again at ``at``."""
    moved = {
        chat_id: account.chats[chat_id]._replace(free_ms=free_ms)
        for chat_id, free_ms in free_ms_of(account.chats.values(), used, at).items()
        if account.chats[chat_id].free_ms != free_ms
    }
    return account._replace(chats={**account.chats, **moved}) if moved else account


def _gains_ms(limits_ms: list[int], used: int) -> list[int]:
    """Return how much each gets of what is left, taking turns in the given order."""
    gains_ms = [0] * len(limits_ms)
    left = list(range(len(limits_ms)))
    while left:
        # So many rounds in which everybody has its turn: the k-th meets k ms more in each.
        rounds = min(
            max(0, -((used + turn - limits_ms[i]) // len(left))) for turn, i in enumerate(left)
        )
        used += rounds * len(left)
        staying = []
        for i in left:
            gains_ms[i] += rounds
            if limits_ms[i] > used:
                gains_ms[i] += 1
                used += 1
                staying.append(i)
        assert len(staying) < len(left), "a round that was not counted leaves somebody without"
        left = staying
    return gains_ms


def _key(chat: Chat) -> str:
    return scope_key(chat.free_scope, chat.advisor_id)


def _chat_id(chat: Chat) -> str:
    return chat.chat_id
