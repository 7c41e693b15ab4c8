"""One job's writes: what one commit of meterd writes for one command, as MULTI ... EXEC.

The texts are those of a real commit: a chat of one user is paused by a command with an id that
asks for a reply (tests/loadtests/test_peers.py compares them with what meterd writes, write by
write). What a commit reads before it writes (its guards) is left out, in the peers' favour, and
the acknowledgement is each peer's own.

Runs in the peers' environments: only the standard library and redis. The commands are handed to
the pipeline as they are, which costs less time than the client's methods for each of them.
"""

import functools
import os
from typing import Any, Final, Protocol

import redis
import redis.asyncio

URL_VARIABLE: Final = "PEER_REDIS_URL"
"""The environment variable that says where the queue and the data are."""

PREFIX: Final = "meterd:{0}:"
OUTBOX: Final = f"{PREFIX}outbox"
"""Stream: one entry for each transaction, never trimmed. The runner counts by it."""
IDS: Final = f"{PREFIX}id:"
"""What the key of a job's id begins with; one for each job, however often it ran."""

CHATS: Final = 1_000
"""The jobs go round so many accounts with one chat each."""

_CHAT: Final = (
    '{"chat_id":"chat-%(chat)06d","user_id":"user-%(chat)06d","advisor_id":"advisor-007",'
    '"status":"paused","as_of":1767225661234,"started_at":1767225601000,"ended_at":null,'
    '"end_reason":null,"pause_reason":"command","active_ms":60234,"paused_ms":0,'
    '"billed_ms":60234,"cost":"1.505850","refunded":"0.000000","rate":"1.500000","free_ms":0,'
    '"free_scope":"chat","min_ms":0,"increment_ms":1,"increment_due":"begin","idle_ms":0,'
    '"abandon_ms":0,"max_ms":0,"seq":2}'
)
_ACCOUNT: Final = (
    '1767225661234-0|["user-%(chat)06d",50000000,null,null,1767225661234,3,'
    '{"chat-%(chat)06d":["chat-%(chat)06d","user-%(chat)06d","advisor-007","paused",'
    "1767225601000,1767225661234,1767225661234,1767225661234,1500000,0,0,1,0,60234,90351000000,"
    '0,0,null,null,"command",2,"chat","begin",0,0,0]},{}]'
)
_WALLET: Final = (
    '{"user_id":"user-%(chat)06d","as_of":1767225661234,"balance":"48.494150",'
    '"burn_rate":"0.000000","zero_at":null,"open_chats":1,"seq":3}'
)
_FACTS: Final = (
    '{"records":[["chat-%(chat)06d","user-%(chat)06d","advisor-007","paused",1767225601000,'
    "null,null,"
    '"command",60234,0,60234,1500000,1505850,0,0,0,0,1,0,"live",2,1767225661234,'
    '"chat","begin",0,0]],'
    '"ledger":[],"journal":[["1767225661234-0","user-%(chat)06d","chat-%(chat)06d",'
    '{"type":"pause","id":"cmd-%(job)08d","chat_id":"chat-%(chat)06d",'
    '"reply_to":"backend-0"},"ok",false,"0123456789abcdef"]]}'
)
_REMEMBERED: Final = "1a4f1297bc379b3b076709bb ok 1767225661234-0"

Write = tuple[str | int, ...]
"""One command of the transaction, as it goes to the server."""


class _Pipeline(Protocol):
    def execute_command(self, *args: Any) -> Any: ...


def writes(job: int) -> list[Write]:
    """The writes of job number ``job``, in a commit's order."""
    names = {"chat": job % CHATS, "job": job}
    chat = _CHAT % names
    return [
        (
            "MSET",
            *(f"{PREFIX}account:user-{names['chat']:06d}", _ACCOUNT % names),
            *(f"{PREFIX}wallet:user-{names['chat']:06d}", _WALLET % names),
            *(f"{PREFIX}chat:chat-{names['chat']:06d}", chat),
        ),
        ("SADD", f"{PREFIX}open", f"user-{names['chat']:06d}"),
        ("SET", f"{IDS}cmd-{job:08d}", _REMEMBERED, "PX", 90_000_000),
        _event(names["chat"]),
        ("XADD", OUTBOX, "*", "facts", _FACTS % names),
        _reply(job, chat),
        ("PEXPIRE", f"{PREFIX}reply:backend-0", 3_600_000),
    ]


def _reply(job: int, chat: str) -> Write:
    return (
        "XADD", f"{PREFIX}reply:backend-0", "MAXLEN", "~", 10_000, "*",
        "id", f"cmd-{job:08d}", "outcome", "ok", "message", "done",
        "entry", "1767225661234-0", "replayed", "0", "snapshot", chat,
    )  # fmt: skip


def _event(chat: int) -> Write:
    return (
        "XADD", f"{PREFIX}events", "MAXLEN", "~", 100_000, "*",
        "event", "chat.paused", "at", "1767225661234", "user_id", f"user-{chat:06d}",
        "chat_id", f"chat-{chat:06d}", "seq", "2", "reason", "command",
    )  # fmt: skip


def url() -> str:
    """Where the queue and the data are."""
    return os.environ[URL_VARIABLE]


@functools.cache
def client() -> redis.Redis:
    """This process's client for the transactions; its pool serves threads."""
    return redis.Redis.from_url(url())


@functools.cache
def async_client() -> redis.asyncio.Redis:
    """This process's client for the transactions of coroutines of one event loop."""
    return redis.asyncio.Redis.from_url(url())


def transact(job: int) -> None:
    """Do a job: its writes, all of them or none."""
    with client().pipeline(transaction=True) as pipeline:
        _fill(pipeline, job)
        pipeline.execute()


async def transact_async(job: int) -> None:
    """Do a job: its writes, all of them or none."""
    async with async_client().pipeline(transaction=True) as pipeline:
        _fill(pipeline, job)
        await pipeline.execute()


def _fill(pipeline: _Pipeline, job: int) -> None:
    for write in writes(job):
        pipeline.execute_command(*write)
