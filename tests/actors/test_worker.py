"""A chat actor's worker against a real server: what it tells of batches that come again."""

from typing import Any

import pytest
import redis

from actors.chat.commit_builder import CommitContext
from actors.chat.timer_service import TimerService
from actors.chat.worker import ChatWorker
from actors.messages import Task
from meterd.rules.commands import Command, parse_entry
from meterd.rules.model import Policy
from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.client import connect
from persistence.redis.commit import Limits
from persistence.redis.functions import load_functions
from tests.servers import redis_server

KEYS = Keys()


def _task(client: redis.Redis, **fields: str) -> Task:
    entry: Any = client.xadd(KEYS.commands, fields)  # type: ignore[arg-type]
    client.xreadgroup(GROUP, "meterd", {KEYS.commands: ">"})
    flat = [part.encode() for pair in fields.items() for part in pair]
    command = parse_entry(entry.decode(), flat)
    assert isinstance(command, Command)
    return Task("u", command)


def _worker(client: redis.Redis, epoch: str) -> ChatWorker:
    client.hset(KEYS.epochs, "a", epoch)
    writer = CommitContext("a", epoch, Policy(), "p", Limits())
    return ChatWorker(client, KEYS, writer, TimerService(lambda due: [0] * len(due)))


@pytest.mark.redis
def test_a_start_whose_answer_was_lost_is_told_of_though_another_command_came_with_it() -> None:
    """Else the supervisor gives up the chat's place, and nobody keeps its timer."""
    with redis_server() as url:
        client = connect(url)
        load_functions(client)
        client.xgroup_create(KEYS.commands, GROUP, id="0", mkstream=True)
        _, epoch, _ = client.fcall("meterd_acquire_lease", 1, KEYS.commands, "t", 60_000)
        client.fcall("meterd_confirm_integrity", 1, KEYS.commands, "t", epoch, "m")
        top_up = _task(client, type="top_up", id="k", user_id="u", amount="5")
        start = _task(client, type="start", id="s", chat_id="c", user_id="u", advisor_id="v")
        assert _worker(client, "7").handle(1, [top_up, start]).open_chats == {"u": ["c"]}
        beat = _task(client, type="heartbeat", id="h", chat_id="c", user_id="u")
        again = _worker(client, "8").handle(1, [top_up, start, beat])
        assert again.open_chats == {"u": ["c"]}
        client.close()
