"""What is answered, made of what is stored: pure. Shapes are those of docs/http.md."""

from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec

from meterd.rules import outcomes
from meterd.rules.commands import InvalidCommand, parse_entry
from meterd.rules.exhaustion import zero_at
from meterd.rules.fold import apply
from meterd.rules.model import RUNNING, Account, Chat, Policy
from meterd.rules.money import format_micro
from meterd.rules.snapshots import (
    JsonObject,
    chat_snapshot,
    no_wallet,
    not_started,
    wallet_snapshot,
)
from persistence.redis.commit import is_readable, unpack_state

ReadFrom = Literal["redis", "postgres", "legacy", "none"]
REDIS: Final = "redis"
POSTGRES: Final = "postgres"
LEGACY_TABLES: Final = "legacy"
NOWHERE: Final = "none"
_SOURCE_OF_0_1: Final = {
    REDIS: b"live", POSTGRES: b"record", LEGACY_TABLES: b"legacy", NOWHERE: b"none",
}  # fmt: skip
"""What version 0.1 says for ``read_from``, as ``source``."""

RUNNING_MAX: Final = 100

_encode: Final = msgspec.json.Encoder().encode


class Owner(msgspec.Struct):
    """Whose a chat is, out of its snapshot, and by which steps it is billed."""

    user_id: str
    advisor_id: str
    increment_ms: int


owner_of: Final = msgspec.json.Decoder(Owner).decode


def pack(document: Any) -> bytes:
    """As JSON."""
    return _encode(document)


def origin_json(read_from: ReadFrom) -> bytes:
    """Where an answer was read, as fields of it."""
    return b'"source":"%s","read_from":"%s"' % (_SOURCE_OF_0_1[read_from], read_from.encode())


def join(
    now_ms: int, read_from: ReadFrom, source: str | None, snapshot: bytes, wallet: bytes | None
) -> bytes:
    """A chat's answer out of parts that are JSON already: this is asked for most.

    ``source`` is the chat's own, as records have it: ``live``, ``migrated``, ``legacy``.
    """
    return b'{"now":%d,%s,"chat_source":%s,%s,"wallet":%s}' % (
        now_ms,
        origin_json(read_from),
        b"null" if source is None else b'"%s"' % source.encode(),
        snapshot[1:-1],
        wallet or b"null",
    )


def never_started(now_ms: int, chat_id: str) -> bytes:
    """The answer for a chat that never started, and for one that is not the caller's."""
    return join(now_ms, NOWHERE, None, pack(not_started(chat_id)), None)


def wallet_json(wallet: bytes | None, account: bytes | None, user_id: str) -> bytes:
    """A wallet as Redis has it, with what its balance falls by."""
    state = None if wallet is None else readable_account(account, user_id)
    return wallet_of(wallet, state, user_id)


def wallet_of(wallet: bytes | None, account: Account | None, user_id: str) -> bytes:
    """Like ``wallet_json``, of an account that was read."""
    if wallet is None:
        return pack({**no_wallet(user_id), "running": []})
    running = [] if account is None else running_of(account)
    return b'%s,"running":%s}' % (wallet[:-1], pack(running))


def readable_account(raw: bytes | None, user_id: str) -> Account | None:
    """An account as Redis has it; None of one that can't be read."""
    _, account = unpack_state(raw, user_id)
    return account if is_readable(account) else None


def wallet_object(account: Account, at: int) -> JsonObject:
    """A wallet as the rules make it."""
    return {**wallet_snapshot(account, at), "running": running_of(account)}


def running_of(account: Account) -> list[JsonObject]:
    """What the balance falls by: the running chats, each as far as its cost depends on time."""
    chats = sorted(account.chats.values())
    return [_burner(c) for c in chats if c.status == RUNNING and c.rate_micro][:RUNNING_MAX]


def _burner(chat: Chat) -> JsonObject:
    return {
        "chat_id": chat.chat_id,
        "as_of": chat.since_ms,
        "active_ms": chat.active_ms,
        "rate": format_micro(chat.rate_micro),
        "free_ms": chat.free_ms,
        "min_ms": chat.min_ms,
        "increment_ms": chat.increment_ms,
        "increment_due": chat.increment_due,
    }


def account_of_records(user_id: str, settled: int, chats: Iterable[Chat], at: int) -> Account:
    """An account out of its ledger and its open chats' records, as of the last of them.

    Fractions of a micro-credit are not in the records: ``zero_at`` may be a millisecond late.
    """
    account = Account(user_id, settled, as_of_ms=at, chats={c.chat_id: c for c in chats})
    return account._replace(zero_at_ms=zero_at(account, at))


def record_snapshot(chat: Chat) -> JsonObject:
    """The snapshot of a chat out of its record."""
    return chat_snapshot(chat, chat.as_of_ms)


def what_if(account: Account, rate: str, policy: Policy, now_ms: int) -> JsonObject:
    """How long the account would last if one more chat started now: by the rules of a start.

    Raises:
        ValueError: the rate can't be one; the message says why.
    """
    at = max(now_ms, account.as_of_ms)
    flat = ["type", "start", "id", "what-if", "chat_id", _unused(account), "rate", rate]
    flat += ["user_id", account.user_id, "advisor_id", "what-if"]
    start = parse_entry(f"{at}-0", [part.encode(errors="replace") for part in flat])
    if isinstance(start, InvalidCommand):
        raise ValueError(start.reason)
    decision = apply(account, start, policy)
    if decision.outcome != outcomes.OK:
        return {"rate": format_micro(start.numbers["rate"]), "zero_at": at, "left_ms": 0}
    end = decision.account.zero_at_ms
    left_ms = None if end is None else end - at
    return {"rate": format_micro(start.numbers["rate"]), "zero_at": end, "left_ms": left_ms}


def _unused(account: Account) -> str:
    """The id of a chat that the account does not have."""
    taken, number = account.chats, 0
    while f"what-if-{number}" in taken:
        number += 1
    return f"what-if-{number}"
