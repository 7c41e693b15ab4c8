"""Everything that is left after a run, read past all proxies: what the checker judges."""

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import redis
from sqlalchemy import Connection, select

from meterd import Meter
from meterd.rules.model import Policy
from meterd.rules.redis_keys import GROUP
from persistence.postgres import reader
from persistence.postgres.engine import make_engine
from persistence.postgres.rows import JournalRow, LedgerRow, RecordRow
from persistence.postgres.tables import chat_time_records, ledger_entries
from tests.chaos.load import Client
from tests.chaos.queue_log import QueueLog, whole_stream
from tests.load import KEYS, Entry

USER_ROWS_MAX = 10_000_000


@dataclasses.dataclass
class Evidence:
    """Facts only; ``checker`` draws the conclusions."""

    policy: Policy
    stream: list[Entry]
    """The commands stream, all of it, ``settle`` included."""
    log: list[Entry] = dataclasses.field(default_factory=list)
    """What clients were told had been taken."""
    uncertain: list[dict[str, str]] = dataclasses.field(default_factory=list)
    """What clients sent without learning whether it was taken."""
    replies: list[dict[str, str]] = dataclasses.field(default_factory=list)
    journal: list[JournalRow] = dataclasses.field(default_factory=list)
    records: dict[str, RecordRow] = dataclasses.field(default_factory=dict)
    ledger: list[LedgerRow] = dataclasses.field(default_factory=list)
    wallets: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    events: list[list[str]] = dataclasses.field(default_factory=list)
    dead: list[str] = dataclasses.field(default_factory=list)
    snapshots: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    unfinished: dict[str, int] = dataclasses.field(default_factory=dict)
    """How much is pending, in the outbox, set aside as refused: all should be 0."""
    lost: set[str] = dataclasses.field(default_factory=set)
    """Entries that somebody took out of the stream before they were handled."""
    moved: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    """Entries that an operator's decision gave another ID."""
    read_again: Counter[str] = dataclasses.field(default_factory=Counter)
    """Entries that were read again because the group was destroyed, and how often."""
    handled_again: Counter[str] = dataclasses.field(default_factory=Counter)
    """How often an entry was handled again, because PostgreSQL had forgotten it."""
    noticed: int = 0
    """How many entries the daemon has missed, and how often it made its group again."""
    stale_writers: list[str] = dataclasses.field(default_factory=list)
    """Actors whose epoch is over and who could write all the same."""


def collect(
    client: redis.Redis,
    redis_url: str,
    postgres_url: str,
    clients: Sequence[Client],
    policy: Policy,
    queue_log: QueueLog,
) -> Evidence:
    """Read all of it; nothing may move any more."""
    evidence = Evidence(policy, stream=[], uncertain=[*queue_log.foreign])
    evidence.moved, evidence.read_again = queue_log.moved, queue_log.read_again
    evidence.handled_again = queue_log.handled_again
    for each in clients:
        each.read_replies()
        evidence.log += each.log
        evidence.uncertain += each.uncertain
        evidence.replies += each.replies
    _from_redis(client, evidence)
    _from_postgres(postgres_url, evidence)
    current = stream_entries(client, KEYS.commands)
    evidence.stream, evidence.lost = whole_stream(queue_log, current, evidence.journal)
    _snapshots(redis_url, postgres_url, clients, evidence)
    return evidence


def _from_redis(client: redis.Redis, evidence: Evidence) -> None:
    pairs = stream_entries(client, KEYS.events)
    evidence.events = [[word for pair in fields.items() for word in pair] for _, fields in pairs]
    evidence.dead = [fields.get("entry", "") for _, fields in stream_entries(client, KEYS.dead)]
    pending: Any = client.xpending(KEYS.commands, GROUP)
    outbox: Any = client.xlen(KEYS.outbox)
    refused: Any = client.xlen(f"{KEYS.outbox}:refused")
    evidence.unfinished = {"pending": pending["pending"], "outbox": outbox, "refused": refused}
    progress: Any = client.hmget(KEYS.progress, "missing", "recreated")
    evidence.noticed = sum(int(number or 0) for number in progress)
    for key in client.scan_iter(match=KEYS.wallet("*"), count=1000):
        raw: Any = client.get(key)
        wallet = msgspec.json.decode(raw)
        evidence.wallets[wallet["user_id"]] = wallet


def _from_postgres(url: str, evidence: Evidence) -> None:
    engine = make_engine(url)
    with engine.connect() as connection:
        evidence.journal = list(reader.journal_since(connection, 0))
        chats = connection.scalars(select(chat_time_records.c.chat_id)).all()
        evidence.records = reader.fetch_records(connection, chats)
        evidence.ledger = _ledger(connection)
    engine.dispose()


def _ledger(connection: Connection) -> list[LedgerRow]:
    users = connection.scalars(select(ledger_entries.c.user_id).distinct()).all()
    return [row for user in users for row in reader.ledger_of_user(connection, user, USER_ROWS_MAX)]


def _snapshots(
    redis_url: str, postgres_url: str, clients: Sequence[Client], evidence: Evidence
) -> None:
    """As a backend asks, of every chat that anybody ever named."""
    with Meter(redis_url, postgres_url) as meter:
        for chat in sorted({chat for client in clients for chat in client.chats}):
            answer = meter.snapshot(chat)
            evidence.snapshots[chat] = {
                "status": answer.status, "active_ms": answer.active_ms,
                "cost": f"{answer.cost:.6f}", "seq": answer.seq,
            }  # fmt: skip


def stream_entries(client: redis.Redis, key: str) -> list[Entry]:
    """All of a stream, page by page."""
    found: list[Entry] = []
    after = "-"
    while page := _page(client, key, after):
        found += [
            (entry.decode(), {k.decode(): v.decode() for k, v in fields.items()})
            for entry, fields in page
        ]
        after = f"({found[-1][0]}"
    return found


def _page(client: redis.Redis, key: str, after: str) -> list[Any]:
    page: Any = client.xrange(key, min=after, count=5_000)
    return list(page)


def save(evidence: Evidence, folder: Path) -> None:
    """Write it down, a file for each kind, so that it can be looked at later."""
    folder.mkdir(exist_ok=True)
    for field in dataclasses.fields(evidence):
        value = getattr(evidence, field.name)
        rows = value.items() if isinstance(value, dict) else value
        with contextlib.suppress(TypeError), (folder / f"{field.name}.jsonl").open("w") as file:
            file.writelines(json.dumps(row, default=str) + "\n" for row in rows)
