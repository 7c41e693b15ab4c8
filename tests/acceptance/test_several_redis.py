"""Four partitions on two Redis servers: all of it works, and each server is for itself."""

import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from loadtests.common.live import LiveDaemon, live_daemon
from loadtests.common.watchdog import remove_with_us
from meterd import AtCapacityError
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys
from tests.acceptance.four_partitions import PARTITIONS, meter_of, states, user_of_each
from tests.chaos.servers import Redis
from tests.gateway.conftest import Gateway
from tests.gateway.listening import listening
from tests.servers import VALKEY

pytestmark = [pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Redis]]:
    folder = Path(tempfile.mkdtemp(prefix="meterd-several-"))
    remove_with_us(folder)
    servers = [Redis(VALKEY, folder / name) for name in ("a", "b")]
    try:
        for one in servers:
            one.start()
        yield servers
    finally:
        for one in servers:
            one.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def daemon(servers: list[Redis]) -> Iterator[LiveDaemon]:
    env = {
        "METERD_PARTITIONS": str(PARTITIONS),
        "METERD_REDIS__URLS": ",".join(one.url for one in servers),
        "METERD_SUPERVISOR__LEASE_MS": "1000",
        "METERD_ACTORS__WARM_POOL_SIZE": "0",
        "METERD_HTTP__PORT": "0",
    }
    with live_daemon(**env) as running:
        running.until(lambda: states(running) == ["ready"] * PARTITIONS, 60)
        yield running


def _chat_of(partition: int, prefix: str) -> str:
    """A chat whose claim is in a partition."""
    names = (f"{prefix}-{n}" for n in itertools.count())
    return next(name for name in names if partition_of(name, PARTITIONS) == partition)


def _everything(servers: list[Redis]) -> list[set[bytes]]:
    found: list[set[bytes]] = []
    for one in servers:
        with contextlib.closing(one.client()) as client:
            found.append(set(client.scan_iter("*")))
    return found


def test_each_partition_is_on_its_server(daemon: LiveDaemon, servers: list[Redis]) -> None:
    """Commands, snapshots and events of all; the keys of p on the server number p modulo two."""
    users = user_of_each("life")
    status = daemon.status()
    assert status["redis_url"] == servers[0].url
    assert status["redis_urls"] == [one.url for one in servers]
    with (
        meter_of(daemon) as meter,
        meter.events() as events,
    ):
        for user in users:
            meter.top_up(user, 5)
            meter.start(f"c-{user}", user, "v", rate="0.001")
            assert meter.pause(f"c-{user}").snapshot.user_id == user, "found without its user"
            assert meter.snapshot(f"c-{user}").status == "paused"
            assert meter.end(f"c-{user}", user_id=user).snapshot.status == "ended"
            assert meter.wallet(user).user_id == user
        seen = [next(events) for _ in range(4 * PARTITIONS)]
        for user in users:
            assert [one.event for one in seen if one.user_id == user] == [
                "wallet.topped_up", "chat.started", "chat.paused", "chat.ended"
            ]  # fmt: skip
    for place, keys in enumerate(_everything(servers)):
        numbers = {int(key[key.index(b"{") + 1 : key.index(b"}")]) for key in keys}
        assert numbers == {place, place + 2}
    daemon.until_handled()
    audit = daemon.run("audit")
    assert audit.returncode == 0, audit.stdout
    assert f"{len(users)} users" in audit.stdout


def test_people_reach_each_partition(daemon: LiveDaemon) -> None:
    """With ``meterd send``, ``dead``, ``chat`` and ``top``: one on each server."""
    for number, user in list(enumerate(user_of_each("hand")))[1:3]:
        told = daemon.run("send", "top_up", f"user_id={user}", "amount=5", "--json")
        assert json.loads(told.stdout)["outcome"] == "ok", told.stderr
        start = (f"chat_id={user}", f"user_id={user}", "advisor_id=v", "rate=0.001")
        assert daemon.run("send", "start", *start).returncode == 0
        ended = daemon.run("send", "end", f"chat_id={user}", "--json")
        assert json.loads(ended.stdout)["snapshot"]["user_id"] == user, ended.stderr
        assert daemon.run("chat", user).returncode == 0
        assert daemon.run("dead", "list", "--partition", str(number)).returncode == 0
        assert daemon.run("clock", "show", "--partition", str(number)).returncode == 0
    assert daemon.run("top", "--times", "1").returncode == 0


def test_urls_in_another_order_are_refused(daemon: LiveDaemon, servers: list[Redis]) -> None:
    """Nothing is written, and the daemon that works is not disturbed; nor with fewer or more."""
    before = _everything(servers)
    other = dict(daemon.env)
    del other["METERD_REDIS__URLS"]
    swapped = ",".join(one.url for one in reversed(servers))
    home = daemon.home.parent / "other"
    servers_of = {"METERD_POSTGRES__URL": daemon.postgres_url, "METERD_HTTP__ENABLED": "0"}
    refused = LiveDaemon(home, {**other, **servers_of, "METERD_REDIS__URLS": swapped}).run("up")
    assert refused.returncode == 1
    assert f"the Redis at {servers[1].url} has partition 1, which by redis.urls is at " in (
        refused.stderr
    )
    swapped_urls = {**other, **servers_of, "METERD_REDIS__URLS": swapped}
    refused = LiveDaemon(home, swapped_urls).run("gateway", "--port", "0")
    assert refused.returncode == 1
    assert "name the servers in the order that the data was made with" in refused.stderr
    gone = {**other, **servers_of, "METERD_REDIS__URLS": f"{servers[0].url},{NOWHERE}"}
    refused = LiveDaemon(home, gone).run("up")
    assert refused.returncode == 1
    assert "does not answer" in refused.stderr
    assert _everything(servers) == before
    assert states(daemon) == ["ready"] * PARTITIONS


