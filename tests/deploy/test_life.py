"""The real daemon where everybody is only who they are: users in Redis, roles in Postgres, TLS."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from loadtests.common.live import LiveDaemon
from meterd import Event, InsufficientCreditsError, Meter
from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.functions import function_name
from tests.databases import fresh
from tests.deploy import roles as users
from tests.deploy.gateway import gateway
from tests.deploy.postgres import Roles, roles_in
from tests.deploy.roles import Guarded, guarded_server
from tests.deploy.secure import has_tls, secure_server
from tests.servers import kinds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.acceptance,
    pytest.mark.redis,
    pytest.mark.postgres,
    pytest.mark.timeout(300),
]

KEYS = Keys()


class Place(NamedTuple):
    """A daemon at work, and who may come to it."""

    daemon: LiveDaemon
    server: Guarded
    roles: Roles

    def command(self, user: str, role: str, *args: str, exit_code: int = 0) -> Any:
        """What a command of meterd's prints for somebody as JSON; it must end with this code."""
        urls = {"REDIS": self.server.url(user), "POSTGRES": self.roles.url(role)}
        env = {f"METERD_{name}__URL": url for name, url in urls.items()}
        ran = LiveDaemon(self.daemon.home, env).run(*args)
        assert ran.returncode == exit_code, ran.stdout + ran.stderr
        return json.loads(ran.stdout) if "--json" in args else ran.stdout

    def operator(self, *args: str, exit_code: int = 0) -> Any:
        """The same for an operator."""
        return self.command(users.OPERATOR, "operator", *args, exit_code=exit_code)


@contextlib.contextmanager
def _server(kind: str) -> Iterator[Guarded]:
    """With TLS where the server has it."""
    if not has_tls(kind):
        with guarded_server(kind) as plain:
            yield plain
        return
    with secure_server(kind) as secure:
        yield secure.server


@pytest.fixture(scope="module", params=kinds())
def place(request: pytest.FixtureRequest, server_url: str, template: str) -> Iterator[Place]:
    with (
        _server(request.param) as server,
        contextlib.contextmanager(fresh)(server_url, template) as url,
        roles_in(url) as roles,
        tempfile.TemporaryDirectory(prefix="meterd-live-", dir="/tmp") as folder,
    ):
        env = {
            "METERD_REDIS__URL": server.url(users.DAEMON),
            "METERD_POSTGRES__URL": roles.url("daemon"),
            "METERD_ACTORS__MAX": "1",
            "METERD_HTTP__ENABLED": "false",
        }
        daemon = LiveDaemon(Path(folder) / "home", env)
        try:
            daemon.start()
            yield Place(daemon, server, roles)
        finally:
            daemon.stop()


def test_a_backend_leads_a_chat_from_start_to_refund(place: Place) -> None:
    """With the rights of a backend: every command, both snapshots, the events, an error."""
    with Meter(place.server.url(users.BACKEND), place.roles.url("backend")) as meter:
        events = meter.events(user_id="ann")
        with events:
            meter.top_up("ann", "10")
            meter.start("life", "ann", "bob", rate="60")
            meter.set_rate("life", "120")
            meter.pause("life")
            meter.resume("life")
            meter.heartbeat("life")
            assert meter.snapshot("life").status == "running"
            cost = meter.end("life").snapshot
            assert cost is not None
            if cost.cost:
                meter.refund("life", "0.000001")
            with pytest.raises(InsufficientCreditsError):
                meter.start("broke", "cleo", "bob", rate="1")
            assert meter.wallet("ann").open_chats == 0
            told = [event.event for event in _until(events, "chat.ended")]
    assert told[:2] == ["wallet.topped_up", "chat.started"]


def _until(events: Iterator[Event], last: str) -> Iterator[Event]:
    for event in events:
        yield event
        if event.event == last:
            return


def test_an_operator_sees_everything_and_sets_things_right(place: Place) -> None:
    """``status``, ``chat``, ``audit``, ``send``, ``dead`` and ``clock``, each with an operator's
    rights; what is recorded of it reaches Postgres."""
    with place.server.client(users.BACKEND) as backend:
        for number in (1, 2):
            backend.xadd(KEYS.commands, {"type": "nonsense", "id": f"dead-{number}"})
    place.operator("send", "top_up", "user_id=dan", "amount=5")
    place.operator("send", "start", "chat_id=seen", "user_id=dan", "advisor_id=bob")
    assert place.operator("status", "--json")["state"] == "ready"
    assert place.operator("chat", "seen", "--json")["snapshot"]["status"] == "running"
    first, second = place.operator("dead", "list", "--json")[:2]
    refused_again = place.operator("dead", "retry", first["letter"], "--by", "eve", exit_code=1)
    assert "sent again" in refused_again
    place.operator("dead", "drop", second["letter"], "--by", "eve")
    with place.server.client(users.ADMIN) as admin:
        admin.set(KEYS.clock_hold, json.dumps({"step_ms": 9_000, "queue_ms": 1}))
    place.operator("clock", "accept", "--by", "eve")
    place.daemon.until_handled()
    assert place.operator("audit", "--json")["count"] == 0
    with contextlib.closing(place.daemon.engine().connect()) as connection:
        done = connection.exec_driver_sql("SELECT operation FROM operations WHERE done_by = 'eve'")
        assert set(done.scalars()) == {"dead.retry", "dead.drop", "clock.accept"}


