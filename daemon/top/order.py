"""In which order the open chats are shown, and the key that chooses it. Pure."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

from daemon.console.chat_now import ChatNow
from meterd.rules.money import read_micro


class Order(StrEnum):
    """What the first chat has most of, or of ``LEFT`` least."""

    NEWEST = "newest"
    COST = "cost"
    TIME = "time"
    BURN = "burn"
    LEFT = "left"


KEYS: Final = {order.value[0]: order for order in Order}
"""The key that chooses an order: its first letter."""


def _left(chat: ChatNow) -> tuple[bool, int]:
    """Those that end by themselves first."""
    return (chat.left_ms is None, chat.left_ms or 0)


_RANKS: Final[dict[Order, Callable[[ChatNow], tuple[bool, int] | int]]] = {
    Order.COST: lambda chat: -read_micro(chat.snapshot["cost"]),
    Order.TIME: lambda chat: -int(chat.snapshot["active_ms"]),
    Order.BURN: lambda chat: -chat.burn_micro,
    Order.LEFT: _left,
}


def ordered(chats: Iterable[ChatNow], order: Order) -> list[ChatNow]:
    """Return the chats, given the newest first, in an order; among equals the newest first."""
    rank = _RANKS.get(order)
    return list(chats) if rank is None else sorted(chats, key=rank)
