"""The commit function: all of a change or nothing, and only for whom it is meant."""

from typing import Any

import pytest
import redis

from actors.chat.decide import Memory, Run, Writer
from actors.messages import Task
from actors.rules.command import Command, Invalid, parse_entry
from actors.rules.state import Account, Policy
from persistence.commit import (
    DONE,
    EXISTS,
    FENCED,
    KNOWN,
    OK,
    STALE,
    Commit,
    Limits,
    Verdict,
    commit_call,
    verdict,
)
from persistence.keys import GROUP, Keys
from persistence.store import Store

KEYS = Keys()
EPOCH = "7"


@pytest.fixture
def queue(client: redis.Redis) -> redis.Redis:
    client.xgroup_create(KEYS.commands, GROUP, id="0", mkstream=True)
    _, epoch, _ = client.fcall("meterd_lead", 1, KEYS.commands, "t", 60_000)
    client.fcall("meterd_swear", 1, KEYS.commands, "t", epoch, "m")
    client.hset(KEYS.epochs, "a", EPOCH)
    return client


def _send(client: redis.Redis, **fields: str) -> Task:
    """Put a command into the queue and take delivery of it."""
    entry: Any = client.xadd(KEYS.commands, fields)  # type: ignore[arg-type]
    client.xreadgroup(GROUP, "meterd", {KEYS.commands: ">"})
    flat = [part.encode() for pair in fields.items() for part in pair]
    parsed = parse_entry(entry.decode(), flat)
    if isinstance(parsed, Invalid):
        return Task("", None, invalid=parsed)
    return Task(fields.get("user_id", ""), parsed)


def _commit(client: redis.Redis, *tasks: Task, epoch: str = EPOCH, before: str = "") -> Commit:
    writer = Writer("a", epoch, Policy(), "p", Limits())
    user = tasks[0].user
    loaded = Store(client, KEYS).load([user], [])[0] if user else {}
    _, account = loaded.get(user, ("", Account(user)))
    run = Run(writer, Memory(before, account, {}, {}))
    for task in tasks:
        run.take(task)
    return run.commit()


def _run(client: redis.Redis, commit: Commit) -> Verdict:
    return verdict(client.fcall(*commit_call(KEYS, commit)))


def _everything(client: redis.Redis) -> dict[bytes, bytes | None]:
    return {key: client.dump(key) for key in sorted(client.keys("*"))}  # type: ignore[misc]


def _top_up(client: redis.Redis, id_: str = "k", user: str = "u") -> Task:
    return _send(client, type="top_up", id=id_, user_id=user, amount="5", reply_to="me")


def _start(client: redis.Redis, id_: str = "s", user: str = "u") -> Task:
    return _send(client, type="start", id=id_, chat_id="c", user_id=user, advisor_id="v", rate="1")


def test_a_commit_writes_all_that_follows(queue: redis.Redis) -> None:
    """State, snapshots, id, reply, events, outbox and the acknowledgement, in one call."""
    tasks = [_top_up(queue), _start(queue)]
    assert _run(queue, _commit(queue, *tasks)).kind == OK
    names = {key.decode().removeprefix(KEYS.prefix) for key in queue.keys("*")}  # type: ignore[union-attr]
    assert names == {
        "commands", "epoch", "epochs", "leader", "memory", "account:u", "wallet:u", "chat:c",
        "open", "id:k", "id:s", "reply:me", "events", "outbox",
    }  # fmt: skip
    assert queue.xpending(KEYS.commands, GROUP)["pending"] == 0
    assert queue.xlen(KEYS.events) == len(["wallet.topped_up", "chat.started", "credits.low"])
    assert 0 < queue.pttl(KEYS.reply("me")) <= Limits().reply_ttl_ms
    assert 86_400_000 < queue.pttl(f"{KEYS.prefix}id:k") <= Limits().id_ttl_ms


def test_another_epoch_writes_nothing(queue: redis.Redis) -> None:
    """An actor that was replaced, or whose daemon was, is refused whatever it brings."""
    commit = _commit(queue, _top_up(queue), epoch="6")
    before = _everything(queue)
    assert _run(queue, commit).kind == FENCED
    queue.hdel(KEYS.epochs, "a")
    commit = _commit(queue, _top_up(queue, "k2"))
    assert _run(queue, commit).kind == FENCED
    assert _everything(queue).keys() == before.keys()


def test_an_account_that_moved_refuses_a_stale_writer(queue: redis.Redis) -> None:
    """Decided on an older state: nothing is written."""
    first = _top_up(queue)
    assert _run(queue, _commit(queue, first)).kind == OK
    stale = _commit(queue, _top_up(queue, "k2"), before="")
    before = _everything(queue)
    assert _run(queue, stale).kind == STALE
    assert _everything(queue) == before
    assert isinstance(first.command, Command)
    fresh = _commit(queue, _top_up(queue, "k3"), before=first.command.entry)
    assert _run(queue, fresh).kind == OK


def test_an_id_that_was_used_refuses_and_says_what_it_stood_for(queue: redis.Redis) -> None:
    """Another account's commands with the same ids, decided without knowing of it."""
    first = [_top_up(queue, "same", "u"), _top_up(queue, "too", "u")]
    assert _run(queue, _commit(queue, *first)).kind == OK
    second = [
        _top_up(queue, "same", "u2"),
        _top_up(queue, "new", "u2"),
        _top_up(queue, "too", "u2"),
    ]
    commit = _commit(queue, *second)
    before = _everything(queue)
    answer = _run(queue, commit)
    assert answer.kind == KNOWN
    assert [(k, v.split()[1]) for k, v in answer.known_ids()] == [("same", "ok"), ("too", "ok")]
    assert _everything(queue) == before


def test_a_chat_that_is_there_refuses_a_second_record(queue: redis.Redis) -> None:
    """A chat has one record for ever, whoever wants to start it again."""
    queue.set(KEYS.chat("c"), "{}")
    commit = _commit(queue, _top_up(queue), _start(queue))
    before = _everything(queue)
    assert _run(queue, commit) == Verdict(EXISTS, ("c",))
    assert _everything(queue) == before


def test_an_entry_without_account_has_its_effect_once(queue: redis.Redis) -> None:
    """Delivered twice, decided twice, answered once: the pending list tells."""
    commit = _commit(queue, _send(queue, type="nonsense", id="n", reply_to="me"))
    assert _run(queue, commit).kind == OK
    before = _everything(queue)
    assert _run(queue, commit).kind == DONE
    assert _everything(queue) == before
    assert queue.xlen(KEYS.dead) == 1
