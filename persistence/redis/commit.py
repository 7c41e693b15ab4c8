"""The commit: what follows from a run of commands of one account, as one atomic Redis call."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from meterd.rules.model import Account, Chat, Event, LedgerEntry, Policy, Tariff
from meterd.rules.partitions import entry_name
from persistence.postgres.rows import (
    FreeTimeRow,
    JournalRow,
    LedgerRow,
    OperationRow,
    RecordRow,
    StoredJournalRow,
)


class Limits(msgspec.Struct, frozen=True):
    """How much and how long Redis keeps of what commits write."""

    id_ttl_ms: int = 90_000_000
    credit_id_ttl_ms: int = 2_595_600_000
    """Of commands that bring or take credits."""
    reply_ttl_ms: int = 3_600_000
    reply_entries_max: int = 10_000
    reply_streams_max: int = 50_000
    """Beyond, no new reply stream is made; outcomes are remembered with their ids all the same."""
    event_entries_max: int = 100_000
    dead_entries_max: int = 100_000
    dead_bytes_max: int = 64 * 2**20
    """Of the dead letters the oldest go when either bound is reached."""


class CommandEffects(msgspec.Struct, array_like=True):
    """What one stream entry makes: its id to remember, its reply, its dead letter.

    The library's text names the places of its parts.
    """

    entry: str
    id: str = ""
    remember: str = ""
    reply_to: str = ""
    reply: list[str] = []
    dead: list[str] = []
    id_ttl_ms: int = Limits().id_ttl_ms


class OutboxPayload(msgspec.Struct, omit_defaults=True):
    """What has to reach Postgres."""

    records: list[RecordRow]
    ledger: list[LedgerRow]
    journal: list[JournalRow]
    operations: list[OperationRow] = []
    free_times: list[FreeTimeRow] = []


class StoredPayload(msgspec.Struct):
    """``OutboxPayload`` for whoever writes it to Postgres: journal fields stay JSON."""

    records: list[RecordRow]
    ledger: list[LedgerRow]
    journal: list[StoredJournalRow]
    operations: list[OperationRow] = []
    free_times: list[FreeTimeRow] = []


class Commit(msgspec.Struct, array_like=True):
    """One atomic change. ``before``/``state`` are versioned by the last entry applied.

    The library's text names the places of its parts.
    """

    user: str
    before: str
    state: str
    open: int
    wallet: str
    chats: list[tuple[str, str, bool]]
    entries: list[CommandEffects]
    events: list[list[str]]
    payload: str
    quarantined: str = ""
    """An entry that could not be decided: the account goes past it as it is; ``state`` is for
    an account that is not there yet."""


class CommitResult(NamedTuple):
    """What the commit function answered."""

    kind: str
    """``ok``, ``done`` (was handled before), ``stale`` (the account moved), ``known`` (ids were
    used before), ``exists`` (the chat is there already), ``fenced`` or ``error``."""
    details: tuple[str, ...] = ()
    """Of ``known``: ids, each followed by what is remembered of it; of ``exists``: the chat; of
    ``error``: what the server said."""

    def known_ids(self) -> list[tuple[str, str]]:
        """The ids that were used before, with what is remembered of them."""
        return list(zip(self.details[::2], self.details[1::2], strict=True))


OK: Final = "ok"
DONE: Final = "done"
STALE: Final = "stale"
KNOWN: Final = "known"
EXISTS: Final = "exists"
FENCED: Final = "fenced"
ERROR: Final = "error"

_UNREADABLE: Final = -1

log = structlog.get_logger()

_pack: Final = msgspec.msgpack.Encoder().encode
_json: Final = msgspec.json.Encoder().encode
_read_account: Final = msgspec.json.Decoder(Account).decode
_read_facts: Final = msgspec.json.Decoder(OutboxPayload).decode
_read_stored: Final = msgspec.json.Decoder(StoredPayload).decode


def pack_commit(commit: Commit) -> bytes:
    """A commit as the library takes it."""
    return _pack(commit)


def pack_limits(limits: Limits) -> bytes:
    """The limits as the library takes them."""
    return _pack(limits)


def parse_result(answer: list[bytes]) -> CommitResult:
    """Read the commit function's answer."""
    kind, *details = (part.decode() for part in answer)
    return CommitResult(kind, tuple(details))


