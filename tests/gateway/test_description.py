"""The description: the one that is committed is the one that is served, and real answers fit it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from daemon.gateway.command_schemas import components, known_fields
from daemon.gateway.openapi import description
from daemon.gateway.schemas.chats import ChatAnswer, ChatPage, HistoryPage
from daemon.gateway.schemas.dead_letters import DeadPage
from daemon.gateway.schemas.replies import Reply, Sent
from daemon.gateway.schemas.responses import Problem
from daemon.gateway.schemas.status import Status
from daemon.gateway.schemas.wallets import LedgerPage, WalletAnswer
from loadtests.common.live import LiveDaemon
from meterd.rules.commands import SHAPES
from tests.gateway.conftest import Gateway
from tests.shared_daemon import keys_of

ROOT = Path(__file__).parents[2]


def test_the_committed_description_is_that_of_the_code() -> None:
    """If not: python -m daemon.gateway.openapi > docs/openapi.json."""
    assert (ROOT / "docs" / "openapi.json").read_text() == description()


def test_the_command_of_the_documents_prints_it() -> None:
    command = "python -m daemon.gateway.openapi > docs/openapi.json"
    assert command in (ROOT / "CONTRIBUTING.md").read_text()
    run = [sys.executable, "-m", "daemon.gateway.openapi"]
    printed = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed == description()


@pytest.mark.parametrize("needs_id", [False, True])
def test_every_command_is_described_with_all_its_fields(needs_id: bool) -> None:
    """But for what is the daemon's own, or means nothing over HTTP."""
    shapes = components()
    any_command = shapes["CommandWithId" if needs_id else "Command"]
    assert any_command["discriminator"]["mapping"].keys() == SHAPES.keys() - {"settle"}
    for type_, ref in any_command["discriminator"]["mapping"].items():
        needs, may_have = SHAPES[type_]
        shape = shapes[ref.rpartition("/")[2]]
        assert set(shape["required"]) == {"type", *needs} - ({"id"} if not needs_id else set())
        assert shape["properties"].keys() == {"type", "id", "user_id", *needs, *may_have}
        assert shape["properties"].keys() == known_fields(type_)
    assert known_fields("settle") == known_fields("begin") == frozenset()


@pytest.mark.acceptance
@pytest.mark.ray
def test_the_served_description_is_the_committed_one(gateway: Gateway) -> None:
    served = gateway.http.get("/openapi.json").json()
    assert schemas_of(served) == schemas_of(json.loads(description()))


def schemas_of(document: Any) -> Any:
    """Without the address that a server adds."""
    return {name: part for name, part in document.items() if name != "servers"}


def _fits(shape: type[BaseModel], document: Any) -> None:
    """Nothing is missing, nothing is more, nothing is of another type."""
    shape.model_validate(document, strict=True)


@pytest.mark.acceptance
@pytest.mark.ray
def test_real_answers_fit_their_shapes(gateway: Gateway, live: LiveDaemon, name: str) -> None:
    """Of chats in every status, adopted ones too, and everything that is told around them."""
    _fits(Reply, gateway.do("top_up", user_id=name, amount="1000"))
    chats = {one: f"{name}-{one}" for one in ("running", "paused", "ended", "adopted", "old")}
    people = {"user_id": name, "advisor_id": name}
    now = gateway.read("/v1/chats/none", name)["now"]
    carried = {"started_at": now - 100_000, "carried_ms": 60_000, "carried_cost": "1.5"}
    for one, chat in chats.items():
        if one == "adopted":
            started = gateway.do("adopt", chat_id=chat, **people, **carried)
        else:
            started = gateway.do("start", chat_id=chat, **people, rate="60", idle_ms=600_000)
        _fits(Reply, started)
    _fits(Reply, gateway.do("pause", chat_id=chats["paused"]))
    for one in ("ended", "adopted", "old"):
        _fits(Reply, gateway.do("end", chat_id=chats[one]))
    _fits(Sent, _sent(gateway, name))
    live.until_handled()
    with live.client() as client:
        client.pexpire(keys_of(name).chat(chats["old"]), 1)
        live.until(lambda: not client.exists(keys_of(name).chat(chats["old"])))
    for chat in (*chats.values(), f"{name}-never"):
        _fits(ChatAnswer, gateway.read(f"/v1/chats/{chat}", name))
        _fits(ChatAnswer, gateway.read(f"/v1/chats/{chat}", name, "advisor"))
        _fits(HistoryPage, gateway.read(f"/v1/chats/{chat}/history", name))
    _fits(ChatPage, gateway.read("/v1/chats", name))
    _fits(LedgerPage, gateway.read(f"/v1/users/{name}/ledger", name))
    for query in ({}, {"with_rate": "1"}):
        _fits(WalletAnswer, gateway.read(f"/v1/users/{name}/wallet", name, **query))
    _fits(Status, gateway.ops("/v1/status"))
    _fits(DeadPage, gateway.ops("/v1/dead"))
    again = gateway.post({"type": "pause", "chat_id": chats["paused"]})
    assert again.json()["snapshot"]["status"] == "paused"
    for problem in (again, gateway.post({"type": "begin"}), gateway.http.get("/v1/status")):
        _fits(Problem, problem.json())


def _sent(gateway: Gateway, name: str) -> Any:
    command = {"type": "top_up", "user_id": name, "amount": "1"}
    return gateway.post(command, prefer="respond-async").json()
