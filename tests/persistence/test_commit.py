"""The commit function: all of a change or nothing, and only for whom it is meant."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from actors.chat.commit_builder import AccountView, CommitBuilder, CommitContext
from actors.messages import Task
from meterd.rules.commands import Command, InvalidCommand, parse_entry
from meterd.rules.idempotency import DAY_MS
from meterd.rules.model import Account, Policy
from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.account_reader import AccountReader
from persistence.redis.commit import (
    DONE,
    ERROR,
    EXISTS,
    FENCED,
    KNOWN,
    OK,
    STALE,
    Commit,
    CommitResult,
    Limits,
    is_readable,
    pack_commit,
    pack_state,
    unpack_state,
)
from persistence.redis.committer import BYTES_MAX, COMMITS_MAX, Committer, groups_of
from persistence.redis.functions import function_name

KEYS = Keys()
EPOCH = "7"


@pytest.fixture
def queue(client: redis.Redis) -> redis.Redis:
    client.xgroup_create(KEYS.commands, GROUP, id="0", mkstream=True)
    _, epoch, _ = client.fcall(function_name("acquire_lease"), 1, KEYS.commands, "t", 60_000)
    client.fcall(function_name("confirm_integrity"), 1, KEYS.commands, "t", epoch, "m")
    client.hset(KEYS.epochs, "a", EPOCH)
    return client


def _send(client: redis.Redis, **fields: str) -> Task:
    """Put a command into the queue and take delivery of it."""
    entry: Any = client.xadd(KEYS.commands, fields)  # type: ignore[arg-type]
    client.xreadgroup(GROUP, "meterd", {KEYS.commands: ">"})
    flat = [part.encode() for pair in fields.items() for part in pair]
    parsed = parse_entry(entry.decode(), flat)
    if isinstance(parsed, InvalidCommand):
        return Task("", None, invalid=parsed)
    return Task(fields.get("user_id", ""), parsed)


def _commit(client: redis.Redis, *tasks: Task, before: str = "") -> Commit:
    writer = CommitContext("a", EPOCH, Policy(), "p", Limits())
    user = tasks[0].user
    loaded = AccountReader(client, KEYS).load([user], [])[0] if user else {}
    _, account = loaded.get(user, ("", Account(user)))
    run = CommitBuilder(writer, AccountView(before, account, {}, {}))
    for task in tasks:
        run.add(task)
    return run.commit()


def _commit_of_new(task: Task) -> Commit:
    """As by somebody who takes the account for a new one."""
    run = CommitBuilder(
        CommitContext("a", EPOCH, Policy(), "p", Limits()),
        AccountView("", Account(task.user), {}, {}),
    )
    run.add(task)
    return run.commit()


def _run_all(client: redis.Redis, *commits: Commit, epoch: str = EPOCH) -> list[CommitResult]:
    committer = Committer(client, KEYS, "a", epoch, Limits())
    return committer.commit([pack_commit(commit) for commit in commits])


def _run(client: redis.Redis, commit: Commit, epoch: str = EPOCH) -> CommitResult:
    return _run_all(client, commit, epoch=epoch)[0]


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
        "commands", "epoch", "epochs", "format", "leader", "memory", "account:u", "wallet:u",
        "chat:c", "open", "id:k", "id:s", "reply:me", "replies", "events", "outbox",
    }  # fmt: skip
    assert queue.xpending(KEYS.commands, GROUP)["pending"] == 0
    assert queue.xlen(KEYS.events) == len(["wallet.topped_up", "chat.started", "credits.low"])
    assert 0 < queue.pttl(KEYS.reply("me")) <= Limits().reply_ttl_ms
    assert DAY_MS < queue.pttl(f"{KEYS.prefix}id:s") <= Limits().id_ttl_ms
    assert 30 * DAY_MS < queue.pttl(f"{KEYS.prefix}id:k") <= Limits().credit_id_ttl_ms


def test_another_epoch_writes_nothing(queue: redis.Redis) -> None:
    """An actor that was replaced, or whose daemon was, is refused whatever it brings."""
    commit = _commit(queue, _top_up(queue))
    before = _everything(queue)
    assert _run(queue, commit, epoch="6").kind == FENCED
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
    assert _run(queue, commit) == CommitResult(EXISTS, ("c",))
    assert _everything(queue) == before


def test_an_entry_without_account_has_its_effect_once(queue: redis.Redis) -> None:
    """Delivered twice, decided twice, answered once: the pending list tells."""
    commit = _commit(queue, _send(queue, type="nonsense", id="n", reply_to="me"))
    assert _run(queue, commit).kind == OK
    before = _everything(queue)
    assert _run(queue, commit).kind == DONE
    assert _everything(queue) == before
    assert queue.xlen(KEYS.dead) == 1


@pytest.mark.parametrize("how", ["destroyed", "deleted"])
def test_without_the_group_an_entry_of_no_account_is_left_for_later(
    queue: redis.Redis, how: str
) -> None:
    """It is read again when the group is made again. It is no error, which would be held against
    the entry, and the other commits of the call are none the wiser.
    """
    nobodys, mine = _send(queue, type="pause", id="p", chat_id="none"), _top_up(queue)
    commits = [_commit(queue, nobodys), _commit(queue, mine)]
    if how == "destroyed":
        queue.xgroup_destroy(KEYS.commands, GROUP)
    else:
        queue.delete(KEYS.commands)
    assert [result.kind for result in _run_all(queue, *commits)] == [DONE, OK]
    committer = Committer(queue, KEYS, "a", EPOCH, Limits())
    assert committer.skipped([(nobodys.entry, "p")]) == set()


def test_commits_of_one_call_are_judged_each_by_itself(queue: redis.Redis) -> None:
    """One is refused, one can't be read by the server, the others are written all the same."""
    queue.rpush(KEYS.account("broken"), "a list")
    good, broken, last = (_top_up(queue, f"k-{user}", user) for user in ("u", "broken", "u2"))
    commits = [_commit(queue, good), _commit_of_new(broken), _commit(queue, last)]
    stale = _commit_of_new(_top_up(queue, "k-stale", "u3"))
    stale.before = "1-1"
    kinds = [v.kind for v in _run_all(queue, *commits, stale)]
    assert kinds == [OK, ERROR, OK, STALE]
    assert queue.exists(KEYS.wallet("u"), KEYS.wallet("u2")) == 2
    assert not queue.exists(KEYS.wallet("broken"), KEYS.wallet("u3"))
    assert queue.xpending(KEYS.commands, GROUP)["pending"] == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda commit: setattr(commit, "events", "none"),
        lambda commit: setattr(commit, "chats", [["c", "{}", True], 5]),
        lambda commit: setattr(commit.entries[0], "reply", None),
        lambda commit: setattr(commit.entries[1], "dead", None),
    ],
    ids=["events", "chats", "reply", "dead"],
)
def test_a_commit_that_can_not_be_planned_writes_nothing(
    queue: redis.Redis, spoil: Callable[[Commit], None]
) -> None:
    """Wherever its planning fails: nothing of it is written, and it stands in nobody's way. The
    commits before and after it in the call are written, with the same chat and the same id too."""
    tasks = _top_up(queue, "k-spoilt"), _start(queue, "s-spoilt")
    spoilt = _commit(queue, *tasks)
    spoil(spoilt)
    whole = _commit(queue, _top_up(queue, "k-u1", "u1"))
    same = _commit(queue, _top_up(queue, "k-spoilt", "u2"), _start(queue, "s-u2", "u2"))
    assert [v.kind for v in _run_all(queue, whole, spoilt, same)] == [OK, ERROR, OK]
    assert queue.exists(KEYS.wallet("u1"), KEYS.wallet("u2"), KEYS.chat("c")) == 3
    assert not queue.exists(KEYS.account("u"), KEYS.wallet("u"), f"{KEYS.prefix}id:s-spoilt")
    assert queue.xpending(KEYS.commands, GROUP)["pending"] == len(tasks)
    assert queue.xlen(KEYS.outbox) == 2
    replies: Any = queue.xrange(KEYS.reply("me"))
    assert len(replies) == 2


