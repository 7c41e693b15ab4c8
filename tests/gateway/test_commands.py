"""Commands over HTTP: each outcome with its status, one effect for one id, no trace of nonsense."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.gateway import sending
from daemon.gateway.sending import STATUS_OF
from loadtests.common.live import LiveDaemon
from meterd import AtCapacityError, InternalError
from meterd.rules import outcomes
from tests.gateway.conftest import Gateway, gateway_alone
from tests.servers import redis_server
from tests.shared_daemon import servers_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]

Json = dict[str, Any]


def _start(name: str, **more: Any) -> Json:
    people = {"user_id": name, "advisor_id": f"{name}-advisor"}
    return {"type": "start", "chat_id": name, **people, "rate": "60", **more}


def _about(type_: str, name: str, **more: Any) -> Json:
    return {"type": type_, "chat_id": name, **more}


@pytest.fixture
def running(gateway: Gateway, name: str) -> str:
    """A running chat of a user with credits, all of the same name."""
    gateway.do("top_up", user_id=name, amount="100")
    gateway.do(**_start(name), id=f"{name}-start")
    return name


@pytest.fixture
def ended(gateway: Gateway, running: str) -> str:
    """The same, ended."""
    gateway.do("end", chat_id=running)
    return running


def test_a_reply_is_the_contracts(gateway: Gateway, name: str) -> None:
    gateway.do("top_up", user_id=name, amount="100")
    reply = gateway.do(**_start(name), id=f"{name}-s")
    assert reply.keys() == {"id", "outcome", "message", "entry", "replayed", "snapshot"}
    assert (reply["id"], reply["outcome"], reply["replayed"]) == (f"{name}-s", "ok", False)
    seen = gateway.read(f"/v1/chats/{name}", name)
    assert reply["snapshot"] == {field: seen[field] for field in reply["snapshot"]}
    assert seen.keys() - reply["snapshot"].keys() == {
        *("now", "source", "read_from", "chat_source", "wallet")
    }


def _refusal(answer: httpx.Response, outcome: str) -> Json:
    """The problem that an outcome is told as."""
    told: Json = answer.json()
    assert answer.status_code == STATUS_OF[outcome], answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (told["code"], told["outcome"], told["status"]) == (
        outcome,
        outcome,
        STATUS_OF[outcome],
    )
    assert told["detail"]
    return told


def test_insufficient_credits_is_402(gateway: Gateway, name: str) -> None:
    told = _refusal(gateway.post(_start(name)), outcomes.INSUFFICIENT_CREDITS)
    assert told["replayed"] is False
    assert told["entry"]


def test_unknown_chat_is_404(gateway: Gateway, name: str) -> None:
    _refusal(gateway.post(_about("pause", name)), outcomes.UNKNOWN_CHAT)


OF_A_RUNNING_CHAT: dict[str, Json] = {
    outcomes.USER_MISMATCH: {"type": "pause", "user_id": "somebody-else"},
    outcomes.NOT_PAUSED: {"type": "resume"},
    outcomes.NOT_ENDED: {"type": "refund", "amount": "1"},
}


@pytest.mark.parametrize("outcome", OF_A_RUNNING_CHAT)
def test_what_a_running_chat_does_not_allow_is_409(
    gateway: Gateway, running: str, outcome: str
) -> None:
    told = _refusal(gateway.post({"chat_id": running, **OF_A_RUNNING_CHAT[outcome]}), outcome)
    assert STATUS_OF[outcome] == 409
    assert gateway.read(f"/v1/chats/{running}", running)["status"] == "running"
    if outcome != outcomes.USER_MISMATCH:
        assert told["snapshot"]["chat_id"] == running


def test_starting_it_again_is_409(gateway: Gateway, running: str) -> None:
    _refusal(gateway.post(_start(running)), outcomes.ALREADY_STARTED)


def test_pausing_it_twice_is_409(gateway: Gateway, running: str) -> None:
    gateway.do("pause", chat_id=running)
    _refusal(gateway.post(_about("pause", running)), outcomes.NOT_RUNNING)


def test_ending_it_twice_is_409(gateway: Gateway, ended: str) -> None:
    _refusal(gateway.post(_about("end", ended)), outcomes.ALREADY_ENDED)


def test_a_refund_of_more_than_was_paid_is_422(gateway: Gateway, ended: str) -> None:
    _refusal(gateway.post(_about("refund", ended, amount="1000")), outcomes.EXCEEDS_COST)


def test_every_outcome_has_the_status_of_the_contract() -> None:
    """docs/http.md has the same table, and no outcome is left out."""
    table = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    listed = {
        outcome: int(cells[2])
        for cells in rows
        if cells[2].strip().isdigit()
        for outcome in cells[1].replace("`", "").split()
    }
    assert STATUS_OF.keys() == outcomes.MESSAGES.keys()
    assert {name: listed[name] for name in STATUS_OF} == STATUS_OF


@pytest.mark.parametrize(
    ("error", "status", "after"), [(AtCapacityError, 503, "1"), (InternalError, 500, None)]
)
def test_what_the_service_can_not_bear_is_not_the_callers_fault(
    error: Any, status: int, after: str | None
) -> None:
    """Caused in tests of the daemon; here, what they are told as."""
    told = sending._refused(error("because", id="x"))
    assert (told.status, told.code, told.headers.get("Retry-After")) == (
        status,
        error.outcome,
        after,
    )


# One effect for one id.


def test_the_same_id_has_one_effect(gateway: Gateway, name: str) -> None:
    """And the same reply, which says that it is a repetition."""
    command = {"type": "top_up", "user_id": name, "amount": "5", "id": f"{name}-once"}
    first, *again = [gateway.post(command).json() for _ in range(3)]
    assert [each["replayed"] for each in again] == [True, True]
    assert [each["outcome"] for each in (first, *again)] == ["ok"] * 3
    assert gateway.read(f"/v1/users/{name}/wallet", name)["balance"] == "5.000000"


def test_a_refusal_is_repeated_too(gateway: Gateway, name: str) -> None:
    """It was refused then, and credits that came meanwhile do not change what that id got."""
    command = _start(name, id=f"{name}-poor")
    _refusal(gateway.post(command), outcomes.INSUFFICIENT_CREDITS)
    gateway.do("top_up", user_id=name, amount="5")
    told = _refusal(gateway.post(command), outcomes.INSUFFICIENT_CREDITS)
    assert told["replayed"] is True


def test_an_id_with_other_content_is_a_conflict(gateway: Gateway, name: str) -> None:
    command = {"type": "top_up", "user_id": name, "amount": "5", "id": f"{name}-once"}
    gateway.post(command)
    _refusal(gateway.post({**command, "amount": "6"}), outcomes.ID_CONFLICT)
    assert gateway.read(f"/v1/users/{name}/wallet", name)["balance"] == "5.000000"


@pytest.mark.parametrize("id_", [{}, {"id": None}, {"id": "the same"}], ids=["none", "null", "id"])
def test_an_idempotency_key_stands_for_the_id(gateway: Gateway, name: str, id_: Json) -> None:
    key = f"{name}-key"
    more = {"id": key} if id_.get("id") else id_
    command = {"type": "top_up", "user_id": name, "amount": "5", **more}
    told = [gateway.post(command, idempotency_key=key).json() for _ in range(2)]
    assert [(each["id"], each["replayed"]) for each in told] == [(key, False), (key, True)]


def test_two_different_ids_are_none(gateway: Gateway, name: str) -> None:
    command = {"type": "top_up", "user_id": name, "amount": "5", "id": f"{name}-a"}
    answer = gateway.post(command, idempotency_key=f"{name}-b")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["id"]


def test_without_an_id_one_is_made_each_time(gateway: Gateway, name: str) -> None:
    made = {gateway.do("top_up", user_id=name, amount="5")["id"] for _ in range(2)}
    assert len(made) == 2
    assert gateway.read(f"/v1/users/{name}/wallet", name)["balance"] == "10.000000"


# Without waiting.

ASYNC = (
    "respond-async",
    "Respond-Async",
    "return=minimal, respond-async",
    "respond-async, wait=10",
    "respond-async; foo=bar",
)
NOT_ASYNC = ("", "respond-asynchronously", "wait=10", "foo=respond-async", ",")


@pytest.mark.parametrize("prefer", ASYNC)
def test_preferring_not_to_wait_is_202(
    gateway: Gateway, live: LiveDaemon, name: str, prefer: str
) -> None:
    command = {"type": "top_up", "user_id": name, "amount": "5", "id": f"{name}-async"}
    answer = gateway.post(command, prefer=prefer)
    assert (answer.status_code, answer.json().keys()) == (202, {"id", "entry"})
    live.until(lambda: _balance(gateway, name) == "5.000000")
    assert gateway.post(command).json()["replayed"] is True


def _balance(gateway: Gateway, name: str) -> str:
    return str(gateway.read(f"/v1/users/{name}/wallet", name)["balance"])


@pytest.mark.parametrize("prefer", NOT_ASYNC)
def test_other_preferences_are_passed_over(gateway: Gateway, name: str, prefer: str) -> None:
    command = {"type": "top_up", "user_id": name, "amount": "5"}
    assert gateway.post(command, prefer=prefer).status_code == 200


# As JSON.


@pytest.mark.parametrize("free", [60_000, "60000"])
def test_times_are_whole_numbers_or_digits(gateway: Gateway, name: str, free: Any) -> None:
    snapshot = gateway.do(**_start(name, free_ms=free))["snapshot"]
    assert snapshot["free_ms"] == 60_000


@pytest.mark.parametrize("amount", ["5", 5, "5.0", "5.000000"])
def test_credits_are_whole_numbers_or_decimals(gateway: Gateway, name: str, amount: Any) -> None:
    gateway.do("top_up", user_id=name, amount=amount)
    assert _balance(gateway, name) == "5.000000"


@pytest.mark.parametrize(
    ("amount", "left"), [("-1.5", "3.500000"), (-2, "3.000000"), ("1", "6.000000")]
)
def test_an_account_is_adjusted(gateway: Gateway, name: str, amount: Any, left: str) -> None:
    gateway.do("top_up", user_id=name, amount=5)
    reply = gateway.do("adjust", user_id=name, amount=amount, reason="typo")
    assert reply["snapshot"]["balance"] == _balance(gateway, name) == left


@pytest.mark.parametrize("partial", ["1", 1, True])
def test_what_is_there_can_be_taken(gateway: Gateway, name: str, partial: Any) -> None:
    """However the flag is written; and without it nothing is."""
    gateway.do("top_up", user_id=name, amount=5)
    command = {"type": "adjust", "user_id": name, "amount": "-9"}
    for flag in ({}, {"partial": "0"}, {"partial": 0}, {"partial": False}, {"partial": None}):
        _refusal(gateway.post({**command, **flag}), outcomes.INSUFFICIENT_CREDITS)
    assert gateway.do(**command, partial=partial)["snapshot"]["balance"] == "0.000000"


# Without a daemon.


@pytest.fixture(scope="module")
def nobody_works(live: LiveDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose queue no daemon reads."""
    folder = tmp_path_factory.mktemp("nobody-works")
    with redis_server() as url:
        env = {**servers_of(live), "METERD_REDIS__URL": url}
        with gateway_alone(folder, **env, METERD_HTTP__REPLY_TIMEOUT_MS="200") as gateway:
            yield gateway


