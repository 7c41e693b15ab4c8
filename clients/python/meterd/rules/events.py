"""Every event there is (PROTOCOL 2), with the fields that it has beside those that all have."""

from typing import Final

CHAT_STARTED: Final = "chat.started"
CHAT_PAUSED: Final = "chat.paused"
CHAT_RESUMED: Final = "chat.resumed"
CHAT_RATE_CHANGED: Final = "chat.rate_changed"
CHAT_SUSPENDED: Final = "chat.suspended"
CHAT_ENDED: Final = "chat.ended"
CHAT_REFUNDED: Final = "chat.refunded"
WALLET_TOPPED_UP: Final = "wallet.topped_up"
WALLET_ADJUSTED: Final = "wallet.adjusted"
CREDITS_LOW: Final = "credits.low"
CREDITS_EXHAUSTED: Final = "credits.exhausted"

EVENTS: Final[dict[str, tuple[str, ...]]] = {
    CHAT_STARTED: ("chat_id",),
    CHAT_PAUSED: ("chat_id", "reason"),
    CHAT_RESUMED: ("chat_id",),
    CHAT_RATE_CHANGED: ("chat_id",),
    CHAT_SUSPENDED: ("chat_id",),
    CHAT_ENDED: ("chat_id", "reason"),
    CHAT_REFUNDED: ("chat_id",),
    WALLET_TOPPED_UP: (),
    WALLET_ADJUSTED: (),
    CREDITS_LOW: ("threshold_ms",),
    CREDITS_EXHAUSTED: (),
}
"""Event → its own fields; ``chat_id`` where it is about one chat."""
