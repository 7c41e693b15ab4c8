"""Snapshots: what frontends read (PROTOCOL 4). Credits as decimal strings, times as integers."""

from typing import Any

from meterd.rules.billing import active_ms, available, billed_ms, burn_rate, cost, paused_ms
from meterd.rules.exhaustion import Outlook
from meterd.rules.model import NOT_STARTED, Account, Chat, chat_at
from meterd.rules.money import MS_PER_MINUTE, format_micro, read_micro

JsonObject = dict[str, Any]


def chat_snapshot(chat: Chat, at: int) -> JsonObject:
    """The chat as it is at ``at``; of an ended chat, as it last changed."""
    as_of = at if chat.ended_at_ms is None else chat.as_of_ms
    active = active_ms(chat, as_of)
    # Of an adopted chat, what of its cost was paid elsewhere: later refunds need to know.
    carried = (
        {"carried_cost": format_micro(chat.carried_cost_micro)} if chat.carried_cost_micro else {}
    )
    return {
        "chat_id": chat.chat_id,
        "user_id": chat.user_id,
        "advisor_id": chat.advisor_id,
        "status": chat.status,
        "as_of": as_of,
        "started_at": chat.started_at_ms,
        "ended_at": chat.ended_at_ms,
        "end_reason": chat.end_reason,
        "pause_reason": chat.pause_reason,
        "active_ms": active,
        "paused_ms": paused_ms(chat, as_of),
        "billed_ms": billed_ms(chat, active),
        "cost": format_micro(cost(chat, as_of)),
        "refunded": format_micro(chat.refunded_micro),
        "rate": format_micro(chat.rate_micro),
        "free_ms": chat.free_ms,
        "free_scope": chat.free_scope,
        "min_ms": chat.min_ms,
        "increment_ms": chat.increment_ms,
        "increment_due": chat.increment_due,
        "idle_ms": chat.idle_ms,
        "abandon_ms": chat.abandon_ms,
        "max_ms": chat.max_ms,
        "seq": chat.seq,
        **carried,
    }


def wallet_snapshot(account: Account, at: int, seen: Outlook | None = None) -> JsonObject:
    """The account as it is at ``at``.

    Args:
        account: as its last change left it.
        at: a millisecond that is not before that change.
        seen: its outlook at ``at``, if that is known; None: it is computed.
    """
    balance_micro = available(account, at) if seen is None else seen.available_micro
    burn_micro = burn_rate(account, at) if seen is None else seen.burn_rate_micro
    return {
        "user_id": account.user_id,
        "as_of": at,
        "balance": format_micro(balance_micro),
        "burn_rate": format_micro(burn_micro),
        "zero_at": account.zero_at_ms,
        "open_chats": len(account.chats),
        "seq": account.seq,
    }


def not_started(chat_id: str) -> JsonObject:
    """The answer for a chat that never started: an answer, not an error."""
    nobody = chat_at(chat_id, "", 0)._replace(status=NOT_STARTED, seq=0)
    empty = dict.fromkeys(("user_id", "advisor_id", "as_of", "started_at"))
    return {**chat_snapshot(nobody, 0), **empty, "increment_ms": 0}


def no_wallet(user_id: str) -> JsonObject:
    """The answer for an account that never had a credit."""
    return {**wallet_snapshot(Account(user_id), 0), "as_of": None}


def chat_from_snapshot(snapshot: JsonObject) -> Chat:
    """The chat that a snapshot shows, as far as commands for an ended chat need it."""
    carried = read_micro(snapshot.get("carried_cost", "0.000000"))
    charged = read_micro(snapshot["cost"]) - carried
    same = {name: snapshot[name] for name in _AS_SHOWN if name in snapshot}
    return Chat(
        **same,
        as_of_ms=snapshot["as_of"],
        started_at_ms=snapshot["started_at"],
        ended_at_ms=snapshot["ended_at"],
        since_ms=snapshot["as_of"],
        alive_at_ms=snapshot["as_of"],
        rate_micro=read_micro(snapshot["rate"]),
        refunded_micro=read_micro(snapshot["refunded"]),
        owed_rate_ms=charged * MS_PER_MINUTE,
        carried_cost_micro=carried,
    )


_AS_SHOWN = (
    "chat_id",
    "user_id",
    "advisor_id",
    "status",
    "end_reason",
    "pause_reason",
    "active_ms",
    "free_ms",
    "min_ms",
    "increment_ms",
    "idle_ms",
    "seq",
    # Snapshots that version 0.1 wrote do not have these.
    "free_scope",
    "increment_due",
    "abandon_ms",
    "max_ms",
)
