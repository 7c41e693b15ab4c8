"""Replies to the client in TypeScript, written by hand: each command gets its own."""

import random
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.client.by_hand import KEYS, Fields, answering, commands, reply, until
from tests.client.typescript.node import NODE, Call, Failed, refused, run

pytestmark = [pytest.mark.redis, pytest.mark.timeout(60)]


def test_many_at_once_each_get_their_own(meter: Any, server: str) -> None:
    """Two hundred commands in flight over one reader, answered in a wild order."""
    held: list[tuple[str, Fields]] = []

    def shuffled(client: redis.Redis, entry: str, command: Fields) -> None:
        held.append((entry, command))
        if len(held) == 200:
            random.shuffle(held)
            for one in held:
                reply(client, *one)

    with answering(server, shuffled):
        futures = [meter.begin("pause", chat_id=f"c{n}", timeout_s=30) for n in range(200)]
        replies = [future.result(30) for future in futures]
    assert [each["snapshot"]["chat_id"] for each in replies] == [f"c{n}" for n in range(200)]
    assert len({each["entry"] for each in replies}) == 200


def test_a_late_reply_is_not_taken_for_a_later_command_of_the_same_id(
    meter: Any, queue: redis.Redis
) -> None:
    """Other content under a used id must not get the first one's reply."""
    first = meter.begin("top_up", user_id="u", amount="10", id="mine", timeout_s=0.3)
    assert isinstance(first.exception(30), Failed)
    second = meter.begin("top_up", user_id="u", amount="20", id="mine")
    until(lambda: len(commands(queue)) == 2)
    one, two = commands(queue)
    reply(queue, *one)
    reply(queue, *two, outcome="id_conflict", message="other content")
    failed = second.exception(30)
    assert isinstance(failed, Failed)
    assert failed.said["outcome"] == "id_conflict"


EARLY = """
import assert from "node:assert/strict";
import { Pending } from "./src/pending.js";

const pending = new Pending();
const waiting = pending.add("i");
for (let n = 0; n < 100; n += 1) pending.deliver("i", { id: "i", entry: `${n}-0` });
waiting.expect("3-0");
assert.equal((await waiting.reply).entry, "3-0");
const late = pending.add("i");
for (let n = 0; n < 100; n += 1) pending.deliver("i", { id: "i", entry: `${n}-0` });
late.expect("16-0");
const nothing = await Promise.race([late.reply, new Promise((done) => setTimeout(done, 20, null))]);
assert.equal(nothing, null);
pending.remove(waiting);
pending.remove(late);
assert.ok(pending.is_empty);
"""


def test_a_reply_faster_than_the_answer_to_xadd_is_kept(package: Path) -> None:
    """It waits for the command to learn its entry; sixteen are kept, and no more."""
    run(NODE, "--input-type=module", "-e", EARLY, cwd=package)


def test_an_unreadable_reply_harms_nobody(meter: Any, server: str, queue: redis.Redis) -> None:
    """The reader goes on with the next one."""

    def litter(client: redis.Redis, entry: str, command: Fields) -> None:
        stream = KEYS.reply(command["reply_to"])
        client.xadd(stream, {"what": "is this"})
        client.xadd(stream, {"id": command["id"], "outcome": "ok", "entry": "1-1", "snapshot": "{"})
        reply(client, entry, command)

    with answering(server, litter):
        assert meter.call("pause", chat_id="c")["outcome"] == "ok"


def test_at_most_so_many_wait_at_once(make: Call, server: str, queue: redis.Redis) -> None:
    """Beyond in_flight_max a command waits for its turn, then nothing of it is sent."""
    meter = make(server, in_flight_max=2)
    first = [meter.begin("pause", chat_id="c", timeout_s=1.5) for _ in range(2)]
    until(lambda: len(commands(queue)) == 2)
    assert refused(meter, "pause", chat_id="late", timeout_s=0.2)["error"] == "BusyError"
    assert [future.exception(30).said["error"] for future in first] == ["NoReplyError"] * 2
    with answering(server):
        assert meter.call("pause", chat_id="next")["outcome"] == "ok"
    assert {fields["chat_id"] for _, fields in commands(queue)} == {"c", "next"}
