"""The status and its history: whole as OpenAPI describes them, and true."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from daemon.discovery.runfile import Addresses
from daemon.gateway.container import make_dependencies
from daemon.gateway.schemas.base import Shape
from daemon.gateway.schemas.status import (
    ActorStatus,
    QueueStatus,
    RecorderStatus,
    Status,
    StatusHistory,
)
from daemon.gateway.service import Service
from daemon.monitoring.alarms import ALARMS
from daemon.settings.settings import Settings
from loadtests.common.live import KEYS, LiveDaemon
from persistence.redis.client import connect
from persistence.redis.functions import load_functions
from persistence.redis.status_history import SAMPLES_MAX, SERIES, STEP_MS
from persistence.redis.versions import VERSION
from tests.gateway.conftest import Gateway
from tests.servers import redis_server

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


def test_the_status_of_a_daemon_is_as_described_and_no_field_more(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    """Every field of it is there while a daemon works; a client can be generated from that."""
    gateway.do("top_up", user_id=name, amount="10")
    gateway.do("start", chat_id=name, user_id=name, advisor_id="v", rate="0")
    live.until_handled()
    live.until(lambda: live.published()["recorder"].get("written", 0) > 0)
    told = gateway.ops("/v1/status")
    Status.model_validate(told, strict=True)
    assert told.keys() == Status.model_fields.keys()
    assert told["recorder"].keys() == RecorderStatus.model_fields.keys()
    assert all(a.keys() == ActorStatus.model_fields.keys() for a in told["actors"])
    assert told["queue"].keys() == QueueStatus.model_fields.keys()


@pytest.mark.parametrize("shape", [Status, StatusHistory])
def test_every_field_is_described(shape: type[Shape]) -> None:
    """Of what it holds as well: a generated client shows nothing else."""
    described = shape.model_json_schema()
    parts = {shape.__name__: described, **described["$defs"]}
    bare = [
        f"{part}.{name}"
        for part, schema in parts.items()
        for name, field in schema["properties"].items()
        if not any("description" in one for one in (field, *field.get("anyOf", ())))
    ]
    assert bare == []


@pytest.mark.parametrize("state", ["down", "recovering"])
def test_the_status_without_a_daemon_is_as_described(state: str, tmp_path: Path) -> None:
    """None has published, or Redis was restarted since; it is so since the gateway has seen it."""

    async def ask(url: str) -> list[dict[str, Any]]:
        addresses = Addresses(url, "postgresql://nobody@127.0.0.1:1/none")
        parts = make_dependencies(Settings(home=tmp_path), addresses)
        try:
            await parts.clock.sample()
            service = Service(parts)
            first = await service.status()
            return [first, await service.status()]
        finally:
            await parts.meter.close()
            await parts.clients.aclose()
            parts.postgres_reader.close()

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        load_functions(client)
        if state == "recovering":
            client.hset(KEYS.epochs, "supervisor", "1")
            published = {"state": "ready", "state_since": 5, "why": "", "version": "0.1"}
            client.set(KEYS.status, json.dumps({**published, "functions": VERSION}))
        first, second = asyncio.run(ask(url))
    Status.model_validate(first, strict=True)
    assert (first["state"], first["state_since"]) == (state, first["now"])
    assert second["state_since"] == first["state_since"]
    assert first["next_step"]
    assert [alarm["name"] for alarm in first["alarms"]] == ["MeterdNotReady"]


def test_the_status_says_since_when_and_what_to_do(gateway: Gateway) -> None:
    told = gateway.ops("/v1/status")
    assert told["state"] == "ready"
    assert told["now"] - told["uptime_ms"] - 1_000 <= told["state_since"] <= told["now"]
    assert (told["next_step"], told["recovery"]) == (None, None)
    assert told["version"] == gateway.http.get("/openapi.json").json()["info"]["version"]


def test_an_alarm_of_the_status_is_one_of_prometheus(gateway: Gateway, live: LiveDaemon) -> None:
    """It is there as soon as what it is about, and names the figure that it is about."""
    with live.client() as client:
        client.xadd(KEYS.commands, {"type": "nonsense"})
        live.until(lambda: client.xlen(KEYS.dead) > 0)
    alarms = {alarm["name"]: alarm for alarm in gateway.ops("/v1/status")["alarms"]}
    assert alarms["MeterdDeadLetters"]["tile"] == "dead"
    assert alarms.keys() <= {alarm.name for alarm in ALARMS}


def test_the_history_is_an_hour_in_steps_with_what_was_measured(
    gateway: Gateway, live: LiveDaemon
) -> None:
    with live.client() as client:
        live.until(lambda: client.xlen(KEYS.history) > 0)
    told = gateway.ops("/v1/status/history")
    StatusHistory.model_validate(told, strict=True)
    assert told["from"] % STEP_MS == 0
    assert told["from"] + (SAMPLES_MAX - 1) * STEP_MS <= told["now"] < told["from"] + 3_600_000
    assert told["series"].keys() == set(SERIES)
    assert {len(figures) for figures in told["series"].values()} == {SAMPLES_MAX}
    known = [figure for figure in told["series"]["queue_lag"] if figure is not None]
    assert known, "a sample was taken"
