"""A chat that has not be imported yet is answered from the old tables, to whoever may see it."""

import asyncio
import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, make_url
from structlog.testing import capture_logs

from actors.chat.rows import record_row
from daemon.gateway.legacy_fallback import LegacyFallback, legacy_unavailable
from daemon.gateway.postgres_reader import PostgresReader
from daemon.legacy.chat_reader import read_snapshot
from daemon.legacy.rules.imported_chats import ended_chat
from daemon.legacy.rules.rows import ImportedChat
from daemon.legacy.store.shape import LegacyShape
from loadtests.common.live import METERD, LiveDaemon
from meterd import ChatSnapshot, Meter
from meterd.rules.redis_keys import Keys
from persistence.postgres.engine import make_engine
from persistence.postgres.writer import write_batch
from persistence.redis.client import connect
from tests.databases import run
from tests.gateway.conftest import Gateway, gateway_alone
from tests.legacy.cutover.old import T, add_chat, add_record, make_tables
from tests.servers import redis_server

pytestmark = [pytest.mark.redis, pytest.mark.postgres]

ODD = "a chat, {so} to say"


class House(NamedTuple):
    """Both systems."""

    redis_url: str
    postgres_url: str
    engine: Engine

    @property
    def env(self) -> dict[str, str]:
        return {
            "METERD_REDIS__URL": self.redis_url,
            "METERD_POSTGRES__URL": self.postgres_url,
            "METERD_LEGACY__ENABLED": "true",
        }


@pytest.fixture
def house(engine: Engine, url: str) -> Iterator[House]:
    make_tables(engine)
    add_chat(engine, "first", 0, 10_000)
    add_chat(engine, "ended", 20_000, 50_000)
    add_record(engine, "ended", total_seconds="12.5", credits_used="3.25")
    add_chat(engine, "runs", 60_000, None, advisor_id="w")
    add_record(
        engine, "runs", advisor_id="w", status="active", last_resumed_at=90_000,
        total_seconds=20, credits_used=1, started_at=60_000,
    )  # fmt: skip
    add_chat(engine, ODD, 5, 1_005, user_id="odd user")
    add_record(engine, ODD, user_id="odd user", total_seconds=1, credits_used=2)
    add_chat(engine, "absurd", 0, 1_000, user_id="x")
    add_record(engine, "absurd", user_id="x", total_seconds=-5, credits_used=1)
    with redis_server() as redis_url:
        yield House(redis_url, url, engine)


def _told(found: Any, *names: str) -> list[Any]:
    return [found[name] for name in names]


@contextlib.contextmanager
def _gateway(house: House, **env: str) -> Iterator[Gateway]:
    with (
        tempfile.TemporaryDirectory() as folder,
        gateway_alone(Path(folder), **house.env | env) as gateway,
    ):
        yield gateway


def test_the_gateway_answers_from_the_old_tables(house: House) -> None:
    """Ended ones as they will be, running ones as they run; others learn nothing; and a record
    or a snapshot of ours counts before the old rows."""
    with _gateway(house) as gateway:
        ended = gateway.read("/v1/chats/ended", "u")
        assert _told(ended, "source", "status", "active_ms", "billed_ms", "paused_ms", "cost") == [
            "legacy", "ended", 12_500, 12_500, 17_500, "3.250000",
        ]  # fmt: skip
        origin = "source", "read_from", "chat_source"
        assert _told(ended, *origin) == ["legacy", "legacy", "legacy"]
        assert _told(ended, "started_at", "ended_at") == [T + 20_000, T + 50_000]
        assert ended["wallet"]["user_id"] == "u"
        first = gateway.read("/v1/chats/first", "v", "advisor")
        assert _told(first, "source", "active_ms", "cost", "wallet") == [
            "legacy", 0, "0.000000", None,
        ]  # fmt: skip
        runs = gateway.ops("/v1/chats/runs")
        assert _told(runs, "source", "status", "active_ms", "as_of", "cost", "rate") == [
            "legacy", "running", 20_000, T + 90_000, "1.000000", "0.000000",
        ]  # fmt: skip
        odd = gateway.read(f"/v1/chats/{ODD}", "odd user")
        assert _told(odd, "source", "status", "active_ms", "cost") == [
            "legacy", "ended", 1_000, "2.000000",
        ]  # fmt: skip
        absurd = gateway.ops("/v1/chats/absurd")
        assert _told(absurd, "source", "status", "active_ms") == ["legacy", "ended", 0]
        for chat in ("ended", "runs", ODD, "never"):
            told = gateway.read(f"/v1/chats/{chat}", "stranger")
            assert _told(told, "source", "status", "user_id") == ["none", "not_started", None]
        assert gateway.read("/v1/chats/ended/history", "u")["history"] == []
        _bring(house, ImportedChat("ended", "u", "v", T + 20_000, T + 50_000, 12_500, 3_250_000))
        again = gateway.read("/v1/chats/ended", "u")
        assert _told(again, *origin) == ["record", "postgres", "migrated"]
        assert {**again, **dict.fromkeys(("now", *origin))} == {
            **ended, **dict.fromkeys(("now", *origin))
        }  # fmt: skip


def _bring(house: House, *chats: ImportedChat) -> None:
    with house.engine.begin() as connection:
        write_batch(connection, [record_row(ended_chat(chat)) for chat in chats], [], [])


