"""Each user of ``deploy/redis-users.acl`` may do what its role needs, and nothing else."""

import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from loadtests.common.timeouts import scaled
from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.functions import function_name, library_name, source
from tests.deploy.gateway import gateway
from tests.deploy.roles import (
    ADMIN,
    BACKEND,
    DAEMON,
    GATEWAY,
    OPERATOR,
    RECOVERY,
    ROLES,
    ROOT,
    USERS_TEXT,
    Guarded,
    filled,
    guarded_server,
    load_as_daemon,
)
from tests.servers import binary, free_port, kinds

pytestmark = pytest.mark.redis

KEYS: Final = Keys()
WRITERS: Final = (DAEMON, RECOVERY)
READERS: Final = (DAEMON, BACKEND, GATEWAY, OPERATOR, RECOVERY)
SENDERS: Final = READERS
NOBODY: Final = ()

Action = tuple[tuple[Any, ...], tuple[str, ...]]

ACTIONS: Final[dict[str, Action]] = {
    "send a command": (("XADD", KEYS.commands, "*", "type", "x"), SENDERS),
    "ask who has which slot of a cluster": (("CLUSTER", "SLOTS"), READERS),
    "read a chat": (("GET", KEYS.chat("c")), READERS),
    "read a wallet": (("GET", KEYS.wallet("u")), READERS),
    "read an account": (("GET", KEYS.account("u")), (DAEMON, GATEWAY, OPERATOR, RECOVERY)),
    "read an id": (("GET", KEYS.id("i")), (DAEMON, OPERATOR, RECOVERY)),
    "read replies": (
        ("XREAD", "STREAMS", KEYS.reply("r"), "0"), (DAEMON, BACKEND, GATEWAY, OPERATOR)
    ),
    "read events": (
        ("XREAD", "STREAMS", KEYS.events, "0"), (DAEMON, BACKEND, GATEWAY, OPERATOR)
    ),
    "read events with something else": (
        ("XREAD", "STREAMS", KEYS.events, KEYS.commands, "0", "0"), (DAEMON, GATEWAY, OPERATOR)
    ),
    "read commands": (("XREAD", "STREAMS", KEYS.commands, "0"), (DAEMON, GATEWAY, OPERATOR)),
    "read dead letters": (
        ("XRANGE", KEYS.dead, "-", "+"), (DAEMON, GATEWAY, OPERATOR, RECOVERY)
    ),
    "read what waits for Postgres": (
        ("XRANGE", KEYS.outbox, "-", "+"), (DAEMON, GATEWAY, OPERATOR, RECOVERY)
    ),
    "see what is pending": (
        ("XPENDING", KEYS.commands, GROUP), (DAEMON, GATEWAY, OPERATOR, RECOVERY)
    ),
    "claim what another has read": (
        ("XCLAIM", KEYS.commands, GROUP, "me", 0, "1-0"), (DAEMON,)
    ),
    "see what went wrong with the stream": (
        ("HMGET", KEYS.progress, "missing"), (DAEMON, GATEWAY, OPERATOR, RECOVERY)
    ),
    "forget what went wrong with the stream": (("HDEL", KEYS.progress, "missing"), WRITERS),
    "see how much memory something takes": (("MEMORY", "USAGE", KEYS.dead), (DAEMON,)),
    "see how many ids are remembered": (("HGETALL", KEYS.id_counts), (DAEMON,)),
    "see which reply streams there are": (("ZRANDMEMBER", KEYS.reply_streams, 2), (DAEMON,)),
    "count a reply stream": (("ZADD", KEYS.reply_streams, 1, "r"), (DAEMON,)),
    "find reply streams that are over": (
        ("ZRANGEBYSCORE", KEYS.reply_streams, "-inf", 1, "LIMIT", 0, 1), (DAEMON,)
    ),
    "count a reply stream no more": (("ZREM", KEYS.reply_streams, "r"), (DAEMON,)),
    "accept the clock": (
        ("SET", f"{KEYS.prefix}clock:accepted", "1"), (DAEMON, OPERATOR, RECOVERY)
    ),
    "see how far the group is": (
        ("XINFO", "GROUPS", KEYS.commands), (DAEMON, GATEWAY, OPERATOR)
    ),
    "see a stream's ends": (("XINFO", "STREAM", KEYS.events), READERS),
    "ask for the status": (
        ("FCALL_RO", function_name("status"), 1, KEYS.commands),
        (DAEMON, GATEWAY, OPERATOR, RECOVERY),
    ),
    "ask for the clock": (("TIME",), READERS),
    "list keys": (("SCAN", "0"), (OPERATOR, RECOVERY)),
    "write a chat": (("SET", KEYS.chat("c"), "{}"), WRITERS),
    "write a wallet": (("SET", KEYS.wallet("u"), "{}"), WRITERS),
    "write an account": (("SET", KEYS.account("u"), "1-0|{}"), WRITERS),
    "write an account with others": (("MSET", KEYS.account("u"), "1-0|{}"), (DAEMON,)),
    "write an id": (("SET", KEYS.id("i"), "x ok"), WRITERS),
    "write who leads": (("SET", KEYS.leader, "me"), WRITERS),
    "write an epoch": (("HSET", KEYS.epochs, "supervisor", "9"), WRITERS),
    "hold everything": (("SET", KEYS.clock_hold, "{}"), WRITERS),
    "let go on": (("DEL", KEYS.clock_hold), (DAEMON, OPERATOR, RECOVERY)),
    "forge an event": (("XADD", KEYS.events, "*", "event", "x"), WRITERS),
    "forge a reply": (("XADD", KEYS.reply("r"), "*", "id", "x"), WRITERS),
    "forge a dead letter": (("XADD", KEYS.dead, "*", "entry", "1-0"), WRITERS),
    "write to the outbox": (("XADD", KEYS.outbox, "*", "facts", "{}"), (*WRITERS, OPERATOR)),
    "take a chat away": (("DEL", KEYS.chat("c")), WRITERS),
    "take an account away": (("DEL", KEYS.account("u")), WRITERS),
    "take many away": (("UNLINK", KEYS.chat("c"), KEYS.account("u")), (RECOVERY,)),
    "take the commands away": (("DEL", KEYS.commands), WRITERS),
    "take one command away": (("XDEL", KEYS.commands, "1-0"), WRITERS),
    "take a dead letter away": (("XDEL", KEYS.dead, "1-0"), (*WRITERS, OPERATOR)),
    "take something out of the outbox": (("XDEL", KEYS.outbox, "1-0"), WRITERS),
    "forget an id": (("DEL", KEYS.id("i")), (*WRITERS, OPERATOR)),
    "let a chat expire": (("PEXPIRE", KEYS.chat("c"), 1), (DAEMON,)),
    "trim the commands": (("XTRIM", KEYS.commands, "MAXLEN", 0), WRITERS),
    "make a group": (("XGROUP", "CREATE", KEYS.commands, "g", "0", "MKSTREAM"), WRITERS),
    "take commands": (
        ("XREADGROUP", "GROUP", "g", "me", "STREAMS", KEYS.commands, ">"), (DAEMON,)
    ),
    "acknowledge commands": (("XACK", KEYS.commands, "g", "1-0"), (DAEMON,)),
    "take the group away": (("XGROUP", "DESTROY", KEYS.commands, "g"), (RECOVERY,)),
    "move a stream's end": (("XSETID", KEYS.commands, "9000000000000-0"), (RECOVERY,)),
    "commit": (("FCALL", function_name("commit_all"), 1, KEYS.commands, "a", "1", "\x80"), (
        DAEMON, RECOVERY, OPERATOR,  # may call functions; what they do in them is checked below
    )),
    "call a function on other keys": (
        ("FCALL", function_name("acquire_lease"), 1, "other", "t", "1"), NOBODY,
    ),
    "load functions": (("FUNCTION", "LOAD", "REPLACE", source()), WRITERS),
    "look at functions": (("FUNCTION", "LIST"), WRITERS),
    "take old functions away": (("FUNCTION", "DELETE", library_name(1)), WRITERS),
    "take all functions away": (("FUNCTION", "FLUSH"), NOBODY),
    "stop a function": (("FUNCTION", "KILL"), NOBODY),
    "run a script": (("EVAL", "return 1", 0), NOBODY),
    "look at the server": (("INFO", "memory"), (DAEMON,)),
    "read a setting": (("CONFIG", "GET", "*"), NOBODY),
    "change a setting": (("CONFIG", "SET", "maxmemory", "1"), NOBODY),
    "read who may what": (("ACL", "LIST"), NOBODY),
    "change who may what": (("ACL", "SETUSER", "meterd-backend", "+@all"), NOBODY),
    "see who is there": (("CLIENT", "LIST"), NOBODY),
    "cut somebody off": (("CLIENT", "KILL", "TYPE", "pubsub"), NOBODY),
    "listen in": (("MONITOR",), NOBODY),
    "read the slow log": (("SLOWLOG", "GET"), NOBODY),
    "list keys at once": (("KEYS", "*"), NOBODY),
    "empty everything": (("FLUSHALL",), NOBODY),
    "empty the database": (("FLUSHDB",), NOBODY),
    "go to another database": (("SELECT", 1), NOBODY),
    "save": (("BGSAVE",), NOBODY),
    "rewrite the log": (("BGREWRITEAOF",), NOBODY),
    "become a replica": (("REPLICAOF", "NO", "ONE"), NOBODY),
    "copy a key out": (("DUMP", KEYS.account("u")), NOBODY),
    "copy a key in": (("RESTORE", KEYS.account("v"), 0, "x"), NOBODY),
    "rename": (("RENAME", KEYS.account("u"), KEYS.account("v")), NOBODY),
    "copy": (("COPY", KEYS.account("u"), KEYS.account("v")), NOBODY),
    "publish": (("PUBLISH", "meterd", "x"), NOBODY),
    "subscribe": (("SUBSCRIBE", "meterd"), NOBODY),
    "read another's key": (("GET", "other"), NOBODY),
    "write another's key": (("SET", "other", "x"), NOBODY),
    "write another's stream": (("XADD", "other", "*", "a", "b"), NOBODY),
    "read another partition": (("GET", "meterd:{1}:chat:c"), NOBODY),
    "stop the server": (("SHUTDOWN", "NOSAVE"), NOBODY),
}  # fmt: skip
"""What somebody may try → the command, and whose role needs it."""


