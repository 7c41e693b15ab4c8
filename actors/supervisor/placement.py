"""Which chat lives on which actor.

Every chat gets an actor of its own while there are fewer chats than ``actors_max``; beyond that
chats share, an account's chats on one actor where that is no worse than the least loaded one by
much. ``chats_per_actor`` = 1 is the strict form: then there is no room beyond ``actors_max``.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

SKEW_MAX: Final = 16
"""By how many chats an actor may exceed the least loaded one to keep an account together."""


MOVES_MAX: Final = 500
"""How many chats change their actor at once, so that nobody waits long for it."""

LOOKED_AT_MAX: Final = 2_000
"""How many chats are looked at for that."""


class Move(NamedTuple):
    """A chat that was moved, and between which actors."""

    chat: str
    user: str
    before: str
    after: str


class Placement:
    """The tables of actors, chats and users. Names only: no processes in here."""

    def __init__(self, actors_max: int, chats_per_actor: int) -> None:
        """Begin without actors."""
        self.actors_max = actors_max
        self.chats_per_actor = chats_per_actor
        self._chats: dict[str, tuple[str, str]] = {}
        self._by_actor: dict[str, dict[str, None]] = {}
        self._by_user: dict[str, set[str]] = {}
        self._last: dict[str, str] = {}
        self._reserved: set[str] = set()

    def actors(self) -> list[str]:
        """All actors by name, in the order they came."""
        return list(self._by_actor)

    def add_actor(self, actor: str) -> None:
        """A new actor, without chats."""
        self._by_actor[actor] = {}

    def warm_actors(self) -> int:
        """How many actors stand ready without a chat."""
        return sum(1 for chats in self._by_actor.values() if not chats)

    def sharing(self) -> int:
        """How many chats have no actor of their own."""
        return len(self._chats) - sum(1 for chats in self._by_actor.values() if chats)

    def may_grow(self) -> bool:
        """Whether there may be one actor more."""
        return len(self._by_actor) < self.actors_max

    def chats_on(self, actor: str) -> dict[str, str]:
        """The actor's chats with their users."""
        return {chat: self._chats[chat][0] for chat in self._by_actor[actor]}

    def load(self, actor: str) -> int:
        """How many chats the actor has."""
        return len(self._by_actor[actor])

    def first_on(self, actor: str, most: int) -> list[str]:
        """The chats that have been on the actor for longest."""
        return list(islice(self._by_actor[actor], most))

    def open_chats(self) -> int:
        """How many chats are placed."""
        return len(self._chats)

    def places_left(self) -> int:
        """How many chats more there is room for, actors yet to be started included."""
        return self.actors_max * self.chats_per_actor - len(self._chats)

    def user_of(self, chat: str) -> str | None:
        """Whose chat it is, if it is placed."""
        found = self._chats.get(chat)
        return found[0] if found else None

    def actor_of(self, chat: str) -> str | None:
        """Where the chat lives, if it is placed."""
        found = self._chats.get(chat)
        return found[1] if found else None

    def is_reserved(self, chat: str) -> bool:
        """Whether the chat is placed, and not known to be open yet."""
        return chat in self._reserved

    def choose(self, user: str, ready: Collection[str]) -> str | None:
        """An actor among ``ready`` for a new chat of ``user``; None if none has room.

        An empty one if there is any; else, where chats share, the account's own or the least
        loaded one.
        """
        least = min(self._with_room(ready), key=self.load, default=None)
        if least is None or self.load(least) == 0:
            return least
        together = self.home(user)
        if together is None or together not in ready:
            return least
        if self.load(together) <= self.load(least) + SKEW_MAX:
            return together if self.load(together) < self.chats_per_actor else least
        return least

    def least_loaded(self) -> str:
        """The actor with the fewest chats, whether there is room or not."""
        return min(self._by_actor, key=self.load)

    def empty_actors(self) -> list[str]:
        """The actors without a chat."""
        return [actor for actor, chats in self._by_actor.items() if not chats]

    def give_own(self, actor: str, is_quiet: Callable[[str], bool]) -> Move | None:
        """Move a chat that shares its actor to the empty ``actor``; None if none can be moved.

        Only chats of accounts that are quiet: nothing of theirs may be on its way.
        """
        crowded = max(self._by_actor, key=self.load)
        if self.load(crowded) <= 1:
            return None
        for chat in self._by_actor[crowded]:
            user = self._chats[chat][0]
            if chat not in self._reserved and is_quiet(user):
                return self._move(chat, actor)
        return None

    def even_out(self, ready: Collection[str], is_quiet: Callable[[str], bool]) -> list[Move]:
        """Move chats from the most to the least loaded actor of ``ready`` if they are far apart.

        What was opened before an actor was ready does not stay on others for ever. Only chats of
        accounts that are quiet, and what an account has on an actor goes together.
        """
        if not ready:
            return []
        crowded, calm = max(ready, key=self.load), min(ready, key=self.load)
        apart = self.load(crowded) - self.load(calm)
        if apart <= max(2 * SKEW_MAX, self.load(crowded) // 4):
            return []
        moves: list[Move] = []
        for chats in self._movable(crowded, is_quiet):
            if len(moves) + len(chats) > min(apart // 2, MOVES_MAX):
                continue
            moves += [self._move(chat, calm) for chat in chats]
        return moves

    def _movable(self, actor: str, is_quiet: Callable[[str], bool]) -> Iterator[list[str]]:
        """What quiet accounts have on an actor, account by account."""
        there = self._by_actor[actor]
        first = islice(there, LOOKED_AT_MAX)
        for user in dict.fromkeys(self._chats[chat][0] for chat in list(first)):
            chats = sorted(chat for chat in self._by_user[user] if chat in there)
            if is_quiet(user) and self._reserved.isdisjoint(chats):
                yield chats

    def _move(self, chat: str, after: str) -> Move:
        user, before = self._chats[chat]
        del self._by_actor[before][chat]
        self._chats[chat] = (user, after)
        self._by_actor[after][chat] = None
        return Move(chat, user, before, after)

    def home(self, user: str) -> str | None:
        """An actor that has chats of the user: the one that handled it last, if it still has."""
        mine = {self._chats[chat][1] for chat in self._by_user.get(user, ())}
        last = self._last.get(user)
        return last if last in mine else min(mine, default=None)

    def place(self, chat: str, user: str, actor: str, reserved: bool = False) -> None:
        """The chat lives on ``actor`` from now on; ``reserved``: until it is known to be open."""
        self._chats[chat] = (user, actor)
        self._by_actor[actor][chat] = None
        self._by_user.setdefault(user, set()).add(chat)
        self._last.setdefault(user, actor)
        if reserved:
            self._reserved.add(chat)

    def last_of(self, user: str) -> str | None:
        """The actor that decided for the user last, while the user has chats."""
        return self._last.get(user)

    def handled_by(self, user: str, actor: str) -> None:
        """The actor decided for the user last: it knows the account as it is."""
        if user in self._by_user:
            self._last[user] = actor

    def sync(self, user: str, open_chats: Iterable[str]) -> None:
        """What is open of a user, as an actor found it."""
        now = set(open_chats)
        self._reserved -= now
        for chat in self._by_user.get(user, set()) - now - self._reserved:
            self.release(chat)

    def drop_reservation(self, chat: str) -> None:
        """The chat that was reserved for did not open."""
        if chat in self._reserved:
            self.release(chat)

    def release(self, chat: str) -> None:
        """The chat has ended: its place is free."""
        user, actor = self._chats.pop(chat)
        del self._by_actor[actor][chat]
        self._reserved.discard(chat)
        mine = self._by_user[user]
        mine.discard(chat)
        if not mine:
            del self._by_user[user]
            self._last.pop(user, None)

    def _with_room(self, ready: Collection[str]) -> Iterator[str]:
        return (
            actor
            for actor, chats in self._by_actor.items()
            if actor in ready and len(chats) < self.chats_per_actor
        )
