"""Nothing is lost and nothing comes twice when the whole daemon is killed in the middle."""

import contextlib
import os
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine

from actors.chat.rows import record_row
from actors.rules.money import format_micro
from actors.rules.state import Policy
from actors.rules.views import wallet_snapshot
from actors.rules.world import World
from persistence.postgres import reader
from persistence.postgres.rows import JournalRow
from tests.acceptance.load import KEYS, Entry, Load, Sender, fold
from tests.live import LiveDaemon, live_daemon

pytestmark = [pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(600)]

SECONDS = float(os.environ.get("METERD_TEST_KILL_SECONDS", "20"))
SEED = int(os.environ.get("METERD_TEST_SEED", str(int.from_bytes(os.urandom(3)))))


def test_after_kill_9_and_restart_the_records_equal_the_fold_of_what_was_sent() -> None:
    """2 000 chats of 500 users at once, random commands, SIGKILL half-way, a second life."""
    print(f"METERD_TEST_SEED={SEED}")
    with live_daemon() as daemon, contextlib.closing(daemon.client()) as client:
        sender = Sender(client, Load(users=500, chats_per_user=4, seed=SEED))
        sender.begin()
        sender.send_for(SECONDS / 2)
        _kill(daemon)
        sender.send_for(SECONDS / 4)
        daemon.start()
        sender.send_for(SECONDS / 4)
        sender.finish()
        daemon.until_handled(timeout_s=240)
        _compare(daemon, daemon.engine(), sender.log)


def _kill(daemon: LiveDaemon) -> None:
    """The daemon's own process; its actors go down with it and may write nothing more."""
    pids = [actor["pid"] for actor in daemon.published()["actors"]]
    daemon.kill()
    daemon.process = None
    daemon.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), timeout_s=30)


def _compare(daemon: LiveDaemon, engine: Engine, log: list[Entry]) -> None:
    world = World(Policy())
    expected = fold(world, log)
    journal = _journal(engine)
    commands = {row.stream_id: row for row in journal if row.fields.get("type") != "settle"}
    assert {k: row.outcome for k, row in commands.items()} == expected, "every entry, one outcome"
    chats = {chat_id: world.chat(chat_id) for chat_id in world.owner}
    with engine.connect() as connection:
        rows = reader.fetch_records(connection, list(chats))
    assert rows == {k: record_row(chat) for k, chat in chats.items() if chat is not None}
    _compare_money(daemon, engine, world)


def _compare_money(daemon: LiveDaemon, engine: Engine, world: World) -> None:
    with contextlib.closing(daemon.client()) as client, engine.connect() as connection:
        for user, account in world.accounts.items():
            raw = client.get(KEYS.wallet(user))
            assert isinstance(raw, bytes)
            wallet = msgspec.json.decode(raw)
            assert wallet["balance"] == wallet_snapshot(account, account.as_of)["balance"]
            assert wallet["open_chats"] == 0
            ledger = reader.ledger_of_user(connection, user, 100_000)
            assert format_micro(sum(e.amount_micro for e in ledger)) == wallet["balance"]


def _journal(engine: Engine) -> list[JournalRow]:
    with engine.connect() as connection:
        return list(reader.journal_of_all(connection))
