"""A database as a daemon would have filled it from a stream, with a partition up to a cut."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from actors.chat.rows import command_row, invalid_row, record_row
from daemon.audit.folding import Folding, Position
from meterd.rules.commands import Command, InvalidCommand, parse_entry
from meterd.rules.model import Chat, Policy
from meterd.rules.partitions import Partition, partition_of
from meterd.rules.replay import foreign_chat
from meterd.rules.snapshots import chat_snapshot
from persistence.postgres import partitions, reader
from persistence.postgres.layout import fetch_partitions, write_partitions
from persistence.postgres.rows import JournalRow, LedgerRow
from persistence.postgres.writer import put_policy, write_batch
from persistence.redis.commit import ledger_row, policy_document
from tests.rules.strategies import T0, Entry, Stream, flat
from tests.world import Result, World

_TABLES = (
    "chat_time_records, ledger_entries, command_journal, policies, operations, opening_states,"
    " journal_archives, layout"
)


class Account(NamedTuple):
    """All that a fold makes of a user, as far as it is seen anywhere."""

    applied: str
    account: object
    records: Mapping[str, object]
    snapshots: Mapping[str, object]


def empty(connection: Connection) -> None:
    """Take out what an earlier example has left."""
    connection.execute(text("SET session_replication_role = replica"))
    names = [one.name for one in partitions.partitions(connection)]
    partitions.drop_partitions(connection, names)
    connection.execute(text(f"TRUNCATE {_TABLES}"))


def partition_up_to(connection: Connection, cut_ms: int, from_ms: int = 0) -> None:
    """Make a partition that ends at any millisecond."""
    begin = f"'{from_ms}'" if from_ms else "MINVALUE"
    connection.execute(
        text(
            f"CREATE TABLE command_journal_to_{cut_ms} PARTITION OF command_journal"
            f" FOR VALUES FROM ({begin}) TO ('{cut_ms}')"
        )
    )


class PartitionWorld(World):
    """The fold of one partition beside others: a chat id is one user's in all of them."""

    def __init__(self, policy: Policy, partition: Partition, owners: dict[str, str]) -> None:
        super().__init__(policy, partition)
        self._has_user = partition.has
        self._owners = owners

    def chat(self, chat_id: str) -> Chat | None:
        owner = self._owners.get(chat_id, "")
        is_elsewhere = owner and not self._has_user(owner)
        return foreign_chat(chat_id, owner, "1-0") if is_elsewhere else super().chat(chat_id)

    def feed(self, entry: str, flat: Sequence[bytes]) -> Result:
        result = super().feed(entry, flat)
        self._owners.update(self.owner)
        return result


def sent_to(entry: Entry, partitions: int) -> int:
    """The partition that an entry is sent to: its user's; of nobody's, any."""
    return partition_of(entry.fields.get("user_id", entry.id), partitions)


def fill(engine: Engine, stream: Stream, cuts_ms: tuple[int, ...], partitions: int = 1) -> None:
    """Write what the stream makes, into nothing but the table's partitions that end so.

    ``partitions``: of the queue; each entry is in that of its user.
    """
    with engine.begin() as connection:
        empty(connection)
        write_partitions(connection, partitions)
        for from_ms, cut_ms in zip((0, *cuts_ms), cuts_ms, strict=False):
            partition_up_to(connection, cut_ms, from_ms)
        put_policy(connection, "p", policy_document(stream.policy))
    write_on(engine, stream, 0, partitions)


