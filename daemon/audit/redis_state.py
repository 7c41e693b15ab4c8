"""What Redis has of one user against the fold."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from daemon.audit.differences import NOTHING, Difference, cut, differing
from daemon.audit.folding import Folded, Position
from meterd.rules.commands import entry_key
from meterd.rules.model import Account
from meterd.rules.snapshots import chat_snapshot, wallet_snapshot
from persistence.redis.commit import unpack_state
from persistence.redis.snapshot_scan import AccountSnapshot, SnapshotRequest

CHATS_MAX: Final = 500
"""Chats of a user in one ask: a call of Redis should be over soon."""

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, ValueError)


class RedisComparator(NamedTuple):
    """Where Redis is, seen from the journal."""

    is_ahead: bool
    difference: Difference | None = None


def requests_of(user: str, point: Position) -> Iterator[SnapshotRequest]:
    """What to ask Redis about a user: everything, in as many calls as it takes."""
    chats = list(point.chats)
    for part, i in enumerate(range(0, max(1, len(chats)), CHATS_MAX)):
        yield SnapshotRequest(user, chats[i : i + CHATS_MAX], part)


def account_requests(glimpse: AccountSnapshot, applied: str) -> RedisComparator:
    """Where Redis is, seen from a journal that was read before, up to ``applied``."""
    if glimpse.applied == applied:
        return RedisComparator(is_ahead=False)
    told = f"applied={applied}", f"applied={glimpse.applied}"
    if glimpse.account is None:
        return RedisComparator(
            False, _of_user("missing_account", glimpse, applied, told[0], NOTHING)
        )
    if not _is_entry(glimpse.applied):
        unreadable = cut(repr(glimpse.account))
        return RedisComparator(False, _of_user("account", glimpse, applied, told[0], unreadable))
    if applied and entry_key(glimpse.applied) < entry_key(applied):
        return RedisComparator(False, _of_user("redis_behind", glimpse, applied, *told))
    return RedisComparator(is_ahead=True)


def compare(glimpse: AccountSnapshot, point: Position) -> Iterator[Difference]:
    """What Redis has against the fold at the same entry."""
    if glimpse.part == 0:
        yield from compare_account(glimpse, point)
    yield from compare_chats(glimpse, point)


def compare_late(glimpse: AccountSnapshot, folded: Folded) -> Iterator[Difference]:
    """A glimpse that was ahead against a journal that was read long enough after it."""
    point, applied = folded.points.get(glimpse.applied), folded.replay.applied
    if point is not None:
        yield from compare(glimpse, point)
    elif applied and entry_key(applied) > entry_key(glimpse.applied):
        told = "a row of the journal", "only later ones"
        yield _of_user("missing_entry", glimpse, glimpse.applied, *told)
    else:
        told = f"applied={applied}", f"applied={glimpse.applied}"
        yield _of_user("unsettled", glimpse, glimpse.applied, *told)


def compare_account(glimpse: AccountSnapshot, point: Position) -> Iterator[Difference]:
    """The account, its wallet, and whether it counts as open. Redis is at the point."""
    yield from _account(glimpse, point)
    account = point.account
    # A wallet is written when it changes for the first time.
    expected = wallet_snapshot(account, account.as_of_ms) if account.seq else None
    yield from _document("wallet", glimpse, None, expected, glimpse.wallet)
    if glimpse.is_open != bool(account.chats):
        told = [f"in the set={is_open}" for is_open in (bool(account.chats), glimpse.is_open)]
        yield _of_user("open", glimpse, point.applied, *told)


def compare_chats(glimpse: AccountSnapshot, point: Position) -> Iterator[Difference]:
    """The snapshots that were looked at; one of an ended chat may be gone."""
    for chat_id, raw in glimpse.chats.items():
        chat = point.chats.get(chat_id)
        is_gone = raw is None and (chat is None or chat.ended_at_ms is not None)
        if not is_gone:
            expected = chat_snapshot(chat, chat.as_of_ms) if chat else None
            yield from _document("chat_snapshot", glimpse, chat_id, expected, raw)


def _account(glimpse: AccountSnapshot, point: Position) -> Iterator[Difference]:
    if glimpse.account is None:
        return
    try:
        _, account = unpack_state(glimpse.account, glimpse.user)
    except _UNREADABLE:
        yield _of_user("account", glimpse, point.applied, "an account", "unreadable")
        return
    if account != point.account:
        told = differing(_flat(point.account), _flat(account))
        yield _of_user("account", glimpse, point.applied, *told)


def _document(
    kind: str,
    glimpse: AccountSnapshot,
    chat: str | None,
    expected: Mapping[str, Any] | None,
    raw: bytes | None,
) -> Iterator[Difference]:
    found = _read(raw)
    if found == expected:
        return
    if found is None or expected is None or not isinstance(found, dict):
        told = [NOTHING if it is None else cut(str(it)) for it in (expected, found)]
    else:
        told = list(differing(expected, found))
    yield Difference(kind, glimpse.user, chat, glimpse.applied or None, *told)


def _read(raw: bytes | None) -> Any:
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except _UNREADABLE:
        return f"unreadable: {raw!r}"


def _flat(account: Account) -> dict[str, Any]:
    """Every fact of an account and its open chats by a name of its own."""
    facts = {k: v for k, v in account._asdict().items() if k != "chats"}
    for chat in account.chats.values():
        facts |= {f"{chat.chat_id}.{k}": v for k, v in chat._asdict().items()}
    return facts


def _is_entry(text: str) -> bool:
    try:
        entry_key(text)
    except ValueError:
        return False
    return True


def _of_user(
    kind: str, glimpse: AccountSnapshot, entry: str, expected: str, found: str
) -> Difference:
    return Difference(kind, glimpse.user, None, entry or None, expected, found)
