"""Streams of commands as Hypothesis makes them, and the fold of a stream.

Times lean towards what falls due: a step may lead to the next due millisecond, one before or one
after it. So the generator asks the rules where to look; what must be there, the tests say.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st

from meterd.rules.billing import cost
from meterd.rules.deadlines import next_due
from meterd.rules.model import (
    AT_ZERO_END,
    AT_ZERO_SUSPEND,
    RULES_VERSION,
    Account,
    Chat,
    ChatStatus,
    FreeScope,
    IncrementDue,
    Policy,
    Tariff,
)
from tests.world import Result, World

T0 = 1_700_000_000_000
HALF = settings(max_examples=settings().max_examples // 2)
"""For properties that break in most streams if they break at all."""
ROOM = 10
"""Entry IDs leave room, so that a test can put entries between any two."""


class Entry(NamedTuple):
    """One entry of the stream."""

    id: str
    flat: tuple[bytes, ...]

    @property
    def at(self) -> int:
        return int(self.id.partition("-")[0])

    @property
    def fields(self) -> dict[str, str]:
        text = [part.decode(errors="replace") for part in self.flat]
        return dict(zip(text[::2], text[1::2], strict=True))


class Stream(NamedTuple):
    """A stream and the policy it is folded under."""

    policy: Policy
    entries: list[Entry]

    @property
    def end(self) -> int:
        return self.entries[-1].at

    @property
    def users(self) -> list[str]:
        return sorted({e.fields.get("user_id", "") for e in self.entries} - {""})


class Run(NamedTuple):
    """A world after a stream, and what each entry imported."""

    world: World
    results: list[Result]


class Scale(NamedTuple):
    """How big the numbers are; rates and amounts in micro-credits."""

    rates: st.SearchStrategy[int]
    amounts: st.SearchStrategy[int]
    free_ms: st.SearchStrategy[int]
    min_ms: st.SearchStrategy[int]
    increment_ms: st.SearchStrategy[int]
    idle_ms: st.SearchStrategy[int]
    max_ms: st.SearchStrategy[int]
    grace_ms: st.SearchStrategy[int]
    warn_ms: st.SearchStrategy[int]
    waits_ms: st.SearchStrategy[int]
    due_ms_max: int
    """How far ahead a due millisecond may be that a step leads to."""


def _some(*values: int, low: int, high: int) -> st.SearchStrategy[int]:
    return st.sampled_from(values) | st.integers(low, high)


HOUR = 3_600_000
ANY = Scale(
    rates=_some(0, 1, 7, 10_000, 10**6, 60 * 10**6, 10**15 - 1, low=0, high=10**7),
    amounts=_some(1, 7, 10**6, 3_333_333, 10**8, 10**15 - 1, low=1, high=10**7),
    free_ms=_some(0, 0, 1, 60_000, 180_000, low=0, high=300_000),
    min_ms=_some(0, 0, 1, 60_000, 90_001, low=0, high=300_000),
    increment_ms=_some(1, 1, 1_000, 60_000, low=1, high=90_000),
    idle_ms=_some(0, 1, 30_000, low=0, high=HOUR),
    max_ms=_some(0, 1, 600_000, low=0, high=2 * HOUR),
    grace_ms=_some(0, 1, 120_000, low=0, high=HOUR),
    warn_ms=_some(0, 1, 30_000, 60_000, 300_000, low=0, high=2 * HOUR),
    waits_ms=_some(0, 1, 59_999, 60_000, low=0, high=90_000) | st.integers(0, 5 * HOUR),
    due_ms_max=30 * 24 * HOUR,
)
SMALL = Scale(  # 60 000 micro-credits a minute are one each millisecond
    rates=_some(0, 7, 20_000, 60_000, low=0, high=200_000),
    amounts=_some(1, 10, 60, low=1, high=150),
    free_ms=_some(0, 0, 1, low=0, high=40),
    min_ms=_some(0, 0, 1, low=0, high=50),
    increment_ms=_some(1, 1, 10, low=1, high=30),
    idle_ms=_some(0, 1, low=0, high=60),
    max_ms=_some(0, 1, low=0, high=100),
    grace_ms=_some(0, 1, low=0, high=50),
    warn_ms=_some(0, 1, 5, low=0, high=60),
    waits_ms=_some(0, 1, low=0, high=40),
    due_ms_max=80,
)
_ROUND = st.integers(0, 3).map(lambda n: 10 * n)
GRID = SMALL._replace(  # in tens, so that much falls due at one millisecond
    rates=st.sampled_from([0, 60_000, 60_000, 120_000]),
    amounts=st.integers(1, 8).map(lambda n: 10 * n),
    free_ms=_ROUND,
    min_ms=_ROUND,
    increment_ms=st.sampled_from([1, 10, 20]),
    idle_ms=_ROUND,
    max_ms=_ROUND.map(lambda ms: 2 * ms),
    grace_ms=_ROUND,
    warn_ms=_ROUND,
    waits_ms=_ROUND,
)

FIRST = ("start", "start", "start", "top_up", "top_up", "top_up", "adopt", "end")
TYPES = (
    *("start", "top_up", "pause", "resume", "set_rate") * 2,
    *("adopt", "heartbeat", "end", "refund", "adjust"),
)
BAD: tuple[dict[str, str], ...] = (
    {"type": "begin", "id": "bad"},
    {"type": "start", "id": "bad", "chat_id": "u1.a"},
    {"type": "top_up", "id": "bad", "user_id": "u1", "amount": "-5"},
    {"type": "pause", "id": "bad", "chat_id": "u1.a\x00"},
    {"type": "end", "id": "bad", "chat_id": "u1.a", "amount": "1"},
)


def as_sent(micro: int) -> str:
    """Micro-credits as a backend would send them, trailing zeros left out."""
    whole, fraction = divmod(micro, 10**6)
    return f"{whole}.{fraction:06d}".rstrip("0").rstrip(".")


def flat(fields: dict[str, str]) -> tuple[bytes, ...]:
    """Fields as the queue gives them."""
    return tuple(part.encode() for pair in fields.items() for part in pair)


_DUES: Final[tuple[IncrementDue, ...]] = ("begin", "end")


@st.composite
def tariffs(draw: st.DrawFn, scale: Scale = ANY) -> Tariff:
    """A tariff; some bill by the millisecond from the start, some share free time."""
    stops = Tariff(
        rate_micro=draw(scale.rates),
        idle_ms=draw(scale.idle_ms) if draw(st.integers(0, 3)) == 0 else 0,
        abandon_ms=draw(scale.idle_ms) if draw(st.integers(0, 5)) == 0 else 0,
        max_ms=draw(scale.max_ms) if draw(st.integers(0, 5)) == 0 else 0,
    )
    form = draw(st.sampled_from(["linear", "increments", "shared"]))
    if form == "linear":
        return stops
    scopes: list[FreeScope] = ["advisor", "user", "chat"] if form == "shared" else ["chat"]
    return stops._replace(
        free_ms=draw(scale.free_ms),
        min_ms=draw(scale.min_ms),
        increment_ms=draw(scale.increment_ms),
        free_scope=draw(st.sampled_from(scopes)),
        increment_due=draw(st.sampled_from(_DUES)),
    )


def policies(scale: Scale = ANY) -> st.SearchStrategy[Policy]:
    """What an operator may set."""
    return st.builds(
        Policy,
        tariff=tariffs(scale),
        at_zero=st.sampled_from([AT_ZERO_END, AT_ZERO_SUSPEND]),
        grace_ms=scale.grace_ms,
        warn_ms=st.lists(scale.warn_ms, max_size=3, unique=True).map(tuple),
        open_chats_max=st.sampled_from([100, 100, 2]),
        rules_version=st.just(RULES_VERSION),
    )


_STATUSES: Final[tuple[ChatStatus, ...]] = ("running", "running", "paused")


@st.composite
def accounts(draw: st.DrawFn, scale: Scale, linear: bool = False) -> Account:
    """An account at T0 with some chats on their way, every one of them affordable so far."""
    chats = {}
    for number in range(1 if linear else draw(st.integers(1, 4))):
        tariff = draw(tariffs(scale))
        if linear:
            tariff = Tariff(draw(scale.rates.filter(bool)))
        active_ms = draw(scale.waits_ms)
        chats[f"c{number}"] = Chat(
            chat_id=f"c{number}",
            user_id="u",
            advisor_id="v",
            status="running" if linear else draw(st.sampled_from(_STATUSES)),
            started_at_ms=T0 - active_ms,
            since_ms=T0,
            as_of_ms=T0,
            alive_at_ms=T0,
            **tariff._asdict(),
            active_ms=active_ms,
            owed_rate_ms=draw(scale.rates) * draw(st.integers(0, 3)),
        )
    spent = sum(chat.owed_rate_ms // 60_000 for chat in chats.values())
    return Account("u", settled_micro=spent + draw(scale.amounts) - 1, chats=chats)


def fold(policy: Policy, entries: Sequence[Entry]) -> Run:
    """The world that a stream makes."""
    world = World(policy)
    return Run(world, [world.feed(entry.id, entry.flat) for entry in entries])


def settle(user_id: str, entry_id: str) -> Entry:
    """What the daemon appends when something of a user falls due."""
    return Entry(entry_id, flat({"type": "settle", "user_id": user_id}))


def settled(stream: Stream, after_ms: int = HOUR) -> Stream:
    """The stream with a settle of every user some time after its end."""
    at = stream.end + after_ms
    ends = [settle(u, f"{at}-{(10**6 + n) * ROOM}") for n, u in enumerate(stream.users or ["u1"])]
    return stream._replace(entries=stream.entries + ends)


class _Writer:
    """Draws a stream entry by entry, with a world beside it that knows what is due."""

    def __init__(self, draw: st.DrawFn, policy: Policy, scale: Scale, others: bool) -> None:
        self.draw, self.scale, self.others = draw, scale, others
        self.world = World(policy)
        self.entries: list[Entry] = []
        self.at = T0

    def open(self, user_id: str) -> None:
        """Credits and some chats at once, so that much can happen to them."""
        for kind in ("top_up", "start", "start", "start"):
            self._append(self._new(user_id, kind))
            self.at += self.draw(self.scale.waits_ms)

    def write(self, user_id: str) -> None:
        """Any one entry, some time later."""
        self.at += self._wait_ms(user_id)
        kind = self.draw(st.sampled_from("nnnnnnnnnnnnnnnnrrcb"))
        past = [e for e in self.entries if self.others or self._of(e) == user_id]
        if kind == "b" and self.others:
            fields = self.draw(st.sampled_from(BAD))
        elif kind == "r" and past:
            fields = self._again(self.draw(st.sampled_from(past)))
        else:
            chats = sorted(k for k, owner in self.world.owner.items() if owner == user_id)
            fields = self._new(user_id, self.draw(st.sampled_from(TYPES if chats else FIRST)))
            if kind == "c" and past:
                fields["id"] = self.draw(st.sampled_from(past)).fields["id"]
        self._append(fields)

    def _append(self, fields: dict[str, str]) -> None:
        entry = Entry(f"{self.at}-{len(self.entries) * ROOM}", flat(fields))
        self.entries.append(entry)
        self.world.feed(entry.id, entry.flat)

    def _again(self, entry: Entry) -> dict[str, str]:
        fields = entry.fields
        if self.draw(st.booleans()):
            fields["reply_to"] = self.draw(st.sampled_from(["r1", "r2"]))
        return fields

    def _of(self, entry: Entry) -> str:
        return entry.fields["id"].partition("-")[0]

    def _wait_ms(self, user_id: str) -> int:
        account = self.world.accounts.get(user_id)
        due = next_due(account, self.world.policy) if account else None
        if due is None or not self.draw(st.booleans()):
            return self.draw(self.scale.waits_ms)
        ahead_ms = due.at_ms - self.at + self.draw(st.integers(-1, 1))
        return min(max(0, ahead_ms), self.scale.due_ms_max)

    def _new(self, user_id: str, kind: str) -> dict[str, str]:
        draw, scale = self.draw, self.scale
        fields = {"type": kind, "id": f"{user_id}-{len(self.entries)}", "user_id": user_id}
        if kind == "top_up":
            return fields | {"amount": as_sent(draw(scale.amounts))}
        if kind == "adjust":
            return fields | self._adjustment()
        opens = kind in ("start", "adopt")
        fields["chat_id"] = self._chat_id(user_id, opens)
        if opens:
            advisor = {"advisor_id": draw(st.sampled_from(["v", "v", "w"]))}
            return fields | advisor | self._tariff() | self._carried(kind)
        if draw(st.booleans()) and (self.others or fields["chat_id"] in self.world.owner):
            del fields["user_id"]
        if kind == "set_rate":
            fields["rate"] = as_sent(draw(scale.rates))
        if kind == "refund":
            fields |= self._refund(user_id, fields["chat_id"])
        return fields

    def _adjustment(self) -> dict[str, str]:
        """Up or down, more than is there as well."""
        amount = self.draw(st.sampled_from(["", "-", "-"])) + as_sent(self.draw(self.scale.amounts))
        partial = self.draw(st.sampled_from([{}, {"partial": "0"}, {"partial": "1"}]))
        return {"amount": amount} | partial

    def _refund(self, user_id: str, chat_id: str) -> dict[str, str]:
        """Of an ended chat if there is one, about as much as it cost."""
        ended = sorted(k for k, chat in self.world.ended.items() if chat.user_id == user_id)
        if ended and self.draw(st.integers(0, 3)) > 0:
            chat_id = self.draw(st.sampled_from(ended))
        chat = self.world.ended.get(chat_id)
        left = cost(chat, chat.as_of_ms) - chat.refunded_micro if chat else 0
        amount = self.draw(st.sampled_from([1, left, left + 1]) | self.scale.amounts)
        return {"chat_id": chat_id, "amount": as_sent(max(1, min(amount, 10**15 - 1)))}

    def _chat_id(self, user_id: str, opens: bool) -> str:
        likely = sorted(k for k, owner in self.world.owner.items() if owner == user_id)
        if likely and not opens and self.draw(st.integers(0, 9)) > 0:
            return self.draw(st.sampled_from(likely))
        owners = [user_id, "u1", "u2"] if self.others else [user_id]
        return f"{self.draw(st.sampled_from(owners))}.{self.draw(st.sampled_from('abcd'))}"

    def _tariff(self) -> dict[str, str]:
        if self.draw(st.integers(0, 3)) == 0:
            return {}
        tariff = self.draw(tariffs(self.scale))
        terms = {name: str(value) for name, value in tariff._asdict().items()}
        del terms["rate_micro"]
        return terms | {"rate": as_sent(tariff.rate_micro)}

    def _carried(self, kind: str) -> dict[str, str]:
        if kind == "start":
            return {}
        carried_ms = self.draw(self.scale.waits_ms)
        carried = {
            "started_at": str(self.at - carried_ms - self.draw(self.scale.waits_ms)),
            "carried_ms": str(carried_ms),
            "carried_cost": as_sent(self.draw(self.scale.amounts)),
        }
        if self.draw(st.booleans()):
            return carried
        free_ms = self.draw(st.sampled_from([0, carried_ms]) | st.integers(0, carried_ms))
        return carried | {"carried_free_ms": str(free_ms)}


@st.composite
def streams(
    draw: st.DrawFn,
    scale: Scale = ANY,
    users: Sequence[str] = ("u1", "u2", "u3"),
    others: bool = True,
    length_max: int = 16,
) -> Stream:
    """A stream of some users' commands.

    With ``others``, users also name each other's chats and ids, and some entries are bad;
    without, chats are each user's own, and so are ids: they begin with the user's.
    """
    policy = draw(policies(scale))
    writer = _Writer(draw, policy, scale, others)
    if draw(st.booleans()):
        writer.open(users[0])
    for _ in range(draw(st.integers(1, length_max))):
        writer.write(draw(st.sampled_from(users)))
    return Stream(policy, writer.entries)
