"""An array of commands: each has its effect and its result, in order."""

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from loadtests.common.live import KEYS, LiveDaemon
from loadtests.common.timeouts import scaled
from persistence.redis.client import connect
from tests.gateway.conftest import Gateway, gateway_alone
from tests.servers import redis_server

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


def _post(gateway: Gateway, commands: Any, **headers: str) -> Any:
    return gateway.http.post(
        "/v1/commands", json=commands, headers={**gateway.bearer("b", "backend"), **headers}
    )


def _story(name: str) -> list[dict[str, str]]:
    chat = {"chat_id": name}
    return [
        {"type": "top_up", "id": f"{name}-1", "user_id": name, "amount": "10"},
        {"type": "start", "id": f"{name}-2", "user_id": name, "advisor_id": "v", **chat},
        {"type": "resume", "id": f"{name}-3", **chat},
        {"type": "pause", "id": f"{name}-4", **chat},
        {"type": "end", "id": f"{name}-5", "colour": "red", **chat},
        {"type": "end", "id": f"{name}-6", **chat},
    ]


def test_each_has_its_result_in_order(gateway: Gateway, name: str) -> None:
    """What is refused, by the daemon or at the gate, does not keep the others back."""
    answer = _post(gateway, _story(name))
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [one["status"] for one in results] == [200, 200, 409, 200, 422, 200]
    assert [one.get("code") for one in results if one["status"] > 200] == [
        "not_paused",
        "invalid_command",
    ]
    assert [one["id"] for one in results] == [one["id"] for one in _story(name)]
    entries = [one["entry"] for one in results if "entry" in one]
    assert len(entries) == 5
    assert entries == sorted(entries, key=lambda entry: tuple(map(int, entry.split("-"))))
    assert gateway.ops(f"/v1/chats/{name}")["status"] == "ended"


def test_sent_again_it_has_no_second_effect(gateway: Gateway, name: str) -> None:
    """Each command gets its first outcome again."""
    first = _post(gateway, _story(name)).json()["results"]
    wallet = gateway.ops(f"/v1/users/{name}/wallet")
    again = _post(gateway, _story(name)).json()["results"]
    assert [one["status"] for one in first] == [one["status"] for one in again]
    assert all(one["replayed"] for one in again if "replayed" in one)
    assert gateway.ops(f"/v1/users/{name}/wallet")["seq"] == wallet["seq"]


def test_it_can_be_put_into_the_queue_alone(gateway: Gateway, live: LiveDaemon, name: str) -> None:
    answer = _post(gateway, _story(name), Prefer="respond-async")
    assert answer.status_code == 202
    results = answer.json()["results"]
    assert [one["status"] for one in results] == [202, 202, 202, 202, 422, 202]
    live.until_handled()
    assert gateway.ops(f"/v1/chats/{name}")["status"] == "ended"


ONE = {"type": "top_up", "id": "a", "user_id": "u", "amount": "1"}


@pytest.mark.parametrize(
    ("commands", "field"),
    [
        ([], "body"),
        ([ONE] * 101, "body"),
        ([ONE, 5], "body.1"),
        ([ONE, {"type": "top_up", "user_id": "u", "amount": "1"}], "body.1.id"),
        ([ONE, {**ONE, "id": 5}], "body.1.id"),
    ],
)
def test_an_array_that_could_not_be_sent_again_is_refused_whole(
    gateway: Gateway, commands: Any, field: str
) -> None:
    before = gateway.ops("/v1/users/u/wallet")["seq"]
    answer = _post(gateway, commands)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert gateway.ops("/v1/users/u/wallet")["seq"] == before


def test_an_array_takes_no_key_for_all(gateway: Gateway) -> None:
    answer = _post(gateway, [ONE], **{"Idempotency-Key": "k"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


def test_a_field_twice_in_one_of_them_refuses_that_one(gateway: Gateway, name: str) -> None:
    """Which of the two counts is for nobody to guess; the others have their effect."""
    twice = (
        f'{{"type": "top_up", "id": "{name}-1", "user_id": "{name}", "amount": "1", "amount": "9"}}'
    )
    once = f'{{"type": "top_up", "id": "{name}-2", "user_id": "{name}", "amount": "5"}}'
    headers = {**gateway.bearer("b", "backend"), "Content-Type": "application/json"}
    answer = gateway.http.post("/v1/commands", content=f"[{twice}, {once}]", headers=headers)
    results = answer.json()["results"]
    assert [one["status"] for one in results] == [422, 200]
    assert [error["field"] for error in results[0]["errors"]] == ["amount"]
    assert gateway.ops(f"/v1/users/{name}/wallet")["balance"] == "5.000000"


def test_one_limit_of_time_is_for_all_of_them(tmp_path: Path) -> None:
    """What was not sent within it says so, and is not in the queue."""
    with (
        redis_server() as redis_url,
        contextlib.closing(connect(redis_url)) as client,
        gateway_alone(
            tmp_path,
            METERD_REDIS__URL=redis_url,
            METERD_POSTGRES__URL="postgresql://127.0.0.1:1/none",
            METERD_HTTP__REPLY_TIMEOUT_MS="1000",
        ) as gateway,
    ):
        begun_s = time.monotonic()
        commands = [{**ONE, "id": f"a{number}"} for number in range(5)]
        results = _post(gateway, commands).json()["results"]
        assert time.monotonic() - begun_s < scaled(3)
        assert client.xlen(KEYS.commands) == 1
    assert [one["code"] for one in results] == ["no_reply", *["not_sent"] * 4]
    assert [one["id"] for one in results] == [command["id"] for command in commands]
