"""Forged accounts, and forged snapshots of wallets and chats."""

import json
from collections.abc import Callable
from typing import Any

from meterd.rules.model import Account
from persistence.redis.commit import pack_state, unpack_state
from tests.audit.conftest import System
from tests.audit.forging import Forgery, Told, copy, other_type
from tests.engine.harness import KEYS


def _account(**changed: Any) -> Callable[[System], object]:
    def change(system: System) -> None:
        applied, account = _state(system)
        state = pack_state(applied, account._replace(**changed))
        system.client.set(KEYS.account("calm"), state)

    return change


def _account_chat(**changed: Any) -> Callable[[System], object]:
    def change(system: System) -> None:
        _, account = _state(system)
        chat = account.chats["calm.open"]._replace(**changed)
        _account(chats={**account.chats, "calm.open": chat})(system)

    return change


def _state(system: System) -> tuple[str, Account]:
    raw: Any = system.client.get(KEYS.account("calm"))
    return unpack_state(raw, "calm")


def _json(key: str, name: str) -> Callable[[System], object]:
    """One field of a JSON document is another value."""

    def change(system: System) -> None:
        raw: Any = system.client.get(key)
        system.client.set(key, json.dumps({**json.loads(raw), name: "?"}), keepttl=True)

    return change


_ACCOUNT: list[Told] = [("account", "calm", None)]
_OPEN_CHAT: list[Told] = [("chat_snapshot", "calm", "calm.open")]
CHAT_FIELDS = [
    "chat_id", "user_id", "advisor_id", "status", "as_of", "started_at", "ended_at", "end_reason",
    "pause_reason", "active_ms", "paused_ms", "billed_ms", "cost", "refunded", "rate", "free_ms",
    "free_scope", "min_ms", "increment_ms", "increment_due", "idle_ms", "abandon_ms", "max_ms",
    "seq", "unheard_of",
]  # fmt: skip
WALLET_FIELDS = ["user_id", "as_of", "balance", "burn_rate", "zero_at", "open_chats", "seq"]
ACCOUNT_FIELDS = {
    "settled_micro": 1, "announced_ms": 7, "zero_at_ms": 7, "as_of_ms": 7, "seq": 99,
    "chats": {}, "free_used_ms": {"user": 5},
}  # fmt: skip
DOCUMENTS = {
    **{
        f"account-{name}": Forgery(_account(**{name: value}), _ACCOUNT)
        for name, value in ACCOUNT_FIELDS.items()
    },
    "account-chat-owed": Forgery(_account_chat(owed_rate_ms=60_000), _ACCOUNT),
    "account-chat-alive": Forgery(_account_chat(alive_at_ms=9), _ACCOUNT),
    "account-chat-limit": Forgery(_account_chat(free_limit_ms=9), _ACCOUNT),
    "account-type": Forgery(other_type(KEYS.account("calm")), [("missing_account", "calm", None)]),
    "account-unknown": Forgery(
        copy(KEYS.account("calm"), KEYS.account("ghost")), [("unknown_account", "ghost", None)]
    ),
    "account-expires": Forgery(
        lambda s: s.client.pexpire(KEYS.account("calm"), 10**9), [("expiry", "calm", None)]
    ),
    **{
        f"wallet-{name}": Forgery(_json(KEYS.wallet("calm"), name), [("wallet", "calm", None)])
        for name in WALLET_FIELDS
    },
    "wallet-type": Forgery(other_type(KEYS.wallet("calm")), [("wallet", "calm", None)]),
    "wallet-unknown": Forgery(
        copy(KEYS.wallet("calm"), KEYS.wallet("ghost")), [("unknown_wallet", "ghost", None)]
    ),
    "wallet-of-one-who-has-none": Forgery(
        copy(KEYS.wallet("calm"), KEYS.wallet("other")), [("wallet", "other", None)]
    ),
    "wallet-expires": Forgery(
        lambda s: s.client.pexpire(KEYS.wallet("calm"), 10**9), [("expiry", "calm", None)]
    ),
    **{
        f"chat-{name}": Forgery(_json(KEYS.chat("calm.open"), name), _OPEN_CHAT)
        for name in CHAT_FIELDS
    },
    "chat-ended-cost": Forgery(
        _json(KEYS.chat("calm.ended"), "cost"), [("chat_snapshot", "calm", "calm.ended")]
    ),
    "chat-ended-refunded": Forgery(
        _json(KEYS.chat("calm.ended"), "refunded"), [("chat_snapshot", "calm", "calm.ended")]
    ),
    "chat-carried": Forgery(
        _json(KEYS.chat("calm.old"), "carried_cost"), [("chat_snapshot", "calm", "calm.old")]
    ),
    "chat-garbled": Forgery(lambda s: s.client.set(KEYS.chat("calm.open"), "{"), _OPEN_CHAT),
    "chat-type": Forgery(other_type(KEYS.chat("calm.open")), _OPEN_CHAT),
    "chat-unknown": Forgery(
        copy(KEYS.chat("calm.open"), KEYS.chat("ghost.1")), [("unknown_chat", None, "ghost.1")]
    ),
    "chat-refused-at-its-start": Forgery(
        copy(KEYS.chat("calm.open"), KEYS.chat("nobody.s")), [("unknown_chat", None, "nobody.s")]
    ),
    "chat-expires": Forgery(
        lambda s: s.client.pexpire(KEYS.chat("calm.open"), 10**9), [("expiry", None, "calm.open")]
    ),
    "open-type": Forgery(
        other_type(KEYS.open_users), [("key", None, None), ("open", "calm", None)], is_alone=False
    ),
}