def test_a_chat_of_ours_hides_an_old_one_of_its_name(house: House) -> None:
    """Also from whoever might see the old one."""
    with (
        contextlib.closing(connect(house.redis_url)) as client,
        Meter(house.redis_url) as meter,
        _gateway(house) as gateway,
    ):
        shown = {
            **_ended_snapshot(meter),
            "chat_id": "ended",
            "user_id": "other",
            "advisor_id": "o",
        }
        client.set(Keys().chat("ended"), json.dumps(shown))
        assert gateway.read("/v1/chats/ended", "u")["source"] == "none"
        assert gateway.read("/v1/chats/ended", "other")["source"] == "live"


def _ended_snapshot(meter: Meter) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - only here

    plain: dict[str, Any] = msgspec.to_builtins(meter.snapshot("never"))
    del plain["source"]  # of no snapshot in Redis
    return plain | {"status": "ended", "started_at": 1, "ended_at": 1, "as_of": 1}


def test_without_the_old_database_the_reason_is_told(
    house: House, server_url: str, other_url: str
) -> None:
    """For what only it can answer; a chat of ours needs it not."""
    there = make_engine(other_url)
    make_tables(there)
    add_chat(there, "elsewhere", 0, 10_000)
    there.dispose()
    _bring(house, ImportedChat("ended", "u", "v", T, T + 50_000, 12_500, 3_250_000))
    with _gateway(house, METERD_LEGACY__URL=other_url) as gateway:
        assert gateway.read("/v1/chats/elsewhere", "u")["source"] == "legacy"
        _admit(server_url, other_url, "false")
        away = gateway.get("/v1/chats/elsewhere", "u")
        assert (away.status_code, away.json()["code"]) == (503, "legacy_away")
        assert gateway.read("/v1/chats/ended", "u")["source"] == "record"
        _admit(server_url, other_url, "true")
        assert gateway.read("/v1/chats/elsewhere", "u")["source"] == "legacy"
    with _gateway(house, METERD_LEGACY__CHATS_TABLE="chatter") as gateway:
        away = gateway.get("/v1/chats/runs", "u")
        assert (away.status_code, away.json()["code"]) == (503, "legacy_away")
        assert "legacy.chats_table" in away.json()["detail"]


def test_what_readers_would_be_told_is_said_at_the_start(house: House, other_url: str) -> None:
    """To whoever starts the gateway: long before somebody asks."""
    for url, told in ((house.postgres_url, []), (other_url, ["legacy.unavailable"])):
        records = PostgresReader(make_engine(url), 1, legacy_unavailable)
        with capture_logs() as logs:
            asyncio.run(LegacyFallback(records, LegacyShape(), "latest").probe())
        records.close()
        assert [one["event"] for one in logs] == told
        assert all("legacy.records_table" in one["why"] for one in logs)


def _admit(server_url: str, url: str, admitted: str) -> None:
    """Let nobody into a database any more, or again."""
    name = make_url(url).database
    run(server_url, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {admitted}")
    run(
        server_url,
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )


def _snapshot(house: House, chat_id: str, policy: str = "latest") -> ChatSnapshot:
    with house.engine.connect() as connection:
        found = read_snapshot(connection, LegacyShape(), policy, chat_id)
    assert found is not None
    return found


def test_a_running_chat_can_be_drawn(house: House) -> None:
    """The snapshot of an old chat that runs goes on as any other's."""
    runs = _snapshot(house, "runs")
    assert (runs.source, runs.active_ms_at(T + 95_000), runs.cost_at(T + 95_000)) == (
        "legacy", 25_000, runs.cost,
    )  # fmt: skip


@pytest.mark.parametrize("chat_id", ["never", "with\0nul", "\ud800"])
def test_what_the_old_tables_do_not_know_is_none(house: House, chat_id: str) -> None:
    """Whatever the id, and whether or not a database can take it."""
    with house.engine.connect() as connection:
        assert read_snapshot(connection, LegacyShape(), "latest", chat_id) is None


def test_times_without_a_zone_are_utc_to_everybody(house: House) -> None:
    """Wherever the server is."""
    naive = "TYPE timestamp USING {0} AT TIME ZONE 'UTC'"
    with house.engine.begin() as connection:
        for name in ("created_at", "ended_at"):
            change = f"ALTER TABLE chats ALTER {name} {naive.format(name)}"
            connection.exec_driver_sql(change)
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f"ALTER DATABASE \"{name}\" SET timezone = 'Asia/Tokyo'")
    snapshot = _snapshot(house, "ended")
    assert (snapshot.started_at, snapshot.ended_at) == (T + 20_000, T + 50_000)


def test_proportional_shares_are_those_of_the_migration(house: House) -> None:
    """The policy is the settings'."""
    shares = [_snapshot(house, chat, "proportional").active_ms for chat in ("first", "ended")]
    assert shares == [3_125, 9_375]


@pytest.mark.acceptance
def test_the_command_tells_of_an_old_chat(house: House, tmp_path: Path) -> None:
    """``meterd chat``: from the old tables, without a history."""
    env = LiveDaemon(tmp_path, house.env).env | house.env | {"METERD_HOME": str(tmp_path)}

    def told_by(*args: str) -> str:
        asked = subprocess.run(
            [METERD, "chat", *args], env=env, capture_output=True, text=True, check=True
        )
        return asked.stdout

    told = json.loads(told_by("ended", "--json"))
    assert _told(told["snapshot"], "source", "status", "active_ms") == ["legacy", "ended", 12_500]
    assert told["history"] == []
    assert "still in the old system" in told_by("ended")
