"""As many rows of the owner's shape as wanted, ugly ones among them; seeded."""

import random
from typing import Any

from sqlalchemy import Connection, text

_BEGIN_S = 1_763_000_000
_CHAT = "INSERT INTO chat VALUES (:chat, :user, :advisor, to_timestamp(:began), :duration)"
_RECORD = (
    'INSERT INTO "conversationTimeRecord" ("userId", "advisorId", "chatId", duration,'
    ' "creditsUsed", "freeTimeUsed", "isActive", timestamp, "lastHeartbeatTime") VALUES (:user,'
    " :advisor, :chat, :duration, :credits, :free, false, to_timestamp(:began),"
    " to_timestamp(:seen))"
)
_USER = 'INSERT INTO "user" VALUES (:user, :credits) ON CONFLICT DO NOTHING'


def fill(connection: Connection, pairs: int, seed: int) -> None:
    """Write pairs of which nothing runs: with sums that agree, that do not, and impossible ones."""
    dice = random.Random(seed)
    for number in range(pairs):
        gap = " " if dice.random() < 0.05 else "-"  # an advisor's name with a space can't be one
        whose = {"user": f"old-{number // 3}", "advisor": f"adviser{gap}{number}"}
        chats = list(_chats(dice, number))
        records = list(_records(dice, number, chats))
        _put(connection, _USER, [{**whose, "credits": dice.choice([-1, 0, 2.5, 70])}])
        _put(connection, _CHAT, [{**whose, **chat} for chat in chats])
        _put(connection, _RECORD, [{**whose, **record} for record in records])


def _put(connection: Connection, sql: str, values: list[dict[str, Any]]) -> None:
    if values:
        connection.execute(text(sql), values)


def _chats(dice: random.Random, number: int) -> Any:
    for place in range(dice.randrange(4)):
        yield {
            "chat": f"old-chat-{number}-{place}",
            "began": _BEGIN_S + number * 3_600 + place * dice.choice([0, 600]),
            "duration": dice.choice([0, 45, 120, 600, -5]) if dice.random() < 0.3 else 300,
        }


def _records(dice: random.Random, number: int, chats: list[dict[str, Any]]) -> Any:
    names = [chat["chat"] for chat in chats] + [f"old-gone-{number}"]
    rest = max(0, sum(chat["duration"] for chat in chats))
    for place in range(dice.randrange(3) if chats else dice.randrange(2)):
        duration = rest if dice.random() < 0.7 else dice.choice([0, 75, 4_000, -30])
        rest = max(0, rest - duration)
        began = _BEGIN_S + number * 3_600 + place * dice.choice([0, 300])
        yield {
            "chat": dice.choice(names[-2:]),
            "duration": duration,
            "credits": dice.choice([0, 0.25, 2.25, 11]),
            "free": dice.choice([0, 30, 60]),
            "began": began,
            "seen": began + dice.choice([0, duration]),
        }