def test_a_gateway_shows_everything_and_posts_for_backends(place: Place) -> None:
    """Every kind of route, streams and figures included, with a gateway's rights."""
    urls = place.server.url(users.GATEWAY), place.roles.url("gateway")
    with gateway(place.daemon.home, *urls) as http:
        http.post({"type": "top_up", "user_id": "gus", "amount": "5"})
        http.post({"type": "start", "chat_id": "shown", "user_id": "gus", "advisor_id": "bob"})
        assert http.get("/v1/chats/shown")["status"] == "running"
        assert http.get("/v1/users/gus/wallet?with_rate=1")["open_chats"] == 1
        assert http.first_of_stream("/v1/users/gus/stream") == "event: snapshot"
        place.daemon.until_handled()
        assert [chat["chat_id"] for chat in http.get("/v1/chats?user_id=gus")["chats"]] == ["shown"]
        assert http.get("/v1/chats/shown/history")["history"]
        assert http.get("/v1/users/gus/ledger")["entries"]
        assert http.get("/v1/dead")["letters"] is not None
        assert http.get("/v1/status")["lease_changes"] >= 1
        lags = http.get("/v1/status/history")["series"]["queue_lag"]
        assert any(lag is not None for lag in lags), "the daemon may write samples"
        assert "meterd_" in http.text("/metrics")
        assert http.text("/readyz")


def test_a_gateway_with_an_operators_rights_lets_an_admin_act(place: Place) -> None:
    """What is done and what is recorded of it are there."""
    body = {"operation": "account.top_up", "id": "by-hand", "amount": "5", "reason": "goodwill"}
    with gateway(
        place.daemon.home, place.server.url(users.OPERATOR), place.roles.url("gateway")
    ) as http:
        assert http.act({**body, "user_id": "hal"}).raise_for_status().json()["reply"]
        place.daemon.until_handled()
        (told,) = http.get("/v1/operations?subject=hal")["operations"]
        assert (told["outcome"], told["done_by"]) == ("ok", "me")
        assert http.get("/v1/users/hal/wallet")["balance"] == "5.000000"
        assert http.get("/v1/status")["queue"]


def test_a_gateways_user_reads_how_far_the_queue_is(place: Place) -> None:
    """What an overview asks for: of one moment, lengths, what is pending, the status."""
    with place.server.client(users.GATEWAY) as client:
        pipeline = client.pipeline(transaction=True)
        pipeline.mget(KEYS.account("gus"), KEYS.wallet("gus"), KEYS.chat("shown"))
        pipeline.xinfo_stream(KEYS.events)
        (account, *_), *_ = pipeline.execute()
        assert b"shown" in account
        status: Any = client.fcall_ro(function_name("status"), 1, KEYS.commands)
        assert status[1] == b"verified"
        assert client.xinfo_groups(KEYS.commands)
        assert client.xpending(KEYS.commands, GROUP)
        for stream in (KEYS.commands, KEYS.outbox, KEYS.rejected, KEYS.dead, KEYS.events):
            client.xlen(stream)


def test_what_a_lost_memory_needs_is_a_right_of_its_own(place: Place) -> None:
    """Redis is emptied under the daemon: ``recover`` rebuilds it, an operator audits it."""
    place.daemon.until_handled()
    with place.server.client(users.ADMIN) as admin:
        admin.flushall()
    place.daemon.until(lambda: place.daemon.status()["state"] == "lost")
    report = place.command(users.RECOVERY, "recovery", "recover", "--by", "eve", "--json")
    assert report["accounts"] >= 1
    assert report["unfolded"] == []
    place.operator("send", "top_up", "user_id=dan", "amount=1")
    place.daemon.until_handled()
    assert place.operator("audit", "--json")["count"] == 0


def test_nobody_was_refused_anything(place: Place) -> None:
    """All this time the server has refused nothing but that clients name their library."""
    with place.server.client(users.ADMIN) as admin:
        refused: Any = admin.acl_log()
    assert {entry["object"] for entry in refused} <= {"client|setinfo"}
