"""What Prometheus is told: in its form, of what was done, and of nobody in particular."""

import asyncio
import contextlib
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from daemon.discovery.runfile import Addresses
from daemon.gateway.container import make_dependencies
from daemon.gateway.metrics import STATES, Scraped
from daemon.gateway.service import Service
from daemon.monitoring.alarms import ALARMS
from daemon.monitoring.dashboard import ROWS
from daemon.settings.settings import Settings
from loadtests.common.live import LiveDaemon
from meterd.rules.redis_keys import Keys
from persistence.redis.client import connect
from tests.gateway.conftest import SECRET, Gateway, gateway_alone
from tests.monitoring.pages import page_of, with_one_actor_down, working
from tests.monitoring.promtool import promtool
from tests.monitoring.selectors import missing_of
from tests.servers import redis_server
from tests.shared_daemon import servers_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]

KEYS = Keys()
ROOT = Path(__file__).parents[2]
Sample = tuple[str, frozenset[tuple[str, str]]]


def _parsed(text: str) -> dict[Sample, float]:
    """Each sample by its name and labels; a name and its labels are there once."""
    samples: dict[Sample, float] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in samples
            samples[key] = sample.value
    return samples


def _read(gateway: Gateway) -> dict[Sample, float]:
    answer = gateway.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return _parsed(answer.text)


