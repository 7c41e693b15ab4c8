"""What backends send in a play: every type, ids used again, nonsense, others' chats."""

import random

Fields = dict[str, str]

USERS = ("u1", "u2", "u3")
CHATS = ("a1", "a2", "a3", "b1", "b2", "c1")
_OWNER = {"a": "u1", "b": "u2", "c": "u3"}
_TARIFFS: tuple[Fields, ...] = (
    {"rate": "0.06"},
    {"rate": "0.06", "free_ms": "10"},
    {"rate": "0.12", "increment_ms": "20"},
    {"rate": "0.06", "idle_ms": "30"},
    {"rate": "0", "idle_ms": "25"},
    {"rate": "0.06", "free_ms": "40", "free_scope": "advisor"},
    {"rate": "0.06", "free_ms": "60", "free_scope": "user", "max_ms": "50"},
    {"rate": "0.12", "increment_ms": "20", "increment_due": "end", "abandon_ms": "40"},
)  # 0.06 credits a minute are one micro-credit a millisecond
_ODDS = {
    "start": 24, "top_up": 18, "pause": 8, "resume": 8, "heartbeat": 5, "set_rate": 4, "end": 7,
    "refund": 4, "adopt": 3, "adjust": 5, "again": 7, "conflict": 5, "bad": 6, "stray": 4,
}  # fmt: skip


class Traffic:
    """Random commands; ids are numbered."""

    def __init__(self, rng: random.Random, opening: int = 3) -> None:
        self._rng = rng
        self._opening = opening
        self._count = 0
        self._sent: list[Fields] = []

    def next(self, now: int) -> Fields:
        """The fields of the next entry, sent at ``now``."""
        fields = self._fields(now)
        if self._rng.random() < 0.6:
            fields["reply_to"] = self._rng.choice(["r1", "r2"])
        self._sent.append(fields)
        return fields

    def _fields(self, now: int) -> Fields:
        if self._count < self._opening:
            return self._top_up()
        (kind,) = self._rng.choices(list(_ODDS), list(_ODDS.values()))
        if kind in ("again", "conflict", "bad", "stray"):
            return self._odd(kind)
        if kind == "top_up":
            return self._top_up()
        if kind == "adjust":
            return self._adjust()
        return self._of_chat(kind, now)

    def _odd(self, kind: str) -> Fields:
        before = dict(self._rng.choice(self._sent))
        before.pop("reply_to", None)
        if kind == "bad":
            return before | self._rng.choice([{"colour": "red"}, {"type": "fly"}, {"id": "no id"}])
        if kind == "stray":
            return self._new("pause", chat_id=self._rng.choice(["x1", "x2"]))
        if kind == "conflict":
            return self._of_chat("heartbeat", 0) | {"id": before.get("id", "k0")}
        return before

    def _top_up(self) -> Fields:
        user = USERS[self._count] if self._count < self._opening else self._rng.choice(USERS)
        amount = self._rng.choice(["0.00002", "0.00008", "0.0003"])
        return self._new("top_up", user_id=user, amount=amount)

    def _adjust(self) -> Fields:
        amount = self._rng.choice(["0.00002", "-0.00001", "-0.00004", "-1"])
        partial = self._rng.choice(["0", "1"])
        return self._new("adjust", user_id=self._rng.choice(USERS), amount=amount, partial=partial)

    def _of_chat(self, kind: str, now: int) -> Fields:
        chat = self._rng.choice(CHATS)
        fields = self._new(kind, chat_id=chat)
        if kind in ("start", "adopt"):
            # Now and then somebody else wants a chat of this name.
            user = self._rng.choice(USERS) if self._rng.random() < 0.2 else _OWNER[chat[0]]
            fields |= {"user_id": user, "advisor_id": "v"} | self._rng.choice(_TARIFFS)
        elif self._rng.random() < 0.2:
            fields["user_id"] = self._rng.choice(USERS)
        return fields | self._rest(kind, now)

    def _rest(self, kind: str, now: int) -> Fields:
        if kind == "adopt":
            return {"started_at": str(now - 50), "carried_ms": "20", "carried_cost": "0.00001"} | (
                self._rng.choice([{}, {"carried_free_ms": "10"}])
            )
        if kind == "refund":
            return {"amount": self._rng.choice(["0.000001", "0.00001", "1"])}
        if kind == "set_rate":
            return {"rate": self._rng.choice(["0", "0.06", "0.6"])}
        return {}

    def _new(self, kind: str, **fields: str) -> Fields:
        self._count += 1
        return {"type": kind, "id": f"k{self._count}", **fields}
