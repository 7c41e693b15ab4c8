"""Examples for the OpenAPI description: of each body that is sent, and of each main answer."""

from typing import Any, Final

from daemon.asyncapi import examples as of_the_queue
from meterd.rules import outcomes

Json = dict[str, Any]

JSON: Final = "application/json"
CSV: Final = "text/csv"
EVENT_STREAM: Final = "text/event-stream"

_AT_MS: Final = 1_700_000_000_000
_ENTRY: Final = f"{_AT_MS}-0"
_NOW: Final = {"now": _AT_MS + 3_000}
_LIVE: Final = {**_NOW, "source": "live", "read_from": "redis"}
_LAST: Final = {"next": None}

_START: Final = {
    "type": "start", "id": "start-of-monday", "chat_id": "monday", "user_id": "ann",
    "advisor_id": "bob", "rate": "1.50",
}  # fmt: skip
_TOP_UP: Final = {"type": "top_up", "id": "payment-1", "user_id": "ann", "amount": "10"}
_END: Final = {
    "operation": "chat.end", "id": "end-17", "reason": "the user asked for it", "chat_id": "monday",
}  # fmt: skip

REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "post_command": {"one": _START, "several": [_TOP_UP, _START]},
    "post_operation": {"end": _END},
}
"""Bodies by their operation, each with a name."""

PROBLEM: Final = {
    "type": "about:blank", "title": "Payment Required", "status": 402,
    "detail": outcomes.message_of("start", outcomes.INSUFFICIENT_CREDITS),
    "code": outcomes.INSUFFICIENT_CREDITS, "outcome": outcomes.INSUFFICIENT_CREDITS,
    "request_id": "7d0b5f0e3c1a4f6f8f5f3a7f0a1b2c3d",
    "id": "start-of-monday", "entry": _ENTRY, "replayed": False,
}  # fmt: skip
"""A command that was refused."""

_CHAT: Final = of_the_queue.chat()
_BURNER: Final = {
    name: _CHAT[name]
    for name in (
        "chat_id", "as_of", "active_ms", "rate", "free_ms", "min_ms", "increment_ms",
        "increment_due",
    )
}  # fmt: skip
_WALLET: Final = {**of_the_queue.wallet(), "running": [_BURNER]}
_REPLY: Final = {
    "id": "start-of-monday", "outcome": outcomes.OK, "message": outcomes.MESSAGES[outcomes.OK],
    "entry": _ENTRY, "replayed": False, "snapshot": _CHAT,
}  # fmt: skip
_LINE: Final = {
    "at": _AT_MS, "event": "chat.started", "why": "start asked for it", "active_ms": 0,
    "cost": "0.000000", "outcome": outcomes.OK, "entry": _ENTRY, "id": "start-of-monday",
}  # fmt: skip
_MOVEMENT: Final = {
    "entry_id": "payment-1", "at": _AT_MS, "kind": "top_up", "amount": "10.000000",
    "chat_id": None, "command_id": "payment-1",
}  # fmt: skip
_ADVISOR: Final = {
    "advisor_id": "bob",
    "open": {"running": 1, "paused": 0, "suspended": 0},
    "burn_rate": "1.500000",
    "totals": {
        "chats": 12, "active_ms": 7_200_000, "billed_ms": 7_200_000, "cost": "180.000000",
        "refunded": "2.500000",
    },
}  # fmt: skip
_USAGE: Final = {
    "user_id": "ann", "chats": 2, "active_ms": 120_000, "billed_ms": 120_000, "cost": "3.000000",
    "charged": "3.000000", "refunded": "0.500000", "adjusted": "0.000000",
    "topped_up": "10.000000",
}  # fmt: skip
_EVENT: Final = {
    "id": _ENTRY, "event": "chat.paused", "at": _AT_MS, "user_id": "ann", "chat_id": "monday",
    "seq": 2, "reason": "command",
}  # fmt: skip
_LETTER: Final = {
    "letter": f"{_AT_MS + 5}-0", "entry": _ENTRY, "outcome": outcomes.INVALID_COMMAND,
    "reason": "chat_id: missing; pause needs id, chat_id",
    "fields": {"type": "pause", "id": "pause-1"},
}  # fmt: skip
_OPERATION: Final = {
    "operation_id": "chat.end:end-17:5f1c0e6d3b2a4978", "at": _AT_MS, "done_by": "eve",
    "operation": "chat.end", "subject": "monday", "reason": "the user asked for it",
    "command_id": "end-17", "details": {"why": "the user asked for it", "command_id": "end-17"},
}  # fmt: skip
_FIGURES: Final = {
    "open_chats": 7, "commands_per_s": 2.5, "queue_lag": 0, "queue_oldest_ms": 0, "pending": 0,
    "outbox": 0, "dead": 0, "memory_bytes": 31_457_280,
    "latency_p50_ms": 4, "latency_p99_ms": 12, "lateness_p99_ms": 3,
}  # fmt: skip
_STATUS: Final = {
    "state": "ready", "state_since": _AT_MS, "why": "", "next_step": None, "alarms": [],
    "environment": "production", "version": "0.2.0", "functions": 10, "recovery": None,
    "open_chats": 7,
    "queue": {
        "lag": 0, "pending": 0, "oldest_ms": 0, "outbox": 0, "outbox_oldest_ms": 0, "refused": 0,
        "dead": 0, "events": 120, "missing": 0, "claimed": 0, "recreated": 0,
        "unanswered": 0, "dead_dropped": 0,
    },
    "recent": _FIGURES,
}  # fmt: skip


