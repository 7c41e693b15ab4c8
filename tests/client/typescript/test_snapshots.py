"""Snapshots of the client in TypeScript: they say the same as in Python."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from meterd._results import ChatSnapshot, WalletSnapshot
from tests.client.by_hand import KEYS, chat_json, wallet_json
from tests.client.typescript.node import NODE, Driver, run

pytestmark = [pytest.mark.redis, pytest.mark.timeout(60)]


def test_a_snapshot_of_version_0_1_is_read(meter: Any, queue: redis.Redis) -> None:
    """It lacks what the contract has since; fields of a later release are left out."""
    written = json.loads(chat_json("c", mood="good"))
    for name in ("free_scope", "increment_due", "abandon_ms", "max_ms"):
        del written[name]
    queue.set(KEYS.chat("c"), json.dumps(written))
    assert meter.call("snapshot", chat_id="c") == json.loads(chat_json("c"))


def test_what_a_snapshot_says_of_a_later_moment_is_what_it_says_in_python(driver: Driver) -> None:
    """Time, cost and balance, to the millisecond and the micro-credit."""
    draw = random.Random(16)
    asked, wanted = [], []
    for _ in range(200):
        now_ms = 1_000 + draw.choice((-5, 0, 1, draw.randrange(10**6)))
        chat = json.loads(
            chat_json(
                "c", status=draw.choice(("running", "running", "paused")),
                rate=f"{draw.randrange(10**7) / 10**6:.6f}", cost=f"{draw.randrange(100)}.000001",
                active_ms=draw.randrange(10**5), free_ms=draw.choice((0, draw.randrange(10**5))),
                min_ms=draw.choice((0, 60_000)), increment_ms=draw.choice((1, 7, 60_000)),
                increment_due=draw.choice(("begin", "end")),
            )
        )  # fmt: skip
        wallet = json.loads(
            wallet_json(
                "u", balance=f"{draw.randrange(100)}.{draw.randrange(10**6):06}",
                burn_rate=f"{draw.randrange(10**8) / 10**6:.6f}",
                zero_at=draw.choice((None, 1_000, 50_000)),
            )
        )  # fmt: skip
        python_chat = msgspec.convert(chat, ChatSnapshot)
        python_wallet = msgspec.convert(wallet, WalletSnapshot)
        for snapshot, method, value in (
            (chat, "active_ms_at", python_chat.active_ms_at(now_ms)),
            (chat, "cost_at", f"{python_chat.cost_at(now_ms):.6f}"),
            (wallet, "balance_at", f"{python_wallet.balance_at(now_ms):.6f}"),
        ):
            asked.append(driver.begin("later", snapshot=snapshot, method=method, now_ms=now_ms))
            wanted.append(value)
    assert [future.result(30) for future in asked] == wanted


RECORDS = """
import assert from "node:assert/strict";
import { Meter, UnavailableError } from "./src/index.js";

const record = JSON.parse(process.argv[2]);
const answers = { old: () => record, none: async () => null, broken: async () => ({ cost: 1 }) };
const meter = new Meter(process.argv[1], { read_record: (chat_id) => answers[chat_id]() });
const old = await meter.snapshot("old");
assert.deepEqual(JSON.parse(JSON.stringify(old)), record);
assert.ok(!old.is_open);
assert.equal(old.source, record.increment_ms === 0 ? "migrated" : "live");
assert.equal((await meter.snapshot("none")).source, null);
assert.equal((await meter.snapshot("none")).status, "not_started");
await assert.rejects(meter.snapshot("broken"), UnavailableError);
await meter.close();
"""


def test_a_chat_that_left_redis_is_read_where_the_caller_says(
    package: Path, server: str, queue: redis.Redis
) -> None:
    """Its record as a snapshot; not to know is not the same as never started."""
    for increment_ms in (1, 0):
        record = chat_json("old", status="ended", ended_at=9, increment_ms=increment_ms)
        run(NODE, "--input-type=module", "-e", RECORDS, server, record, cwd=package)