NOWHERE: Final = "redis://127.0.0.1:1/0"


def test_the_partitions_of_a_server_go_on_while_the_other_is_away(
    daemon: LiveDaemon, servers: list[Redis]
) -> None:
    """Of a start whose chat may be the other's nobody knows: it gets ``at_capacity``, at once."""
    users = user_of_each("away")
    here, away = [0, 2], [1, 3]
    with meter_of(daemon) as meter, meter.events() as events:
        for number, user in enumerate(users):
            meter.top_up(user, 5)
            meter.start(_chat_of(0, f"open-{number}"), user, "v", rate="0.001")
        seen = [next(events) for _ in range(2 * PARTITIONS)]
        assert {one.user_id for one in seen} == set(users)
        servers[1].kill()
        daemon.until(lambda: states(daemon) == ["ready", "degraded"] * 2, 60)
        for number in here:
            open_chat = _chat_of(0, f"open-{number}")
            assert meter.pause(open_chat, user_id=users[number], timeout_s=10).snapshot
            started = meter.start(_chat_of(2, f"new-{number}"), users[number], "v", rate="0.001")
            assert started.snapshot.status == "running"
            assert next(events).event == "chat.paused"
            assert next(events).event == "chat.started"
            with pytest.raises(AtCapacityError):
                meter.start(_chat_of(1, f"claim-{number}"), users[number], "v", rate="0.001")
        assert daemon.run("send", "top_up", f"user_id={users[0]}", "amount=1").returncode == 0
        servers[1].start()
        daemon.until(lambda: states(daemon) == ["ready"] * PARTITIONS, 60)
        for number in away:
            assert meter.end(_chat_of(0, f"open-{number}"), user_id=users[number]).snapshot
        for number in here:
            meter.end(_chat_of(0, f"open-{number}"), user_id=users[number])
            meter.end(_chat_of(2, f"new-{number}"), user_id=users[number])
    daemon.until_handled()
    audit = daemon.run("audit")
    assert audit.returncode == 0, audit.stdout


def test_over_http_too(daemon: LiveDaemon, servers: list[Redis]) -> None:
    """Chats, accounts, open streams and new ones; of the other server, what Postgres has."""
    users = user_of_each("http")
    chats = [_chat_of(0, f"http-{number}") for number in range(PARTITIONS)]
    secret = (daemon.home / "http-secret").read_text().strip()
    gateway = Gateway(daemon.status()["http_url"], secret)
    with gateway.http, listening(gateway, f"/v1/stream?chat_id={chats[0]}", _ops(gateway)) as old:
        for user, chat in zip(users, chats, strict=True):
            gateway.do("top_up", user_id=user, amount="5")
            gateway.do("start", chat_id=chat, user_id=user, advisor_id="v", rate="0.001")
        old.until_event("chat.started")
        daemon.until_handled()
        servers[1].kill()
        daemon.until(lambda: gateway.ops("/v1/status")["state"] == "degraded")
        assert gateway.http.get("/readyz").status_code == 200
        with listening(gateway, f"/v1/stream?chat_id={chats[2]}", _ops(gateway)) as new:
            assert new.until_event("snapshot").data["chats"][0]["status"] == "running"
            for number in (0, 2):
                gateway.do("pause", chat_id=chats[number], user_id=users[number])
                assert gateway.get(f"/v1/chats/{chats[number]}", users[number]).status_code == 200
                read = gateway.read(f"/v1/users/{users[number]}/wallet", users[number])
                assert read["read_from"] == "redis"
            new.until_event("chat.paused")
        old.until_event("chat.paused")
        assert gateway.read(f"/v1/chats/{chats[1]}", users[1])["read_from"] == "postgres"
        servers[1].start()
        daemon.until(lambda: states(daemon) == ["ready"] * PARTITIONS, 60)
        with listening(gateway, f"/v1/stream?chat_id={chats[1]}", _ops(gateway)) as new:
            new.until_event("snapshot")
            for user, chat in zip(users, chats, strict=True):
                gateway.do("end", chat_id=chat, user_id=user)
            new.until_event("chat.ended")
    daemon.until_handled()
    assert daemon.run("audit").returncode == 0


def _ops(gateway: Gateway) -> str:
    return gateway.token("ops", "ops")


def test_a_server_that_is_empty_is_reported_lost(daemon: LiveDaemon, servers: list[Redis]) -> None:
    """As when a URL names another server: its partitions bill nothing until a recovery."""
    user = user_of_each("lost")[1]
    servers[1].start()  # another test that failed may have left it stopped
    daemon.until(lambda: states(daemon) == ["ready"] * PARTITIONS, 60)
    with meter_of(daemon) as meter:
        meter.top_up(user, 5)
    daemon.until_handled()
    with contextlib.closing(servers[1].client()) as client:
        client.flushall()
        daemon.until(lambda: [_state(client, n) for n in (1, 3)] == ["lost", "lost"], 60)
        assert client.get(Keys(1).wallet(user)) is None
    recovered = daemon.run("recover", "--by", "ann")
    assert recovered.returncode == 0, recovered.stderr
    daemon.until(lambda: states(daemon) == ["ready"] * PARTITIONS, 60)
    with meter_of(daemon) as meter:
        assert meter.wallet(user).balance == 5
    assert daemon.run("audit").returncode == 0


def _state(client: Any, number: int) -> str:
    raw: Any = client.get(Keys(number).status)
    return str(json.loads(raw)["state"]) if raw else ""
