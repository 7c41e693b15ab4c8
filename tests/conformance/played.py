"""The contract's examples as entries of a real stream, and what a real daemon made of them.

Examples are laid into one stream, each with names of its own (``example/u1``), either one after
another or all at once, entries of all of them mixed in the order of their milliseconds. At each
example's ``as_of`` come a ``settle`` for its users and a ``start`` for its chats that is bound to
be refused: their replies show wallets and chats as they are at that millisecond.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import redis
from sqlalchemy import Engine

from meterd.rules.commands import entry_key
from meterd.rules.money import format_micro
from meterd.rules.redis_keys import Keys
from persistence.postgres import reader
from tests.conformance import Example

DAY_MS = 86_400_000
KEYS = Keys()
REPLY_TO = "conformance"
IDENTIFIERS = ("id", "chat_id", "user_id", "advisor_id")
RECORD = (
    "chat_id", "user_id", "advisor_id", "status", "started_at", "ended_at", "end_reason",
    "active_ms", "paused_ms", "billed_ms", "cost", "refunded", "rate",
    "free_ms", "free_scope", "increment_due", "abandon_ms", "max_ms",
)  # fmt: skip


class Laid(NamedTuple):
    """An example with its names and its place in time."""

    example: Example
    shift_ms: int

    @property
    def as_of(self) -> int:
        return int(self.example["as_of"]) + self.shift_ms

    def named(self, name: str) -> str:
        return f"{self.example['name']}/{name}"

    def plain(self, name: str | None) -> str | None:
        return name and name.removeprefix(f"{self.example['name']}/")


Timed = tuple[int, dict[str, str]]


def one_after_another(examples: Iterable[Example]) -> list[Laid]:
    """Each example days after the one before."""
    return [Laid(example, i * 3 * DAY_MS) for i, example in enumerate(examples)]


def all_at_once(examples: Iterable[Example]) -> list[Laid]:
    """All examples in the same hours."""
    return [Laid(example, 0) for example in examples]


def entries(laid: Iterable[Laid], cleared: bool) -> list[Timed]:
    """What to XADD, in order. ``cleared``: chats are ended after each example."""
    timed = [entry for one in laid for entry in (*_given(one), *_questions(one, cleared))]
    return sorted(timed, key=lambda entry: entry[0])


def _given(one: Laid) -> Iterable[Timed]:
    for ms, fields in one.example["entries"]:
        named = {k: one.named(v) if k in IDENTIFIERS and v else v for k, v in fields.items()}
        if re.fullmatch("[0-9]+", named.get("started_at", "")):
            named["started_at"] = str(int(named["started_at"]) + one.shift_ms)
        yield ms + one.shift_ms, {**named, "reply_to": REPLY_TO}


def _questions(one: Laid, cleared: bool) -> Iterable[Timed]:
    for user in one.example["expect"]["wallets"]:
        yield one.as_of, _question(one, "settle", f"wallet.{user}", user_id=one.named(user))
    for chat, record in one.example["expect"]["records"].items():
        who = {"chat_id": one.named(chat), "user_id": one.named(record["user_id"])}
        yield one.as_of, _question(one, "start", f"chat.{chat}", **who, advisor_id="v")
        if cleared and record["status"] != "ended":
            yield one.as_of + 1, _question(one, "end", f"clear.{chat}", **who)


def _question(one: Laid, type_: str, id_: str, **fields: str) -> dict[str, str]:
    return {"type": type_, "id": one.named(id_), "reply_to": REPLY_TO, **fields}


def preload(client: redis.Redis, timed: Iterable[Timed]) -> None:
    """Put the entries into the stream, with their milliseconds as IDs."""
    last, number = 0, 0
    pipeline = client.pipeline(transaction=False)
    for ms, fields in timed:
        number = number + 1 if ms == last else 0
        last = ms
        pipeline.xadd(KEYS.commands, fields, id=f"{ms}-{number}")  # type: ignore[arg-type]
    pipeline.execute()


class Found(NamedTuple):
    """What the daemon made of the stream."""

    replies: list[dict[str, str]]
    events: list[dict[str, str]]


def find(client: redis.Redis, keys: Keys = KEYS) -> Found:
    """Replies and events as the streams of a partition have them."""
    replies: Any = client.xrange(keys.reply(REPLY_TO))
    events: Any = client.xrange(keys.events)
    return Found([_text(fields) for _, fields in replies], [_text(fields) for _, fields in events])


def _text(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {k.decode(): v.decode() for k, v in fields.items()}


def assert_as_the_example_says(one: Laid, found: Found, engine: Engine) -> None:
    """Replies, events, wallets, chats, records and ledger equal the example's."""
    expect = one.example["expect"]
    mine = [r for r in found.replies if r["id"].startswith(one.named(""))]
    mine.sort(key=lambda reply: entry_key(reply["entry"]))
    answers = {one.plain(r["id"]): r for r in mine}
    asked = ("wallet.", "chat.", "clear.")
    outcomes = [
        [one.plain(r["id"]), r["outcome"]]
        for r in mine
        if not (one.plain(r["id"]) or "").startswith(asked)
    ]
    # An entry with an empty id is told from others' by nothing; it is checked on its own.
    assert outcomes == [pair for pair in expect["outcomes"] if pair[0]]
    assert _events(one, found) == _expected_events(one)
    for user, wallet in expect["wallets"].items():
        shown = json.loads(answers[f"wallet.{user}"]["snapshot"])
        shown["zero_at"] = shown["zero_at"] and shown["zero_at"] - one.shift_ms
        assert {k: shown[k] for k in wallet} == wallet
    for chat, record in expect["records"].items():
        shown = json.loads(answers[f"chat.{chat}"]["snapshot"])
        assert _plain_record(one, {name: shown[name] for name in RECORD}) == record
    _assert_postgres(one, engine)


