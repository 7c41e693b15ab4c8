"""What operators and machines do in a play: holds, dead letters, servers that start again."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec
import redis

from meterd.rules.model import Account
from meterd.rules.opening_balance import opened, opening_entry, opening_number
from persistence.postgres.rows import OperationRow
from persistence.redis.commit import OutboxPayload, pack_payload, unpack_state
from persistence.redis.opening_balances import Opening, pack_opening
from tests.interleavings.lives import KEYS
from tests.interleavings.stage import Choice, Stage
from tests.interleavings.traffic import USERS

OPENED = (*USERS, "quiet")
"""Users who had something elsewhere; one of them never does anything here."""


class Operators:
    """Decisions of people, each now and then sent twice."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._count = 0
        self._looked: dict[str, tuple[str, Account]] = {}

    def choices(self) -> Iterator[Choice]:
        """What has to come, that due changes go on."""
        if self._stage.witness.is_held:
            yield Choice(0.5, "release", self._release)

    def mishaps(self) -> Iterator[Choice]:
        """What may come next."""
        yield Choice(0.3, "open", self._open)
        yield Choice(0.15, "hold", self._hold)
        yield Choice(0.15, "dispose", self._dispose)
        yield Choice(0.1 * (1 - self._stage.shape.calm), "restart", self._restart)

    def _open(self) -> None:
        """An account is opened with what its user had elsewhere, or that is mended.

        Now and then by somebody who looked at the account a while ago.
        """
        rng, user = self._stage.rng, self._stage.rng.choice(OPENED)
        raw = self._stage.server.one("GET", KEYS.account(user))
        head, account = unpack_state(raw, user)
        if account.seq == (opening_number(head) or 0):
            self._looked[user] = head, account
        if user in self._looked:
            packed = self._opening(*self._looked[user], rng.choice([0, 20, 200]))
            with contextlib.suppress(redis.ResponseError):
                self._call("meterd_open_accounts", packed)

    def _opening(self, head: str, account: Account, balance: int) -> bytes:
        number, at = (opening_number(head) or 0) + 1, self._stage.clock.ms
        amount = balance - account.settled_micro
        entry = opening_entry(account.user_id, number, amount, at)
        return pack_opening(Opening(head, opened(account, number, amount, at), entry))

    def _hold(self) -> None:
        """The clock has stepped: an operator has to decide."""
        if not self._stage.witness.is_held:
            self._stage.server.one("SET", KEYS.clock_hold, "{}")
            self._stage.witness.is_held = True
            self._stage.witness.holds += 1

    def _release(self) -> None:
        self._often(partial(self._call, "meterd_release", self._facts()))

    def _dispose(self) -> None:
        """A dead letter is sent again or dropped."""
        letters: Any = self._stage.server.one("XRANGE", KEYS.dead, "-", "+")
        if letters:
            letter, fields = self._stage.rng.choice(letters)
            self._often(partial(self._call, "meterd_dispose", self._order(letter, fields)))

    def _order(self, letter: bytes, fields: dict[bytes, bytes]) -> bytes:
        sent = msgspec.json.decode(fields[b"fields"])
        flat = [part for pair in sent.items() for part in pair]
        again = flat if self._stage.rng.random() < 0.5 else []
        order = {"letter": letter.decode(), "facts": self._facts(), "again": again, "id": ""}
        return msgspec.msgpack.encode(order)

    def _often(self, act: Any) -> None:
        for _ in range(self._stage.rng.choice([1, 2])):
            act()

    def _call(self, function: str, order: str | bytes) -> None:
        self._stage.server.one("FCALL", function, 1, KEYS.commands, order)

    def _facts(self) -> str:
        self._count += 1
        row = OperationRow(f"o{self._count}", self._stage.clock.ms, "me", "decide", "it", {})
        return pack_payload(OutboxPayload([], [], [], [row]))

    def _restart(self) -> None:
        """As if the server had been started again: its functions remember nothing."""
        (listed,) = self._stage.server.one("FUNCTION", "LIST", "LIBRARYNAME", "meterd", "WITHCODE")
        code = dict(zip(listed[::2], listed[1::2], strict=True))[b"library_code"]
        self._stage.server.one("FUNCTION", "LOAD", "REPLACE", code)
        self._stage.witness.is_sworn = False