def write_on(engine: Engine, stream: Stream, begin: int, partitions: int = 1) -> None:
    """Write what the stream's entries make, from the one numbered ``begin`` on.

    One partition of the queue after the other: streams have no common order, so that a chat may be
    unknown in one though another has it from an earlier entry on.
    """
    owners = dict[str, str]()
    all_ = [Partition(number, partitions) for number in range(partitions)]
    worlds = [PartitionWorld(stream.policy, one, owners) for one in all_]
    journals, ledger = [list[JournalRow]() for _ in all_], list[LedgerRow]()
    sent = [(sent_to(entry, partitions), place) for place, entry in enumerate(stream.entries)]
    for number, place in sorted(sent):
        entry = stream.entries[place]
        world = worlds[number]
        command, before = parse_entry(entry.id, entry.flat, all_[number]), dict(world.owner)
        result = world.feed(entry.id, entry.flat)
        if place >= begin:
            ledger += [ledger_row(one, number) for one in result.ledger]
            journals[number].append(_row(command, before, result))
    chats = [world.chat(chat_id) for world in worlds for chat_id in world.owner]
    records = [record_row(chat) for chat in chats if chat is not None]
    with engine.begin() as connection:
        write_batch(connection, records, ledger, [])
        for number, journal in enumerate(journals):
            write_batch(connection, [], [], journal, partition=number)


def _row(
    command: Command | InvalidCommand, owners: Mapping[str, str], result: Result
) -> JournalRow:
    if isinstance(command, InvalidCommand):
        return invalid_row(command, result.outcome, "p")
    user = command.user_id or owners.get(command.chat_id, "")
    return command_row(command, user, result.outcome, result.replayed, "p")


def folded(engine: Engine) -> dict[str, Account]:
    """Every user as an audit and a recovery fold them; nothing differs from the journal."""
    found = {}
    with engine.connect() as connection:
        users = reader.users_after(connection, "", 1_000)
        partitions = fetch_partitions(connection) or 1
        for one in Folding(connection, users, _fail, partitions=partitions).users({}):
            assert one.is_whole
            found[one.user] = _account(one.end)
    return found


def _account(end: Position) -> Account:
    return Account(
        applied=end.applied,
        account=end.account,
        records={k: record_row(chat) for k, chat in end.chats.items()},
        snapshots={k: chat_snapshot(chat, chat.as_of_ms) for k, chat in end.chats.items()},
    )


def _fail(difference: object) -> None:
    raise AssertionError(difference)


USERS = ("ann", "bob")
DAY_MS = 86_400_000
CUT_MS = T0 + 16 * DAY_MS
"""Between what is refunded, adopted and named before, and what is after."""


def lives(*more: dict[str, str]) -> Stream:
    """Two users whose chats start, end, are refunded, adopted and repeated, a day apart."""
    fields: list[dict[str, str]] = []
    for user in USERS:
        begin = {"user_id": user, "advisor_id": "v", "rate": "6"}
        fields += [
            {"type": "top_up", "user_id": user, "amount": "1000000"},
            {"type": "start", "chat_id": f"{user}.ended", **begin},
            {"type": "start", "chat_id": f"{user}.open", **begin, "free_ms": "60000",
             "free_scope": "user"},
            {"type": "end", "chat_id": f"{user}.ended"},
            {"type": "refund", "chat_id": f"{user}.ended", "amount": "1"},
            {"type": "end", "chat_id": "bob.open", "user_id": user, "id": f"{user}.early"},
            {"type": "pause", "chat_id": f"{user}.open"},
            {"type": "end", "chat_id": "nobodys"},
        ]  # fmt: skip
    for user in USERS:
        adopt = {
            "user_id": user,
            "advisor_id": "v",
            "rate": "6",
            "started_at": "5",
            "carried_ms": "7",
            "carried_cost": "3",
        }
        fields += [
            {"type": "refund", "chat_id": f"{user}.ended", "amount": "2"},
            {"type": "pause", "chat_id": "bob.ended", "user_id": user},
            {"type": "adopt", "chat_id": f"{user}.old", **adopt},
            {"type": "end", "chat_id": f"{user}.old"},
            {"type": "refund", "chat_id": f"{user}.old", "amount": "1"},
            {"type": "adopt", "chat_id": f"{user}.old", **adopt},
            {"type": "resume", "chat_id": f"{user}.open"},
        ]  # fmt: skip
    sent = [{"id": f"i{n}", **one} for n, one in enumerate([*fields, *more])]
    entries = [Entry(f"{T0 + n * DAY_MS}-0", flat(one)) for n, one in enumerate(sent)]
    return Stream(Policy(), entries)
