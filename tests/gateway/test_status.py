"""The status and its history: whole as OpenAPI describes them, and true."""

import pytest

from daemon.gateway import schemas
from daemon.monitoring.alarms import ALARMS
from loadtests.common.live import KEYS, LiveDaemon
from persistence.redis.status_history import SAMPLES_MAX, SERIES, STEP_MS
from tests.gateway.conftest import Gateway

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
    schemas.Status.model_validate(told, strict=True)
    assert told.keys() == schemas.Status.model_fields.keys()
    assert told["recorder"].keys() == schemas.RecorderStatus.model_fields.keys()
    assert all(a.keys() == schemas.ActorStatus.model_fields.keys() for a in told["actors"])
    assert told["queue"].keys() == schemas.QueueStatus.model_fields.keys()


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
    schemas.StatusHistory.model_validate(told, strict=True)
    assert told["from"] % STEP_MS == 0
    assert told["from"] + (SAMPLES_MAX - 1) * STEP_MS <= told["now"] < told["from"] + 3_600_000
    assert told["series"].keys() == set(SERIES)
    assert {len(figures) for figures in told["series"].values()} == {SAMPLES_MAX}
    known = [figure for figure in told["series"]["queue_lag"] if figure is not None]
    assert known, "a sample was taken"
