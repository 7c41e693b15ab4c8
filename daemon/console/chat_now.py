"""An open chat as it is now: what its snapshot says, carried on by the rules."""

from typing import Any, NamedTuple

from meterd.rules.billing import active_ms, burns
from meterd.rules.model import RUNNING, Chat
from meterd.rules.snapshots import chat_from_snapshot, chat_snapshot


class ChatNow(NamedTuple):
    """A chat at a moment, if nothing else has happened to it since its snapshot."""

    snapshot: dict[str, Any]
    """As in the contract, with time and cost up to that moment."""
    burn_micro: int
    """Micro-credits a minute that it costs in the next millisecond."""
    left_ms: int | None
    """Until its credits or its limit end it, in ms; None if neither does."""


def chat_now(snapshot: dict[str, Any], now_ms: int, zero_at: int | None) -> ChatNow:
    """Carry a snapshot on to now; the cost may be a micro-credit less than the daemon's.

    Args:
        snapshot: the chat's, as in the contract.
        now_ms: the queue's clock.
        zero_at: when the credits of its account end, from the wallet; None: never, or not known.
    """
    if snapshot["status"] != RUNNING:
        return ChatNow(snapshot, 0, None)
    chat = chat_from_snapshot(snapshot)
    stops_ms = [at for at in (_limit_ms(chat), _zero_ms(chat, zero_at)) if at is not None]
    # A daemon that is late decides later, but for the moment at which it fell due.
    at_ms = max(chat.since_ms, min([now_ms, *stops_ms]))
    carried_on = {**snapshot, **chat_snapshot(chat, at_ms)}
    burn_micro = chat.rate_micro if burns(chat, at_ms) else 0
    return ChatNow(carried_on, burn_micro, min(stops_ms) - at_ms if stops_ms else None)


def _limit_ms(chat: Chat) -> int | None:
    """When its limit ends it."""
    return chat.since_ms + chat.max_ms - chat.active_ms if chat.max_ms else None


def _zero_ms(chat: Chat, zero_at: int | None) -> int | None:
    """When the end of the credits stops it: only if its next millisecond costs then."""
    if zero_at is None or zero_at < chat.since_ms or not burns(chat, zero_at):
        return None
    assert active_ms(chat, zero_at) >= chat.active_ms, "time goes on"
    return zero_at