def pack_state(applied: str, account: Account) -> str:
    """An account's state as Redis keeps it."""
    return f"{applied}|{_json(account).decode()}"


def unpack_state(raw: bytes | None, user_id: str) -> tuple[str, Account]:
    """An account's last applied entry and state; a new account where there is none.

    One that can't be read comes as what ``is_readable`` tells apart: it must not keep others
    from being read.
    """
    if raw is None:
        return "", Account(user_id)
    applied, _, state = raw.partition(b"|")
    try:
        account = _read_account(state)
        if account.user_id == user_id:
            return applied.decode(), account
        error: object = f"it is that of {account.user_id!r}"
    except msgspec.MsgspecError as unreadable:
        error = unreadable
    log.error("account.unreadable", user=user_id, error=str(error))
    return applied.decode(errors="replace"), Account(user_id, seq=_UNREADABLE)


def is_readable(account: Account) -> bool:
    """Whether an account is what was kept of it."""
    return account.seq != _UNREADABLE


def pack_json(document: Any) -> str:
    """A document as compact JSON text."""
    return _json(document).decode()


def pack_payload(facts: OutboxPayload) -> str:
    """What Postgres is to get, as the outbox holds it."""
    return _json(facts).decode()


def unpack_payload(raw: bytes) -> OutboxPayload:
    """What an outbox entry holds."""
    return _read_facts(raw)


def unpack_stored(raw: bytes) -> StoredPayload:
    """What an outbox entry holds, to be written as it is."""
    return _read_stored(raw)


def event_fields(event: Event) -> list[str]:
    """An event as the events stream has it: names and values in turn."""
    fields = ["event", event.event, "at", str(event.at_ms), "user_id", event.user_id]
    if event.chat_id is not None:
        fields += ["chat_id", event.chat_id]
    fields += ["seq", str(event.seq)]
    if event.reason is not None:
        fields += ["reason", event.reason]
    if event.threshold_ms is not None:
        fields += ["threshold_ms", str(event.threshold_ms)]
    return fields


NAMED_BY_ENTRY: Final = ("top_up", "refund", "adjustment")
"""Kinds of movements that are called after the stream entry behind them."""


def ledger_row(entry: LedgerEntry, partition: int = 0) -> LedgerRow:
    """A movement of credits in a partition's account as a row."""
    row = LedgerRow(*entry)
    if entry.kind not in NAMED_BY_ENTRY:
        return row
    _, _, stream_entry = entry.entry_id.partition(":")
    return row._replace(entry_id=entry_name(entry.kind, stream_entry, partition))


def policy_document(policy: Policy) -> dict[str, Any]:
    """Return a policy as the ``policies`` table keeps it, so that an audit can fold under it.

    The names are those of version 0.1: they are stored, and the policy's id is made of them.
    """
    tariff = policy.tariff._asdict()
    return {**policy._asdict(), "tariff": {"rate": tariff.pop("rate_micro"), **tariff}}


_OF_0_1: Final = {"open_chats_max": 0, "rules_version": 1}
"""What the policies of version 0.1 do not name: no limit, and the rules of that version."""


def read_policy(document: Mapping[str, Any]) -> Policy:
    """Return the policy of a document that ``policy_document`` made."""
    tariff = dict(document["tariff"])
    return Policy(
        **{
            **_OF_0_1,
            **document,
            "tariff": Tariff(rate_micro=tariff.pop("rate"), **tariff),
            "warn_ms": tuple(document["warn_ms"]),
        }
    )


__all__ = [
    "DONE",
    "ERROR",
    "EXISTS",
    "FENCED",
    "KNOWN",
    "OK",
    "STALE",
    "Chat",
    "CommandEffects",
    "Commit",
    "CommitResult",
    "Limits",
    "OutboxPayload",
    "StoredPayload",
    "event_fields",
    "is_readable",
    "ledger_row",
    "pack_commit",
    "pack_json",
    "pack_limits",
    "pack_payload",
    "pack_state",
    "parse_result",
    "policy_document",
    "read_policy",
    "unpack_payload",
    "unpack_state",
    "unpack_stored",
]
