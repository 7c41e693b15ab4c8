"""Examples of every message, made by the code that makes the real ones."""

from typing import Any, Final, cast

from meterd.rules import outcomes
from meterd.rules.commands import SHAPES
from meterd.rules.events import EVENTS
from meterd.rules.model import BY_COMMAND, Account, Event, EventName, chat_at
from meterd.rules.snapshots import JsonObject, chat_snapshot, wallet_snapshot
from persistence.redis.commit import event_fields, pack_json

_START_MS: Final = 1_700_000_000_000
_ENTRY: Final = f"{_START_MS}-0"

_VALUES: Final = {
    "id": "start-of-monday",
    "reply_to": "backend-1",
    "chat_id": "monday",
    "user_id": "ann",
    "advisor_id": "bob",
    "rate": "1.50",
    "amount": "10",
    "reason": "goodwill",
    "free_ms": "180000",
    "min_ms": "60000",
    "increment_ms": "1000",
    "idle_ms": "120000",
    "free_scope": "advisor",
    "increment_due": "end",
    "abandon_ms": "600000",
    "max_ms": "7200000",
    "carried_free_ms": "30000",
    "partial": "1",
    "started_at": str(_START_MS - 90_000),
    "carried_ms": "60000",
    "carried_cost": "1.5",
}
_OWN_EVENT_FIELDS: Final[dict[str, Any]] = {
    "chat_id": "monday",
    "reason": BY_COMMAND,
    "threshold_ms": 60_000,
}
_CHAT: Final = chat_at("monday", "ann", _START_MS)._replace(advisor_id="bob", rate_micro=1_500_000)
_ACCOUNT: Final = Account(
    user_id="ann",
    settled_micro=10_000_000,
    announced_ms=None,
    zero_at_ms=_START_MS + 400_000,
    as_of_ms=_START_MS,
    seq=2,
    chats={"monday": _CHAT},
)


def commands(type_: str) -> list[dict[str, str]]:
    """A command with what it needs, and where it may have more one with all of it."""
    shape = SHAPES[type_]
    least = {"type": type_, **{name: _VALUES[name] for name in shape.needs}}
    most = {**least, **{name: _VALUES[name] for name in (*shape.may_have, "reply_to")}}
    return [least, most]


def event(name: str) -> dict[str, str]:
    """An event."""
    own = {field: _OWN_EVENT_FIELDS[field] for field in EVENTS[name]}
    chat_id = own.pop("chat_id", None)
    flat = event_fields(
        Event(
            event=cast("EventName", name),
            at_ms=_START_MS,
            user_id="ann",
            chat_id=chat_id,
            seq=2,
            **own,
        )
    )
    return dict(zip(flat[::2], flat[1::2], strict=True))


def chat() -> JsonObject:
    """A chat that runs."""
    return chat_snapshot(_CHAT, _START_MS)


def wallet() -> JsonObject:
    """The account that pays for it."""
    return wallet_snapshot(_ACCOUNT, _START_MS)


def replies() -> list[dict[str, str]]:
    """One that did it, and one that did not."""
    return [
        {**_reply("start-of-monday", outcomes.OK), "snapshot": pack_json(chat())},
        _reply("start-of-tuesday", outcomes.INSUFFICIENT_CREDITS),
    ]


def dead_letter() -> dict[str, str]:
    """An entry that lacks what it needs."""
    sent = {"type": "pause", "id": "pause-1"}
    reason = "chat_id: missing; pause needs id, chat_id"
    return {
        "entry": _ENTRY,
        "outcome": outcomes.INVALID_COMMAND,
        "reason": reason,
        "fields": pack_json(sent),
    }


def _reply(id_: str, outcome: str) -> dict[str, str]:
    message = outcomes.message_of("start", outcome)
    return {"id": id_, "outcome": outcome, "message": message, "entry": _ENTRY, "replayed": "0"}
