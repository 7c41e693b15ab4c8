"""After a play: all that is in Redis and was recorded, against the fold of its commands."""

from typing import Any, cast

import msgspec

from actors.chat.replies import reply_message
from actors.chat.rows import command_row, invalid_row, record_row
from daemon.audit.opening_state import opening_entries
from meterd.rules.commands import Command, InvalidCommand, parse_entry
from meterd.rules.deadlines import next_due
from meterd.rules.opening_balance import openings
from meterd.rules.outcomes import Outcome
from meterd.rules.redis_keys import GROUP
from meterd.rules.snapshots import chat_snapshot, wallet_snapshot
from persistence.postgres.rows import FreeTimeRow, LedgerRow
from persistence.redis.commit import (
    OutboxPayload,
    event_fields,
    ledger_row,
    pack_json,
    pack_state,
    unpack_payload,
    unpack_state,
)
from tests.interleavings.actor_life import KEYS, POLICY_ID
from tests.interleavings.play_context import PlayContext
from tests.interleavings.recorders import RecordedFacts
from tests.world import Result, World


class Expected:
    """What the fold makes of the commands."""

    def __init__(self, context: PlayContext) -> None:
        self.world = World(context.policy)
        self.heads: dict[str, str] = {}
        self.replies: dict[str, list[str]] = {}
        self.events: dict[str, list[list[str]]] = {}
        self.journal: list[Any] = []
        self.ledger: list[Any] = []
        self.dead: list[str] = []
        self.free_times: list[Any] = []
        for user, rows in context.monitor.opened.items():
            self._open(user, rows, context.monitor.free_times.get(user, []))
        for entry, flat in context.log.items():
            self._feed(entry, flat)

    def _open(self, user: str, rows: list[LedgerRow], free_times: list[FreeTimeRow]) -> None:
        """What an account begins with comes before its first command, whenever it came."""
        last = openings(user, opening_entries(rows, free_times))[-1]
        self.heads[user], self.world.accounts[user] = last
        self.ledger += rows
        self.free_times += free_times

    def _feed(self, entry: str, flat: list[bytes]) -> None:
        command, result = parse_entry(entry, flat), self.world.feed(entry, flat)
        for event in result.events:
            self.events.setdefault(event.user_id, []).append(event_fields(event))
        self.ledger += [ledger_row(row) for row in result.ledger]
        if isinstance(command, InvalidCommand):
            self._invalid(command, result)
        else:
            self._command(command, result)

    def _invalid(self, invalid: InvalidCommand, result: Result) -> None:
        self.dead.append(invalid.entry)
        self.journal.append(invalid_row(invalid, result.outcome, POLICY_ID))
        if invalid.reply_to:
            self._reply(invalid.reply_to, result, result.message, "")

    def _command(self, command: Command, result: Result) -> None:
        user = command.user_id or self.world.owner.get(command.chat_id, "")
        if user:
            self.heads[user] = command.entry
        self.journal.append(command_row(command, user, result.outcome, result.replayed, POLICY_ID))
        if command.reply_to:
            snapshot = self._snapshot(command, user)
            self._reply(command.reply_to, result, _message(command.type, result), snapshot)

    def _reply(self, reply_to: str, result: Result, message: str, snapshot: str) -> None:
        told = [
            reply_to, result.id, result.outcome, message, result.entry,
            str(int(result.replayed)), snapshot,
        ]  # fmt: skip
        self.replies[result.entry] = told

    def _snapshot(self, command: Command, user: str) -> str:
        if command.type in ("top_up", "adjust", "settle"):
            return pack_json(wallet_snapshot(self.world.accounts[user], command.at_ms))
        chat = self.world.chat(command.chat_id)
        shown = chat is not None and chat.user_id == user
        return pack_json(chat_snapshot(chat, command.at_ms)) if chat and shown else ""


class Found:
    """What is in Redis, and what recorders have taken out of it."""

    def __init__(self, context: PlayContext, ledger: RecordedFacts) -> None:
        self._client = context.server.client
        names = sorted(key.decode() for key in self._client.keys(f"{KEYS.prefix}*"))  # type: ignore[union-attr]
        self.names = [name.removeprefix(KEYS.prefix) for name in names]
        self.strings = self._read_strings()
        kept = {entry: unpack_payload(f[b"facts"]) for entry, f in self.stream("outbox")}
        self.facts: list[OutboxPayload] = list((ledger.entries | kept).values())

    def stream(self, name: str) -> list[tuple[str, dict[bytes, bytes]]]:
        """A stream's entries."""
        found: Any = self._client.xrange(KEYS.prefix + name)
        return [(entry.decode(), fields) for entry, fields in found]

    def named(self, kind: str) -> dict[str, bytes]:
        """The strings of a kind, by what they are of."""
        return {
            name.removeprefix(f"{kind}:"): value
            for name, value in self.strings.items()
            if name.startswith(f"{kind}:")
        }

    def replies(self) -> list[list[str]]:
        """All replies, in some order."""
        names = [name for name in self.names if name.startswith("reply:")]
        return [
            [name.removeprefix("reply:"), *(_value(f, key) for key in _REPLY)]
            for name in names
            for _, f in self.stream(name)
        ]

    def events(self) -> dict[str, list[list[str]]]:
        """Events by user, in their order."""
        told: dict[str, list[list[str]]] = {}
        for _, fields in self.stream("events"):
            flat = [part.decode() for pair in fields.items() for part in pair]
            told.setdefault(fields[b"user_id"].decode(), []).append(flat)
        return told

    def rows(self, kind: str) -> list[Any]:
        """All rows of a kind for Postgres."""
        return [row for facts in self.facts for row in getattr(facts, kind)]

    def _read_strings(self) -> dict[str, bytes]:
        kinds = ("account:", "chat:", "wallet:", "id:")
        names = [name for name in self.names if name.startswith(kinds)]
        values: Any = self._client.mget([KEYS.prefix + n for n in names]) if names else []
        return dict(zip(names, values, strict=True))


