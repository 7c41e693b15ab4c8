"""One real commit of a typical command, on a real server, as the server saw it."""

from typing import Any, Final

import redis

from actors.chat.commit_builder import AccountView, CommitBuilder, CommitContext
from actors.messages import Task
from meterd.rules.commands import Command, parse_entry
from meterd.rules.model import Account, Policy
from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.account_reader import AccountReader
from persistence.redis.commit import OK, Commit, Limits, pack_commit
from persistence.redis.committer import Committer
from persistence.redis.functions import function_name, load_functions

KEYS: Final = Keys()
USER, CHAT = "user-000123", "chat-000123"
REPLY_TO: Final = "backend-0"
BEGAN_MS: Final = 1_767_225_600_000
READS: Final = {"GET", "HGET", "GETRANGE", "EXISTS", "XACK"}
"""What the commit function does before it writes, and the acknowledgement."""


def writes_of_a_pause(client: redis.Redis) -> list[str]:
    """The writes of the commit of one ``pause`` with a reply, each as one line of the monitor.

    The reply stream is there, as it is but for the first reply.
    """
    _prepare(client)
    _send(client, 0, type="top_up", id="cmd-00000001", user_id=USER, amount="50", reply_to=REPLY_TO)
    _send(
        client, 1_000, type="start", id="cmd-00000002", chat_id=CHAT, user_id=USER,
        advisor_id="advisor-007", rate="1.5",
    )  # fmt: skip
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]
        _send(client, 61_234, type="pause", id="cmd-00000003", chat_id=CHAT, reply_to=REPLY_TO)
        return _by_the_function(monitor)


def _prepare(client: redis.Redis) -> None:
    load_functions(client)
    client.xgroup_create(KEYS.commands, GROUP, id="0", mkstream=True)
    _, epoch, _ = client.fcall(function_name("acquire_lease"), 1, KEYS.commands, "t", 60_000)
    client.fcall(function_name("confirm_integrity"), 1, KEYS.commands, "t", epoch, "m")
    client.hset(KEYS.epochs, "a", "7")


def _send(client: redis.Redis, at_ms: int, **fields: str) -> None:
    """Queue a command, take delivery of it, decide it, and commit that."""
    entry: Any = client.xadd(KEYS.commands, fields, id=f"{BEGAN_MS + at_ms}-0")  # type: ignore[arg-type]
    client.xreadgroup(GROUP, "meterd", {KEYS.commands: ">"})
    command = parse_entry(entry.decode(), [p.encode() for pair in fields.items() for p in pair])
    assert isinstance(command, Command)
    committer = Committer(client, KEYS, "a", "7", Limits())
    assert committer.commit([pack_commit(_commit(client, command))])[0].kind == OK


def _commit(client: redis.Redis, command: Command) -> Commit:
    before, account = AccountReader(client, KEYS).load([USER], [])[0].get(USER, ("", Account(USER)))
    writer = CommitContext("a", "7", Policy(), "0123456789abcdef", Limits())
    run = CommitBuilder(writer, AccountView(before, account, {}, {}))
    run.add(Task(USER, command))
    return run.commit()


def _by_the_function(monitor: Any) -> list[str]:
    lines: list[str] = []
    while not any(line.startswith("PEXPIRE") for line in lines):
        seen = monitor.next_command()
        name = seen["command"].partition(" ")[0]
        if seen["client_type"] == "lua" and name not in READS:
            lines.append(seen["command"])
    return lines
