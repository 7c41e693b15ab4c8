"""What Redis has of one user against the fold."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from daemon.audit.differences import NOTHING, Difference, cut, differing
from daemon.audit.folding import Folded, Position
from meterd.rules.commands import entry_key, is_entry_id
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


def account_requests(snapshot: AccountSnapshot, applied: str) -> RedisComparator:
    """Where Redis is, seen from a journal that was read before, up to ``applied``."""
    if snapshot.applied == applied:
        return RedisComparator(is_ahead=False)
    told = f"applied={applied}", f"applied={snapshot.applied}"
    if snapshot.account is None:
        return RedisComparator(
            False, _of_user("missing_account", snapshot, applied, told[0], NOTHING)
        )
    if not is_entry_id(snapshot.applied):
        unreadable = cut(repr(snapshot.account))
        return RedisComparator(False, _of_user("account", snapshot, applied, told[0], unreadable))
    if applied and entry_key(snapshot.applied) < entry_key(applied):
        return RedisComparator(False, _of_user("redis_behind", snapshot, applied, *told))
    return RedisComparator(is_ahead=True)


def compare(snapshot: AccountSnapshot, point: Position) -> Iterator[Difference]:
    """What Redis has against the fold at the same entry."""
    if snapshot.part == 0:
        yield from compare_account(snapshot, point)
    yield from compare_chats(snapshot, point)


def compare_late(snapshot: AccountSnapshot, folded: Folded) -> Iterator[Difference]:
    """A account snapshot that was ahead against a journal that was read long enough after it."""
    point, applied = folded.points.get(snapshot.applied), folded.replay.applied
    if point is not None:
        yield from compare(snapshot, point)
    elif applied and entry_key(applied) > entry_key(snapshot.applied):
        told = "a row of the journal", "only later ones"
        yield _of_user("missing_entry", snapshot, snapshot.applied, *told)
    else:
        told = f"applied={applied}", f"applied={snapshot.applied}"
        yield _of_user("unsettled", snapshot, snapshot.applied, *told)


def compare_account(snapshot: AccountSnapshot, point: Position) -> Iterator[Difference]:
    """The account, its wallet, and whether it counts as open. Redis is at the point."""
    yield from _account(snapshot, point)
    account = point.account
    # A wallet is written when it changes for the first time.
    expected = wallet_snapshot(account, account.as_of_ms) if account.seq else None
    yield from _document("wallet", snapshot, None, expected, snapshot.wallet)
    if snapshot.is_open != bool(account.chats):
        told = [f"in the set={is_open}" for is_open in (bool(account.chats), snapshot.is_open)]
        yield _of_user("open", snapshot, point.applied, *told)


def compare_chats(snapshot: AccountSnapshot, point: Position) -> Iterator[Difference]:
    """The snapshots that were looked at; one of an ended chat may be gone."""
    for chat_id, raw in snapshot.chats.items():
        chat = point.chats.get(chat_id)
        is_gone = raw is None and (chat is None or chat.ended_at_ms is not None)
        if not is_gone:
            expected = chat_snapshot(chat, chat.as_of_ms) if chat else None
            yield from _document("chat_snapshot", snapshot, chat_id, expected, raw)


def _account(snapshot: AccountSnapshot, point: Position) -> Iterator[Difference]:
    if snapshot.account is None:
        return
    try:
        _, account = unpack_state(snapshot.account, snapshot.user)
    except _UNREADABLE:
        yield _of_user("account", snapshot, point.applied, "an account", "unreadable")
        return
    if account != point.account:
        told = differing(_flat(point.account), _flat(account))
        yield _of_user("account", snapshot, point.applied, *told)


def _document(
    kind: str,
    snapshot: AccountSnapshot,
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
    yield Difference(kind, snapshot.user, chat, snapshot.applied or None, *told)


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


def _of_user(
    kind: str, snapshot: AccountSnapshot, entry: str, expected: str, found: str
) -> Difference:
    return Difference(
        kind=kind,
        user=snapshot.user,
        chat=None,
        entry=entry or None,
        expected=expected,
        found=found,
    )
