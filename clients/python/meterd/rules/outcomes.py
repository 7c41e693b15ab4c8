"""Every outcome a command can have (PROTOCOL 2), with the sentence a person reads."""

from typing import Final, Literal

Outcome = Literal[
    "ok",
    "invalid_command",
    "id_conflict",
    "unknown_chat",
    "user_mismatch",
    "already_started",
    "already_ended",
    "not_running",
    "not_paused",
    "not_ended",
    "insufficient_credits",
    "exceeds_cost",
    "at_capacity",
    "wrong_partition",
    "internal_error",
]

OK: Final = "ok"
INVALID_COMMAND: Final = "invalid_command"
ID_CONFLICT: Final = "id_conflict"
UNKNOWN_CHAT: Final = "unknown_chat"
USER_MISMATCH: Final = "user_mismatch"
ALREADY_STARTED: Final = "already_started"
ALREADY_ENDED: Final = "already_ended"
NOT_RUNNING: Final = "not_running"
NOT_PAUSED: Final = "not_paused"
NOT_ENDED: Final = "not_ended"
INSUFFICIENT_CREDITS: Final = "insufficient_credits"
EXCEEDS_COST: Final = "exceeds_cost"
AT_CAPACITY: Final = "at_capacity"
WRONG_PARTITION: Final = "wrong_partition"
INTERNAL_ERROR: Final = "internal_error"

NO_COMMAND: Final = (INVALID_COMMAND, WRONG_PARTITION)
"""Outcomes of entries that are no command of their stream; their ids are not remembered."""

MESSAGES: Final[dict[str, str]] = {
    OK: "done",
    INVALID_COMMAND: "the entry is not a command",
    ID_CONFLICT: "this id was used before with other content; send a new id",
    UNKNOWN_CHAT: "no start has been accepted for this chat; send start first",
    USER_MISMATCH: "the chat belongs to another user; check chat_id and user_id",
    ALREADY_STARTED: "the chat was started before; use resume, or another chat_id",
    ALREADY_ENDED: "the chat has ended; start a chat with another chat_id",
    NOT_RUNNING: "pause wants a running chat",
    NOT_PAUSED: "resume wants a paused or suspended chat",
    NOT_ENDED: "refund wants an ended chat; end it first",
    INSUFFICIENT_CREDITS: "the balance does not cover it; top_up first",
    EXCEEDS_COST: "the refund is more than what is left of the chat's cost",
    AT_CAPACITY: "the operator's limit on open chats, or on what waits for PostgreSQL, is reached, "
    "or a Redis server of other partitions is away; try later with a new id",
    WRONG_PARTITION: "the user's account is in another partition",
    INTERNAL_ERROR: "the entry made the daemon fail again and again; it was set aside",
}

_CHAT_UNPAID: Final = (
    "the balance does not cover what the chat owes next, min_ms and increment_ms included; "
    "top_up first"
)
_MESSAGES_OF_TYPE: Final[dict[tuple[str, str], str]] = {
    **{
        (command_type, INSUFFICIENT_CREDITS): _CHAT_UNPAID
        for command_type in ("start", "adopt", "resume", "heartbeat", "set_rate")
    },
    ("adjust", INSUFFICIENT_CREDITS): "the balance is less than the amount to be taken; "
    "adjust by less, or send partial=1 to take what there is",
}
"""The sentence where the cause and the fix depend on the type of the command."""


def message_of(command_type: str, outcome: str) -> str:
    """Return the sentence for an outcome of a command of a type."""
    return _MESSAGES_OF_TYPE.get((command_type, outcome), MESSAGES[outcome])