_REPLY = ("id", "outcome", "message", "entry", "replayed", "snapshot")


def check_final_state(context: PlayContext, ledger: RecordedFacts) -> None:
    """Everything is there, once, and as the fold says."""
    context.note_log()
    found = Found(context, ledger)
    expected = Expected(context)
    _check_pending(context)
    _check_state(expected, found)
    _check_told(expected, found)
    _check_rows(expected, found)
    _check_open(context, expected)
    disposed = len(context.monitor.disposed)
    assert len(found.stream("dead")) == len(expected.dead) - disposed, "dead letters"
    assert len(found.rows("operations")) == disposed + context.monitor.releases, "operations"


def check_sanity(context: PlayContext, ledger: RecordedFacts) -> None:
    """Whatever the order: no entry counts twice, and a chat has one life."""
    found = Found(context, ledger)
    journal = [row.stream_id for row in found.rows("journal")]
    assert len(set(journal)) == len(journal), "journal"
    seqs: dict[str, list[int]] = {}
    for _, fields in found.stream("events"):
        if b"chat_id" in fields:
            seqs.setdefault(_value(fields, "chat_id"), []).append(int(fields[b"seq"]))
    # Free time that is shared moves without an event.
    assert all(told == sorted(set(told)) for told in seqs.values()), "lives of chats"
    records = [(row.chat_id, row.seq) for row in found.rows("records")]
    assert len(set(records)) == len(records), "records, each once"


def _check_pending(context: PlayContext) -> None:
    pending: Any = context.server.client.xpending(KEYS.commands, GROUP)
    assert pending["pending"] == 0, "nothing is pending"
    (group,) = context.server.client.xinfo_groups(KEYS.commands)
    assert group["last-delivered-id"].decode() == list(context.log)[-1], "everything was read"


def _check_state(expected: Expected, found: Found) -> None:
    world = expected.world
    accounts = {user: unpack_state(raw, user) for user, raw in found.named("account").items()}
    assert accounts == {u: (expected.heads[u], a) for u, a in world.accounts.items()}, "accounts"
    for user, raw in found.named("account").items():
        assert raw.decode() == pack_state(expected.heads[user], accounts[user][1])
    chats = {chat_id: world.chat(chat_id) for chat_id in world.owner}
    assert _read(found.named("chat")) == {
        k: _plain(chat_snapshot(c, c.as_of_ms)) for k, c in chats.items() if c is not None
    }, "chats"
    assert _read(found.named("wallet")) == {
        u: _plain(wallet_snapshot(a, a.as_of_ms)) for u, a in world.accounts.items() if a.seq
    }, "wallets"
    ids = {k: seen.packed().encode() for k, seen in world.ids.items()}
    assert found.named("id") == ids, "ids"


def _check_told(expected: Expected, found: Found) -> None:
    assert sorted(found.replies()) == sorted(expected.replies.values()), "replies"
    assert found.events() == expected.events, "events"


def _check_rows(expected: Expected, found: Found) -> None:
    journal = sorted(found.rows("journal"), key=lambda row: row.stream_id)
    assert journal == sorted(expected.journal, key=lambda row: row.stream_id), "journal"
    assert sorted(found.rows("ledger"), key=_by_id) == sorted(expected.ledger, key=_by_id), "ledger"
    assert sorted(found.rows("free_times")) == sorted(expected.free_times), "free times"
    records = sorted(found.rows("records"), key=lambda row: row.seq)
    assert len({(r.chat_id, r.seq) for r in records}) == len(records), "records, each once"
    assert {r.chat_id: r for r in records} == {
        k: record_row(chat)
        for k in expected.world.owner
        if (chat := expected.world.chat(k)) is not None
    }, "records"


def _check_open(context: PlayContext, expected: Expected) -> None:
    """Who has open chats is known, and nothing has fallen due that nobody asked for."""
    accounts = expected.world.accounts
    members: Any = context.server.client.smembers(KEYS.open_users)
    assert {m.decode() for m in members} == {u for u, a in accounts.items() if a.chats}, "open"
    for user, account in accounts.items():
        due = next_due(account, context.policy)
        assert due is None or due.at_ms >= context.clock.ms, f"{user} is due, and nobody asked"


def _message(command_type: str, result: Result) -> str:
    return reply_message(command_type, cast("Outcome", result.outcome), result.repeated)


def _by_id(row: Any) -> str:
    return str(row.entry_id)


def _value(fields: dict[bytes, bytes], key: str) -> str:
    return fields.get(key.encode(), b"").decode()


def _read(raws: dict[str, bytes]) -> dict[str, Any]:
    return {key: msgspec.json.decode(raw) for key, raw in raws.items()}


def _plain(document: dict[str, Any]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(document))