def _stream(event: str, data: str) -> Json:
    return {EVENT_STREAM: f"event: {event}\nid: {_ENTRY}\ndata: {data}\n\n"}


_USAGE_CSV: Final = f"{','.join(_USAGE)}\n{','.join(map(str, _USAGE.values()))}\n"
_EVENT_DATA: Final = '{"id": "…", "event": "chat.paused", "at": …, "user_id": "ann", …}'

_HISTORY: Final[Json] = {"archived_until": None, "history": [_LINE]}

ANSWERS: Final[dict[str, Json]] = {
    "read_chat": {JSON: {**_LIVE, "chat_source": "live", **_CHAT, "wallet": _WALLET}},
    "list_chats": {JSON: {**_NOW, "chats": [_CHAT], **_LAST}},
    "read_history": {JSON: {**_NOW, "chat_id": "monday", **_HISTORY, **_LAST}},
    "stream_chat": _stream("snapshot", '{"now": …, "wallet": {…}, "chats": [{…}]}'),
    "stream_chats": _stream("snapshot", '{"now": …, "wallets": [{…}], "chats": [{…}, {…}]}'),
    "stream_advisor": _stream("snapshot", '{"now": …, "wallets": [], "chats": [{…}, {…}]}'),
    "stream_user": _stream("snapshot", '{"now": …, "wallet": {…}, "chats": [{…}, {…}]}'),
    "read_wallet": {JSON: {**_LIVE, **_WALLET}},
    "read_ledger": {JSON: {**_NOW, "entries": [_MOVEMENT], **_LAST}},
    "read_advisor": {JSON: {**_NOW, **_ADVISOR}},
    "read_usage": {
        JSON: {
            **_NOW, "by": "user", "from": _AT_MS - 86_400_000, "to": _AT_MS, "usage": [_USAGE],
            **_LAST,
        },
        CSV: _USAGE_CSV,
    },
    "post_command": {JSON: _REPLY},
    "read_events": {
        JSON: {**_NOW, "events": [_EVENT], "next": _ENTRY},
        **_stream("chat.paused", _EVENT_DATA),
    },
    "read_status": {JSON: {**_NOW, **_STATUS}},
    "read_status_history": {
        JSON: {
            **_NOW, "step_ms": 10_000, "from": _AT_MS - 10_000,
            "series": {name: [None, figure] for name, figure in _FIGURES.items()},
        }
    },
    "list_dead": {JSON: {**_NOW, "letters": [_LETTER], **_LAST}},
    "list_operations": {
        JSON: {
            **_NOW, "operations": [{**_OPERATION, "outcome": outcomes.OK, "entry": _ENTRY}],
            **_LAST,
        }
    },
    "post_operation": {JSON: {**_NOW, "operation": _OPERATION, "reply": _REPLY, "entry": None}},
    "healthz": {JSON: {"status": "ok"}},
    "readyz": {JSON: {"status": "ok", "redis": "up", "postgres": "up"}},
    "read_metrics": {"text/plain": 'meterd_daemon_state{state="ready"} 1\n'},
}  # fmt: skip
"""What is answered with 200, by the operation and the kind of content."""
