"""Dead letters: entries that can't be a command, or that made the daemon fail again and again."""

import json
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
import redis

from meterd.rules import outcomes
from meterd.rules.partitions import entry_name
from meterd.rules.redis_keys import Keys
from persistence.postgres.rows import OperationRow
from persistence.redis.commit import OutboxPayload, pack_payload
from persistence.redis.functions import call_function, function_name

PAGE: Final = 500

RETRY: Final = "dead.retry"
DROP: Final = "dead.drop"

RESOLVE: Final = function_name("resolve_dead_letter")
"""The function of Redis that resolves a letter."""


class DeadLetter(NamedTuple):
    """One dead letter."""

    letter: str
    """Its own ID in the stream of dead letters."""
    entry: str
    """The stream entry that it was."""
    outcome: str
    reason: str
    fields: dict[str, Any]

    def again(self) -> list[str]:
        """Names and values in turn, as they were sent."""
        pairs = ((k, v) for k, vs in self.fields.items() for v in _listed(vs))
        return [str(part) for pair in pairs for part in pair]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class DeadLetters:
    """The dead letters of one queue, for an operator."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        """Work through ``client``."""
        self._client = client
        self._keys = keys

    def __len__(self) -> int:
        """How many there are."""
        return int(self._client.xlen(self._keys.dead))

    def latest(self, most: int) -> Iterator[DeadLetter]:
        """The latest ones, the latest first."""
        found: Any = self._client.xrevrange(self._keys.dead, count=most)
        return map(read_letter, found)

    def all(self) -> Iterator[DeadLetter]:
        """All of them, the oldest first, page by page."""
        after = "-"
        while True:
            found: Any = self._client.xrange(self._keys.dead, min=after, count=PAGE)
            if not found:
                return
            yield from map(read_letter, found)
            after = f"({found[-1][0].decode()}"

    def find(self, name: str) -> DeadLetter | None:
        """One by its own ID, or by that of the entry it was."""
        if not is_letter_id(name):
            return None
        found: Any = self._client.xrange(self._keys.dead, name, name)
        if found:
            return read_letter(found[0])
        return next((letter for letter in self.all() if letter.entry == name), None)

    def retry(self, letter: DeadLetter, done_by: str) -> str:
        """Send it again as a new command; returns its new entry, empty if the letter is gone.

        Its id is forgotten if it stands for nothing but this failure: else the retry would get
        the first answer again.
        """
        return self._dispose(letter, RETRY, done_by)

    def drop(self, letter: DeadLetter, done_by: str) -> bool:
        """Take it away; False if it is gone already."""
        return bool(self._dispose(letter, DROP, done_by))

    def _dispose(self, letter: DeadLetter, act: str, done_by: str) -> str:
        operation = operation_of(letter, self._keys.partition, act, done_by)
        order = pack_resolution(letter, operation)
        answer = call_function(self._client, "resolve_dead_letter", self._keys, order)
        return str(answer.decode())


def operation_of(
    letter: DeadLetter, partition: int, act: str, done_by: str, **more: Any
) -> OperationRow:
    """What is recorded of an operator's decision about a letter; ``more`` goes into the details."""
    details = {"reason": letter.reason, "outcome": letter.outcome, "fields": letter.fields}
    return OperationRow(
        operation_id=entry_name(act, letter.letter, partition),
        at_ms=time.time_ns() // 1_000_000,
        done_by=done_by,
        operation=act,
        subject=letter.entry,
        details={**details, **more},
    )


def pack_resolution(letter: DeadLetter, operation: OperationRow) -> Any:
    """The argument of ``RESOLVE``: what becomes of the letter, and what is recorded of it.

    The function answers with the new entry (``dead.retry``), ``dropped``, or nothing if the letter
    is gone. Any: redis-py takes no bytes where it takes them.
    """
    failed = letter.outcome == outcomes.INTERNAL_ERROR
    order = {
        "letter": letter.letter,
        "again": letter.again() if operation.operation == RETRY else [],
        "id": str(letter.fields.get("id", "")) if failed else "",
        "facts": pack_payload(OutboxPayload([], [], [], [operation])),
    }
    return msgspec.msgpack.encode(order)


def read_letter(raw: tuple[bytes, dict[bytes, bytes]]) -> DeadLetter:
    """A letter from its entry in the stream of dead letters."""
    name, fields = raw
    return DeadLetter(
        letter=name.decode(),
        entry=_text(fields.get(b"entry", b"")),
        outcome=_text(fields.get(b"outcome", outcomes.INVALID_COMMAND.encode())),
        reason=_text(fields.get(b"reason", b"")),
        fields=_sent(fields.get(b"fields", b"{}")),
    )


def _sent(raw: bytes) -> dict[str, Any]:
    """The fields of the entry. Whoever can write to the stream may have put anything there."""
    try:
        sent = json.loads(raw)
    except ValueError:
        sent = None
    return sent if isinstance(sent, dict) else {"fields": _text(raw)}


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


def is_letter_id(name: str) -> bool:
    """Whether a letter can be called so."""
    ms, _, number = name.partition("-")
    return ms.isdecimal() and (number.isdecimal() or not number)