def test_without_a_reply_it_is_504_and_in_the_queue(nobody_works: Gateway, name: str) -> None:
    """The answer names the id, with which it may be sent again, and the entry."""
    command = {"type": "top_up", "user_id": name, "amount": "5"}
    answer = nobody_works.post(command)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (504, "no_reply")
    assert told["id"] in told["detail"]
    again = nobody_works.post({**command, "id": told["id"]})
    assert (again.status_code, again.json()["id"]) == (504, told["id"])


def test_without_a_daemon_it_may_be_left_in_the_queue(nobody_works: Gateway, name: str) -> None:
    command = {"type": "top_up", "user_id": name, "amount": "5"}
    answer = nobody_works.post(command, prefer="respond-async")
    assert answer.status_code == 202
    assert int(answer.json()["entry"].partition("-")[0])


def test_without_a_daemon_reading_goes_on(nobody_works: Gateway, name: str) -> None:
    assert nobody_works.read(f"/v1/chats/{name}", name)["status"] == "not_started"
    nobody_works.post({"type": "top_up", "user_id": name, "amount": "5"}, prefer="respond-async")
    status = nobody_works.ops("/v1/status")
    assert status["state"] == "down"
    assert status["queue"]["lag"] >= 1
    metrics = nobody_works.http.get("/metrics").text
    assert "meterd_redis_up 1.0" in metrics
    assert f"meterd_queue_lag_entries {status['queue']['lag']}.0" in metrics


def test_on_an_empty_redis_it_answers(live: LiveDaemon, tmp_path: Path, name: str) -> None:
    """Before anything was ever sent."""
    with redis_server() as url:
        env = {**servers_of(live), "METERD_REDIS__URL": url}
        with gateway_alone(tmp_path, **env) as gateway:
            status = gateway.ops("/v1/status")
            assert (status["state"], status["queue"]["lag"]) == ("down", 0)
            assert gateway.read(f"/v1/users/{name}/wallet", name)["balance"] == "0.000000"
            assert "meterd_redis_up 1.0" in gateway.http.get("/metrics").text
