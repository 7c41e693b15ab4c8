"""What operators and machines do in a play: holds, dead letters, servers that start again."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec
import redis

from meterd.rules.model import Account
from meterd.rules.opening_balance import OpeningEntry, opened, opening_entry, opening_number
from persistence.postgres.rows import FreeTimeRow, OperationRow
from persistence.redis.commit import OutboxPayload, pack_payload, unpack_state
from persistence.redis.functions import function_name, library_name
from persistence.redis.opening_balances import Opening, pack_opening
from tests.interleavings.actor_life import KEYS
from tests.interleavings.play_context import Choice, PlayContext
from tests.interleavings.traffic import USERS

OPENED = (*USERS, "quiet")
"""Users who had something elsewhere; one of them never does anything here."""


class Operators:
    """Decisions of people, each now and then sent twice."""

    def __init__(self, context: PlayContext) -> None:
        self._context = context
        self._count = 0
        self._looked: dict[str, tuple[str, Account]] = {}

    def choices(self) -> Iterator[Choice]:
        """What has to come, that due changes go on."""
        if self._context.monitor.is_held:
            yield Choice(0.5, "release", self._release)

    def mishaps(self) -> Iterator[Choice]:
        """What may come next."""
        yield Choice(0.3, "open", self._open)
        yield Choice(0.15, "hold", self._hold)
        yield Choice(0.15, "dispose", self._dispose)
        yield Choice(0.1 * (1 - self._context.options.calm), "restart", self._restart)

    def _open(self) -> None:
        """An account is opened with what its user had elsewhere, or that is fixed.

        Now and then by somebody who looked at the account a while ago.
        """
        rng, user = self._context.rng, self._context.rng.choice(OPENED)
        raw = self._context.server.one("GET", KEYS.account(user))
        head, account = unpack_state(raw, user)
        if account.seq == (opening_number(head) or 0):
            self._looked[user] = head, account
        if user in self._looked:
            packed = self._opening(*self._looked[user], rng.choice([0, 20, 200]))
            with contextlib.suppress(redis.ResponseError):
                self._call(function_name("open_accounts"), packed)

    def _opening(self, head: str, account: Account, balance: int) -> bytes:
        number, at = (opening_number(head) or 0) + 1, self._context.clock.ms
        amount = balance - account.settled_micro
        used = self._context.rng.choice([{}, {"advisor:v": 15}, {"user": 5, "advisor:v": 30}])
        entry = opening_entry(account.user_id, number, amount, at) if amount or not used else None
        rows = [FreeTimeRow(account.user_id, number, k, ms, at) for k, ms in used.items()]
        step = OpeningEntry(number, amount, at, used)
        return pack_opening(Opening(head, opened(account, step), entry, rows))

    def _hold(self) -> None:
        """The clock has stepped: an operator has to decide."""
        if not self._context.monitor.is_held:
            self._context.server.one("SET", KEYS.clock_hold, "{}")
            self._context.monitor.is_held = True
            self._context.monitor.holds += 1

    def _release(self) -> None:
        self._often(partial(self._call, function_name("clear_hold"), self._facts()))

    def _dispose(self) -> None:
        """A dead letter is sent again or dropped."""
        letters: Any = self._context.server.one("XRANGE", KEYS.dead, "-", "+")
        if letters:
            letter, fields = self._context.rng.choice(letters)
            self._often(
                partial(
                    self._call, function_name("resolve_dead_letter"), self._order(letter, fields)
                )
            )

    def _order(self, letter: bytes, fields: dict[bytes, bytes]) -> bytes:
        sent = msgspec.json.decode(fields[b"fields"])
        flat = [part for pair in sent.items() for part in pair]
        again = flat if self._context.rng.random() < 0.5 else []
        order = {"letter": letter.decode(), "facts": self._facts(), "again": again, "id": ""}
        return msgspec.msgpack.encode(order)

    def _often(self, act: Any) -> None:
        for _ in range(self._context.rng.choice([1, 2])):
            act()

    def _call(self, function: str, order: str | bytes) -> None:
        self._context.server.one("FCALL", function, 1, KEYS.commands, order)

    def _facts(self) -> str:
        self._count += 1
        row = OperationRow(f"o{self._count}", self._context.clock.ms, "me", "decide", "it", {})
        return pack_payload(OutboxPayload([], [], [], [row]))

    def _restart(self) -> None:
        """As if the server had been started again: its functions remember nothing."""
        (listed,) = self._context.server.one(
            "FUNCTION", "LIST", "LIBRARYNAME", library_name(), "WITHCODE"
        )
        code = dict(zip(listed[::2], listed[1::2], strict=True))[b"library_code"]
        self._context.server.one("FUNCTION", "LOAD", "REPLACE", code)
        self._context.monitor.is_verified = False
