"""The chats of a run and the commands for them, encoded before anything is timed.

The workload knows which chats run, so that every command it makes is accepted.
"""

import random
from collections.abc import Sequence
from typing import Final

from loadtests.bench.wire import encode_command

AMPLE: Final = "100000"
"""Credits that outlast any run, at one a minute."""


class EncodedWorkload:
    """Chats that are opened once and then paused and resumed."""

    def __init__(self, name: str, chats_per_account: int = 1, rate: str = "1") -> None:
        """No chats yet; ``name`` stands before the names of all that is made here."""
        self.name = name
        self._chats_per_account = chats_per_account
        self._rate = rate
        self._runs: list[bool] = []
        self._ids = 0
        self._next = 0

    def __len__(self) -> int:
        return len(self._runs)

    def open(self, count: int) -> list[bytes]:
        """Credits for the accounts, then a start for each of so many chats more."""
        chats = range(len(self), len(self) + count)
        self._runs += [True] * count
        accounts = sorted({chat // self._chats_per_account for chat in chats})
        top_ups = [self._command("top_up", user_id=self.user(a), amount=AMPLE) for a in accounts]
        return top_ups + [self._start(chat) for chat in chats]

    def toggles(self, count: int, reply_to: str = "") -> list[bytes]:
        """A pause or a resume for one chat after the other, round after round."""
        return [self._toggle(self._turn(), reply_to) for _ in range(count)]

    def resumes(self) -> list[bytes]:
        """What it takes for all chats to run."""
        return [self._toggle(chat, "") for chat, runs in enumerate(self._runs) if not runs]

    def ends(self) -> list[bytes]:
        """The end of every chat; nothing else is to be made of them afterwards."""
        return [self._command("end", chat_id=self._chat(chat)) for chat in range(len(self))]

    def mixed(self, count: int, reply_to: str = "", seed: int = 1) -> list[bytes]:
        """What chats do: mostly signs of life, now and then a pause and its end; any order."""
        draw = random.Random(seed)
        return [self._any(draw, reply_to) for _ in range(count)]

    def names(self, chat: int) -> tuple[str, str]:
        """A chat and its user."""
        return self._chat(chat), self.user(chat // self._chats_per_account)

    def user(self, account: int) -> str:
        """An account's name."""
        return f"{self.name}u{account}"

    def last_ids(self, count: int) -> Sequence[str]:
        """The ids of the commands made last, in order."""
        return [f"{self.name}k{i}" for i in range(self._ids - count + 1, self._ids + 1)]

    def _any(self, draw: random.Random, reply_to: str) -> bytes:
        chat = draw.randrange(len(self))
        if self._runs[chat] and draw.random() < 0.8:
            return self._command("heartbeat", reply_to, chat_id=self._chat(chat))
        return self._toggle(chat, reply_to)

    def _toggle(self, chat: int, reply_to: str) -> bytes:
        type_ = "pause" if self._runs[chat] else "resume"
        self._runs[chat] = not self._runs[chat]
        return self._command(type_, reply_to, chat_id=self._chat(chat))

    def _turn(self) -> int:
        self._next += 1
        return (self._next - 1) % len(self)

    def _start(self, chat: int) -> bytes:
        user = self.user(chat // self._chats_per_account)
        opening = {"chat_id": self._chat(chat), "user_id": user, "advisor_id": "a"}
        return self._command("start", **opening, rate=self._rate)

    def _chat(self, chat: int) -> str:
        return f"{self.name}c{chat}"

    def _command(self, type_: str, reply_to: str = "", **fields: str) -> bytes:
        self._ids += 1
        named = {"type": type_, "id": f"{self.name}k{self._ids}", **fields}
        return encode_command([*named.items(), *([("reply_to", reply_to)] if reply_to else [])])