def _may(client: redis.Redis, command: tuple[Any, ...]) -> bool:
    run: Any = client.execute_command
    try:
        run(*command)
    except redis.exceptions.NoPermissionError:
        return False
    except redis.ResponseError:
        return True  # it was tried, and is no use
    return True


@pytest.mark.parametrize("action", ACTIONS)
def test_a_user_may_what_its_role_needs_and_nothing_else(server: Guarded, action: str) -> None:
    """Whoever is named beside the action may, and nobody else; whatever else the server says."""
    command, expected = ACTIONS[action]
    found = []
    for user in ROLES:
        with server.client(user) as client:
            if _may(client, command):
                found.append(user)
    assert set(found) == set(expected)


@pytest.mark.parametrize("kind", kinds())
def test_with_several_partitions_one_change_gives_the_same_rights_in_each(kind: str) -> None:
    """``{*}`` for ``{0}``, as the documents say; other keys are out of reach as before."""
    told = (ROOT / "docs" / "several-machines.md").read_text("utf-8")
    assert "sed 's/{0}/{*}/g'" in told
    actions = {name: action for name, action in ACTIONS.items() if name != "read another partition"}
    with guarded_server(kind, users_text=USERS_TEXT.replace("{0}", "{*}")) as server:
        load_as_daemon(server)
        for partition in (0, 3, 15):
            found: dict[str, set[str]] = {name: set() for name in actions}
            for user in ROLES:
                with server.client(user) as client:
                    for name, (command, _) in actions.items():
                        if _may(client, _of_partition(command, partition)):
                            found[name].add(user)
            assert found == {name: set(expected) for name, (_, expected) in actions.items()}