def _events(one: Laid, found: Found) -> dict[str, list[dict[str, Any]]]:
    told: dict[str, list[dict[str, Any]]] = {}
    for event in found.events:
        at = int(event["at"])
        if event["user_id"].startswith(one.named("")) and at < one.as_of:
            plain: dict[str, Any] = {"event": event["event"], "at": at - one.shift_ms}
            plain["user_id"] = one.plain(event["user_id"])
            plain["chat_id"] = one.plain(event.get("chat_id"))
            if "reason" in event:
                plain["reason"] = event["reason"]
            if "threshold_ms" in event:
                plain["threshold_ms"] = int(event["threshold_ms"])
            told.setdefault(plain["user_id"], []).append(plain)
    return told


def _expected_events(one: Laid) -> dict[str, list[dict[str, Any]]]:
    told: dict[str, list[dict[str, Any]]] = {}
    for event in one.example["expect"]["events"]:
        told.setdefault(event["user_id"], []).append(event)
    return told


def _plain_record(one: Laid, shown: dict[str, Any]) -> dict[str, Any]:
    for name in ("chat_id", "user_id", "advisor_id"):
        shown[name] = one.plain(shown[name])
    for name in ("started_at", "ended_at"):
        shown[name] = shown[name] and shown[name] - one.shift_ms
    return shown


def _assert_postgres(one: Laid, engine: Engine) -> None:
    expect = one.example["expect"]
    with engine.connect() as connection:
        rows = reader.fetch_records(connection, [one.named(c) for c in expect["records"]])
        ledger = [
            entry
            for user in expect["wallets"]
            for entry in reader.ledger_of_user(connection, one.named(user), 1_000)
            if entry.at_ms < one.as_of
        ]
    assert len(rows) == len(expect["records"])
    for chat, record in expect["records"].items():
        if record["status"] == "ended":
            assert _plain_record(one, _record(rows[one.named(chat)])) == record
    told = sorted(
        (
            one.plain(e.user_id),
            one.plain(e.chat_id) or "",
            e.kind,
            format_micro(e.amount_micro),
            e.at_ms - one.shift_ms,
        )
        for e in ledger
    )
    assert told == sorted(
        (e["user_id"], e["chat_id"] or "", e["kind"], e["amount"], e["at"])
        for e in expect["ledger"]
    )


def _record(row: Any) -> dict[str, Any]:
    same = (
        "chat_id",
        "user_id",
        "advisor_id",
        "status",
        "end_reason",
        "active_ms",
        "paused_ms",
        "billed_ms",
        "free_ms",
        "free_scope",
        "increment_due",
        "abandon_ms",
        "max_ms",
    )
    return {name: getattr(row, name) for name in same} | {
        "started_at": row.started_at_ms,
        "ended_at": row.ended_at_ms,
        "cost": format_micro(row.cost_micro),
        "refunded": format_micro(row.refunded_micro),
        "rate": format_micro(row.rate_micro),
    }