def _value(samples: dict[Sample, float], name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def test_commands_are_counted(gateway: Gateway, live: LiveDaemon, name: str) -> None:
    """By type and outcome, as the daemon had them."""
    labels = {"type": "pause", "outcome": "unknown_chat"}
    before = _value(_read(gateway), "meterd_commands_total", **labels)
    for _ in range(3):
        gateway.post({"type": "pause", "chat_id": name, "user_id": name})
    live.until(lambda: _value(_read(gateway), "meterd_commands_total", **labels) == before + 3)
    samples = _read(gateway)
    assert _value(samples, "meterd_latency_seconds_count") >= 3
    assert _value(samples, "meterd_daemon_state", state="ready") == 1


def test_requests_are_counted_by_the_form_of_their_route(gateway: Gateway, name: str) -> None:
    """Whatever they ask for; what no route is for is one route."""
    asked = {"route": "/v1/chats/{chat_id}", "method": "GET", "status": "200"}
    lost = {"route": "unknown", "method": "GET", "status": "404"}
    before = _read(gateway)
    for number in range(3):
        gateway.read(f"/v1/chats/{name}-{number}", name)
        gateway.http.get(f"/{name}-{number}")
    gateway.http.request(f"METHOD{name.upper()}", "/healthz")
    after = _read(gateway)
    for labels in (asked, lost):
        told = [_value(s, "meterd_gateway_requests_total", **labels) for s in (before, after)]
        assert told[1] == told[0] + 3
    count = [
        _value(s, "meterd_gateway_request_seconds_count", route=asked["route"])
        for s in (before, after)
    ]
    assert count[1] == count[0] + 3


def test_chats_and_the_queue_are_what_they_are(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    gateway.do("top_up", user_id=name, amount="10")
    gateway.do("start", chat_id=name, user_id=name, advisor_id="v", rate="0")
    gateway.do("pause", chat_id=name)
    live.until_handled()
    live.until(lambda: _value(_read(gateway), "meterd_chats", status="paused") >= 1)
    live.until(lambda: _service_told(_read(gateway)) == _service_known(gateway.ops("/v1/status")))


def _service_told(samples: dict[Sample, float]) -> dict[str, float]:
    return {
        "redis": _value(samples, "meterd_redis_up"),
        "postgres": _value(samples, "meterd_postgres_up"),
        "lag": _value(samples, "meterd_queue_lag_entries"),
        "dead": _value(samples, "meterd_dead_letters"),
        "actors": _value(samples, "meterd_actors", state="up"),
    }


def _service_known(status: Any) -> dict[str, float]:
    actors = sum(actor["up"] for actor in status["actors"])
    queue = {name: status["queue"][name] for name in ("lag", "dead")}
    return {"redis": 1, "postgres": 1, "actors": actors, **queue}


def test_no_label_names_anybody(gateway: Gateway) -> None:
    """There are as many users and chats as there are: each would be a series for ever."""
    me = "a-user-that-would-be-a-label"
    gateway.do("top_up", user_id=me, amount="10")
    gateway.do("start", chat_id=me, user_id=me, advisor_id=me, rate="0")
    for path in (f"/v1/chats/{me}", f"/v1/users/{me}/wallet", f"/v1/{me}", f"/static/{me}.js"):
        gateway.get(path, me)
        gateway.http.request("GET", path, headers={"X-Request-Id": me})
    gateway.http.request(me.upper(), "/healthz")
    assert me not in gateway.http.get("/metrics").text.lower()


def test_the_series_do_not_grow_with_what_is_asked(gateway: Gateway, name: str) -> None:
    _ask_for_much(gateway, f"{name}-a")
    before = _read(gateway).keys()
    _ask_for_much(gateway, f"{name}-b")
    assert _read(gateway).keys() == before


def _ask_for_much(gateway: Gateway, name: str) -> None:
    for number in range(5):
        gateway.get(f"/v1/chats/{name}-{number}", name)
        gateway.get(f"/{name}/{number}", name)
        gateway.post({"type": f"{name}-{number}"})
        gateway.http.request(f"M{number}{name.upper()}", "/healthz")


def test_a_stream_is_counted_while_it_is_open(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    """And its time, which says nothing, is not taken for that of a request."""
    path, headers = f"/v1/users/{name}/stream", gateway.bearer(name)
    before = _value(_read(gateway), "meterd_gateway_streams")
    with httpx.Client(base_url=gateway.url) as http, http.stream("GET", path, headers=headers):
        assert _value(_read(gateway), "meterd_gateway_streams") == before + 1
    live.until(lambda: _value(_read(gateway), "meterd_gateway_streams") == before)
    route = "/v1/users/{user_id}/stream"
    assert _value(_read(gateway), "meterd_gateway_request_seconds_count", route=route) == 0


@pytest.fixture(scope="module")
def reachable(live: LiveDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that others can reach."""
    env = servers_of(live)
    with gateway_alone(tmp_path_factory.mktemp("reachable"), "0.0.0.0", **env) as gateway:
        port = gateway.url.rpartition(":")[2]
        local = Gateway(f"http://127.0.0.1:{port}", SECRET)
        with local.http:
            yield local


def test_where_others_can_ask_metrics_want_an_operator(reachable: Gateway) -> None:
    assert reachable.http.get("/metrics").status_code == 401
    assert reachable.get("/metrics", "ann").status_code == 403
    assert reachable.get("/metrics", "o", "ops").status_code == 200


def test_what_a_daemon_says_of_itself_is_told_in_seconds() -> None:
    """Its histograms are of milliseconds, each bucket by itself; Prometheus adds them up."""
    timed = {"buckets_ms": [10, 100], "counts": [3, 2, 1], "sum_ms": 1_500}
    commands = {"start": {"ok": 5, "at_capacity": 1}}
    both = {"latency_ms": timed, "lateness_ms": timed}
    both["stages_ms"] = {"queued": 250, "committed": 1_500}
    told = {"uptime_ms": 2_500, "commands": commands, **with_one_actor_down(), **both}
    status = {**working().status, **told}
    samples = _parsed(page_of(Scraped(status, {}, {}, status)))
    assert _value(samples, "meterd_commands_total", type="start", outcome="ok") == 5
    assert _value(samples, "meterd_daemon_uptime_seconds") == 2.5
    assert _value(samples, "meterd_actors", state="down") == 1
    assert _value(samples, "meterd_credits_charged_total") == 12.345678
    assert _value(samples, "meterd_credits_adjusted_total", direction="down") == 0.5
    assert _value(samples, "meterd_active_seconds_total") == 90.5
    assert _value(samples, "meterd_events_total", event="credits.low") == 4
    assert _value(samples, "meterd_dead_lettered_entries_total", outcome="invalid_command") == 1
    assert _value(samples, "meterd_stage_seconds_total", stage="committed") == 1.5
    assert _value(samples, "meterd_stage_seconds_total", stage="answered") == 0
    assert _value(samples, "meterd_clock_steps_total") == 1
    assert _value(samples, "meterd_lease_changes_total") == 6
    assert _value(samples, "meterd_outbox_limit_entries") == 1_000
    for name in ("meterd_latency_seconds", "meterd_lateness_seconds"):
        buckets = [_value(samples, f"{name}_bucket", le=le) for le in ("0.01", "0.1", "+Inf")]
        assert buckets == [3, 5, 6]
        assert _value(samples, f"{name}_count") == 6
        assert _value(samples, f"{name}_sum") == 1.5


AWAY = (
    Scraped({}, None, None, None),
    Scraped({}, None, None, {"actor_restarts": 3}),
    Scraped({"state": "down", "why": "x"}, {"lag": 5}, {}),
    Scraped({"state": "standby"}, {}, {"running": 2}),
)


@pytest.mark.parametrize("scraped", AWAY)
def test_no_series_is_absent_whatever_is_away(scraped: Scraped) -> None:
    """Those of a daemon that works, and no other; what can't be known is no number."""
    samples = _parsed(page_of(scraped))
    assert samples.keys() == _parsed(page_of(working())).keys()
    assert _value(samples, "meterd_redis_up") == (scraped.queue is not None)
    assert _value(samples, "meterd_postgres_up") == (scraped.chats is not None)
    state: Any = scraped.status.get("state", "down")
    states = {
        dict(labels)["state"]: v for (n, labels), v in samples.items() if n.endswith("_state")
    }
    assert states == {one: float(one == state) for one in STATES}
    lag, running = (scraped.queue or {}).get("lag"), (scraped.chats or {}).get("running")
    assert _is(_value(samples, "meterd_queue_lag_entries"), lag)
    none = 0 if scraped.chats is not None else None
    assert _is(_value(samples, "meterd_chats", status="running"), running or none)
    assert _is(_value(samples, "meterd_open_chats"), None)


def _is(value: float, known: float | None) -> bool:
    return math.isnan(value) if known is None else value == known


@pytest.mark.parametrize(("counted", "told"), [(None, None), ({}, 0), ({"actor_restarts": 3}, 3)])
def test_a_counter_stands_still_while_its_daemon_cannot_be_asked(
    counted: dict[str, Any] | None, told: float | None
) -> None:
    """Nothing was counted where there was no daemon; who could not ask any does not know."""
    samples = _parsed(page_of(Scraped({}, None, None, counted)))
    assert _is(_value(samples, "meterd_actor_restarts_total"), told)
    assert _value(samples, "meterd_latency_seconds_count") == 0, "NaN would raise an alarm"


def test_a_gateway_remembers_what_a_daemon_counted(tmp_path: Path) -> None:
    """While no daemon works, and while Redis is away: a fall to 0 would look like a new one."""

    async def play(url: str, client: redis.Redis, stop: Callable[[], None]) -> list[float]:
        addresses = Addresses(url, "postgresql://nobody@127.0.0.1:1/none")
        parts = make_dependencies(Settings(home=tmp_path), addresses)
        try:
            service = Service(parts)
            told = [await _restarts(service)]
            client.set(KEYS.status, json.dumps(dict(working().status)))
            told.append(await _restarts(service))
            client.delete(KEYS.status)
            told.append(await _restarts(service))
            stop()
            told.append(await _restarts(service))
            return told
        finally:
            await parts.meter.close()
            await parts.clients.aclose()
            parts.postgres_reader.close()

    with contextlib.ExitStack() as stack:
        url = stack.enter_context(redis_server())
        client = stack.enter_context(contextlib.closing(connect(url)))
        assert asyncio.run(play(url, client, stack.close)) == [0, 2, 2, 2]


async def _restarts(service: Service) -> float:
    return _value(_parsed(page_of(await service.scrape())), "meterd_actor_restarts_total")


def test_every_state_that_a_daemon_can_be_in_has_its_series() -> None:
    """Those that the code publishes: each is reported or assigned by its word somewhere."""
    words = re.compile(r"""(?:state"?\] ?=|"state":|_state =|report\(|return) ?"([a-z]+)"[,}) ]?""")
    folders = ("actors/supervisor", "daemon/process", "daemon/discovery", "daemon/gateway")
    published = {
        word
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text().splitlines()
        if "state" in line or "report(" in line
        for word in words.findall(line)
    }
    assert {"ready", "standby", "lost", "stopping", "down"} <= published
    assert published <= set(STATES)


def test_prometheus_has_nothing_to_say_against_a_page(gateway: Gateway) -> None:
    """Of a real gateway and a real daemon: names, units, help texts."""
    assert promtool("check", "metrics", page=gateway.http.get("/metrics").text) == ""


def test_every_expression_finds_its_metric_on_a_real_page(gateway: Gateway) -> None:
    """Those of the dashboard and of the alarms; before anything else has happened as well."""
    page = gateway.http.get("/metrics").text
    panels = (panel for row in ROWS.values() for panel in row)
    expressions = [expr for panel in panels for expr in panel.queries.values()]
    for expr in (*expressions, *(alarm.expr for alarm in ALARMS)):
        assert missing_of(expr, page) == []


def test_the_page_has_the_series_that_every_page_has(gateway: Gateway) -> None:
    """A working service's, as other tests make it, and no other of the service itself."""
    told, made = (
        {name for name in _parsed(page) if not name[0].startswith(("meterd_gateway", "process"))}
        for page in (gateway.http.get("/metrics").text, page_of(working()))
    )
    assert told == made