def _of_partition(command: tuple[Any, ...], partition: int) -> tuple[Any, ...]:
    prefix = Keys(partition).prefix
    return tuple(
        part.replace(KEYS.prefix, prefix) if isinstance(part, str) else part for part in command
    )


def test_without_a_name_nobody_may_anything(server: Guarded) -> None:
    """The user that everybody is who does not say is switched off."""
    with redis.Redis.from_url(f"redis://{server.address}") as client:
        with pytest.raises(redis.AuthenticationError):
            client.ping()
        with pytest.raises(redis.AuthenticationError):
            client.get(KEYS.chat("c"))


@pytest.mark.parametrize("kind", kinds())
def test_the_file_is_refused_as_it_stands(kind: str, tmp_path: Path) -> None:
    """Nobody runs a server with a password that was published: it does not start."""
    users, program = tmp_path / "users.acl", binary(kind)
    users.write_text(USERS_TEXT)
    assert program is not None
    started = subprocess.run(
        [program, "--port", str(free_port()), "--aclfile", str(users), "--dir", str(tmp_path)],
        capture_output=True, text=True, timeout=scaled(10), check=False,
    )  # fmt: skip
    assert started.returncode != 0
    assert "password hash must be exactly 64 characters" in started.stdout


def test_every_role_has_its_commands_one_by_one() -> None:
    """No categories, no channels, no keys beyond meterd's, no password but a placeholder."""
    lines = [line.split() for line in USERS_TEXT.splitlines() if line]
    assert {words[1] for words in lines} == {"default", ADMIN, *ROLES}
    assert filled(USERS_TEXT)[1].keys() == {ADMIN, *ROLES}
    for _, name, *rules in lines:
        if name in ROLES:
            text = " ".join(rules)
            assert "+@" not in text
            assert "&" not in text
            assert "resetchannels" in rules
            patterns = [rule.strip("()") for rule in rules if "~" in rule]
            assert patterns
            assert all(rule.partition("~")[2].startswith(KEYS.prefix) for rule in patterns)


