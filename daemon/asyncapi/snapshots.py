"""JSON Schemas of snapshots: what frontends read of chats and wallets."""

from collections.abc import Mapping
from typing import Any, Final

from daemon.asyncapi import words
from daemon.asyncapi.schemas import Schema, text
from meterd.rules.field_formats import FIELD_FORMATS, NAME
from meterd.rules.model import BY_COMMAND, BY_IDLE, ENDED, PAUSED, RUNNING, SUSPENDED
from meterd.rules.snapshots import no_wallet, not_started

_CREDITS: Final[Schema] = {"type": "string", "pattern": r"^[0-9]+\.[0-9]{6}$"}
_WHOLE: Final[Schema] = {"type": "integer", "minimum": 0}
_CHANGES: Final[Schema] = {"type": "integer", "minimum": 1}


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


_CHAT: Final[dict[str, Schema]] = {
    "chat_id": text(FIELD_FORMATS["chat_id"]),
    "user_id": text(FIELD_FORMATS["user_id"]),
    "advisor_id": text(FIELD_FORMATS["advisor_id"]),
    "status": {"type": "string", "enum": [RUNNING, PAUSED, SUSPENDED, ENDED]},
    "as_of": _WHOLE,
    "started_at": _WHOLE,
    "ended_at": _or_null(_WHOLE),
    "end_reason": _or_null(text(NAME)),
    "pause_reason": _or_null({"type": "string", "enum": [BY_COMMAND, BY_IDLE]}),
    "active_ms": _WHOLE,
    "paused_ms": _WHOLE,
    "billed_ms": _WHOLE,
    "cost": _CREDITS,
    "refunded": _CREDITS,
    "rate": _CREDITS,
    "free_ms": _WHOLE,
    "free_scope": text(FIELD_FORMATS["free_scope"]),
    "min_ms": _WHOLE,
    "increment_ms": _CHANGES,
    "increment_due": text(FIELD_FORMATS["increment_due"]),
    "idle_ms": _WHOLE,
    "abandon_ms": _WHOLE,
    "max_ms": _WHOLE,
    "seq": _CHANGES,
    "carried_cost": _CREDITS,
}
_WALLET: Final[dict[str, Schema]] = {
    "user_id": text(FIELD_FORMATS["user_id"]),
    "as_of": _WHOLE,
    "balance": _CREDITS,
    "burn_rate": _CREDITS,
    "zero_at": _or_null(_WHOLE),
    "open_chats": _WHOLE,
    "seq": _WHOLE,
}


def chat() -> Schema:
    """A chat's snapshot."""
    return _snapshot(_CHAT, words.CHAT, not_started(""))


def wallet() -> Schema:
    """An account's snapshot."""
    return _snapshot(_WALLET, words.WALLET, no_wallet(""))


def _snapshot(
    forms: Mapping[str, Schema], about: Mapping[str, str], always: Mapping[str, Any]
) -> Schema:
    meanings = {**words.FIELDS, **about}
    properties = {name: {"description": meanings[name], **form} for name, form in forms.items()}
    return {"type": "object", "properties": properties, "required": list(always)}