def test_commits_of_one_call_do_not_overlook_each_other(queue: redis.Redis) -> None:
    """The same account, the same id, or the same chat twice: the later one is to be redecided."""
    top_up, again = _commit(queue, _top_up(queue)), _commit(queue, _top_up(queue, "k2"))
    assert [v.kind for v in _run_all(queue, top_up, again)] == [OK, STALE]
    same_id = [_commit(queue, _top_up(queue, "same", user)) for user in ("u2", "u3")]
    assert [v.kind for v in _run_all(queue, *same_id)] == [OK, STALE]
    both = [
        _commit(queue, _top_up(queue, f"t{user}", user), _start(queue, f"s{user}", user))
        for user in ("u4", "u5")
    ]
    assert [v.kind for v in _run_all(queue, *both)] == [OK, STALE]
    assert _run(queue, both[1]) == CommitResult(EXISTS, ("c",))


@given(st.lists(st.integers(1, 600_000), max_size=300))
def test_calls_are_bounded_and_keep_the_order(sizes: list[int]) -> None:
    """However many commits of whatever size: none is lost, none goes with too many others."""
    commits = [bytes(size) for size in sizes]
    groups = list(groups_of(commits))
    assert [one for group in groups for one in group] == commits
    for group in groups:
        assert 1 <= len(group) <= COMMITS_MAX
        assert len(group) == 1 or sum(map(len, group)) <= BYTES_MAX


def test_a_reply_stream_that_is_none_costs_the_reply_only(queue: redis.Redis) -> None:
    """Somebody keeps something else under the reply's key: the command has its effect."""
    queue.set(KEYS.reply("me"), "not a stream")
    assert _run(queue, _commit(queue, _top_up(queue))).kind == OK
    assert queue.xlen(KEYS.outbox) == queue.exists(KEYS.wallet("u")) == 1
    assert queue.xpending(KEYS.commands, GROUP)["pending"] == 0


def test_an_account_that_is_somebody_elses_can_not_be_read() -> None:
    """What is kept under one name and tells of another decides nothing."""
    kept = pack_state("1-0", Account("u", settled_micro=5)).encode()
    assert unpack_state(kept, "u") == ("1-0", Account("u", settled_micro=5))
    applied, account = unpack_state(kept, "v")
    assert (applied, account.user_id, is_readable(account)) == ("1-0", "v", False)