def test_a_daemon_may_what_a_gateway_may() -> None:
    """The gateway that it starts uses its user."""
    rights = {
        line.split()[1]: {word.strip("()") for word in line.split() if word.strip("()")[0] == "+"}
        for line in USERS_TEXT.splitlines()
        if line
    }
    assert rights[GATEWAY] <= rights[DAEMON]


def test_the_right_to_append_is_a_right_to_trim(server: Guarded) -> None:
    """What no right can say, and the documents do: XADD takes away, and moves the stream's end."""
    with server.client(ADMIN) as admin, server.client(BACKEND) as backend:
        admin.delete(KEYS.commands)
        for _ in range(3):
            backend.xadd(KEYS.commands, {"type": "x"})
        backend.xadd(
            KEYS.commands, {"type": "x"}, id="9999999999999-0", maxlen=1, approximate=False
        )
        assert admin.xlen(KEYS.commands) == 1
    told = (ROOT / "docs" / "security.md").read_text("utf-8")
    assert "XADD can also trim" in told


@pytest.mark.slow
def test_a_gateway_may_act_with_an_operators_rights_only(server: Guarded, tmp_path: Path) -> None:
    """With its own it says so, before anything is done or recorded."""
    act = {"operation": "account.top_up", "id": "a", "user_id": "u", "amount": "1", "reason": "r"}
    postgres_url = "postgresql://127.0.0.1:1/none"
    soon = {"METERD_HTTP__REPLY_TIMEOUT_MS": "200"}
    with server.client(ADMIN) as admin:
        admin.delete(KEYS.dead)
        letter = admin.xadd(KEYS.dead, {"entry": "1-0"}).decode()
        drop = {"operation": "dead.drop", "id": "d", "letter": letter, "reason": "r"}
        for user, recorded, left in ((GATEWAY, 0, 1), (OPERATOR, 2, 0)):
            admin.delete(KEYS.commands, KEYS.outbox)
            with gateway(tmp_path / user, server.url(user), postgres_url, **soon) as http:
                answers = [http.act(one) for one in (act, drop)]
            codes = [answer.json().get("code") for answer in answers]
            assert codes == (["forbidden"] * 2 if user == GATEWAY else ["no_reply", None])
            assert (admin.xlen(KEYS.outbox), admin.xlen(KEYS.dead)) == (recorded, left)
            assert admin.xlen(KEYS.commands) == (user == OPERATOR)


def test_the_documents_name_every_user() -> None:
    """Who reads docs/security.md learns of each what it is for."""
    told = (ROOT / "docs" / "security.md").read_text("utf-8")
    assert all(f"| `{user}` |" in told for user in (ADMIN, "default", *ROLES))
