"""While a server is away: an honest answer, or the reason why there is none. Never a bare 500."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from daemon.gateway.dead_letter_lists import letter_name
from loadtests.common.live import LiveDaemon
from tests.gateway.conftest import Gateway, gateway_alone
from tests.proxy import Proxy, proxy_to
from tests.shared_daemon import PARTITIONS

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


LETTER = letter_name(0, "1-1", PARTITIONS)
"""That was never there."""


class House(NamedTuple):
    """A gateway whose servers can be taken away."""

    gateway: Gateway
    redis: Proxy
    postgres: Proxy


@pytest.fixture(scope="module")
def house(live: LiveDaemon) -> Iterator[House]:
    """On the daemon's servers, each behind a proxy."""
    with (
        proxy_to(live.redis_url) as redis,
        proxy_to(live.postgres_url) as postgres,
        tempfile.TemporaryDirectory() as folder,
        gateway_alone(
            Path(folder),
            METERD_PARTITIONS=str(PARTITIONS),
            METERD_REDIS__URL=redis.url,
            METERD_POSTGRES__URL=postgres.url,
            METERD_HTTP__REPLY_TIMEOUT_MS="500",
        ) as gateway,
    ):
        yield House(gateway, redis, postgres)


def until_live(house: House) -> None:
    """Redis is asked again soon after it was found to be away."""
    for _ in range(500):
        answer = house.gateway.get("/v1/users/nobody/wallet", "nobody")
        if answer.status_code == 200 and answer.json()["source"] == "live":
            return
    raise AssertionError("Redis is never asked again")


@pytest.fixture
def redis_away(house: House) -> Iterator[Gateway]:
    """The gateway without Redis."""
    house.redis.refuse()
    try:
        yield house.gateway
    finally:
        house.redis.admit()
        until_live(house)


@pytest.fixture
def postgres_away(house: House) -> Iterator[Gateway]:
    """The gateway without Postgres."""
    house.postgres.refuse()
    try:
        yield house.gateway
    finally:
        house.postgres.admit()


@pytest.fixture
def user(live: LiveDaemon, gateway: Gateway, name: str) -> str:
    """Somebody with a running chat, a paused one and an ended one, all of it in Postgres."""
    gateway.do("top_up", user_id=name, amount="10")
    for number in range(3):
        gateway.do("start", chat_id=f"{name}-{number}", user_id=name, advisor_id="a", rate="6")
    gateway.do("pause", chat_id=f"{name}-1")
    gateway.do("end", chat_id=f"{name}-2")
    live.until_handled()
    return name


def problem(answer: Any) -> dict[str, Any]:
    """What a problem says, but for its own id."""
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document.pop("request_id") == answer.headers["x-request-id"]
    return document


def test_without_redis_chats_are_told_as_recorded_with_their_moment(
    redis_away: Gateway, gateway: Gateway, user: str
) -> None:
    """The record of a running chat is enough to draw its clock: as of its last change."""
    for number in range(3):
        path = f"/v1/chats/{user}-{number}"
        told, truth = redis_away.read(path, user), gateway.read(path, user)
        assert told["source"] == "record"
        same = ("status", "as_of", "started_at", "ended_at", "active_ms", "cost", "rate", "seq")
        assert [told[field] for field in same] == [truth[field] for field in same]


def test_without_redis_a_wallet_is_made_of_ledger_and_records(
    redis_away: Gateway, gateway: Gateway, user: str
) -> None:
    """Its balance falls from the same figure at the same pace, and ends at the same moment."""
    path = f"/v1/users/{user}/wallet"
    told, truth = redis_away.read(path, user), gateway.read(path, user)
    assert told["source"] == "record"
    assert told["as_of"] == truth["as_of"]
    assert abs(_micro(told["balance"]) - _micro(truth["balance"])) <= 2  # a fraction of each chat
    assert abs(told["zero_at"] - truth["zero_at"]) <= 1
    assert [chat["chat_id"] for chat in told["running"]] == [f"{user}-0"]


def _micro(amount: str) -> int:
    return int(amount.replace(".", ""))


def test_without_redis_what_only_redis_knows_is_a_problem_with_its_cause(
    redis_away: Gateway, user: str
) -> None:
    """A chat without a record may have started a moment ago: that can't be told."""
    unknown = redis_away.get(f"/v1/chats/{user}-none", user)
    strange = redis_away.get(f"/v1/chats/{user}-0", f"{user}-stranger")
    assert problem(unknown) == problem(strange)
    assert (unknown.status_code, unknown.json()["code"]) == (503, "redis_away")
    assert unknown.headers["retry-after"]
    assert redis_away.get("/v1/status", "o", "ops").status_code == 503
    assert redis_away.get("/v1/status/history", "o", "ops").status_code == 503
    assert redis_away.get("/v1/dead", "o", "ops").status_code == 503
    left = redis_away.get("/v1/chats", "o", "ops", user_id=user, sort="left")
    assert (left.status_code, left.json()["code"]) == (503, "redis_away")


def test_without_redis_lists_and_ledger_go_on(redis_away: Gateway, user: str) -> None:
    """They are made of records."""
    assert len(redis_away.read("/v1/chats", user)["chats"]) == 3
    assert len(redis_away.read(f"/v1/users/{user}/ledger", user)["entries"]) == 2
    assert redis_away.read(f"/v1/users/{user}/wallet", user, with_rate="1")["what_if"]["left_ms"]


def test_without_redis_a_command_says_that_nobody_knows(redis_away: Gateway, user: str) -> None:
    """It may be in the queue or not: the same id is safe to send again."""
    answer = redis_away.post({"type": "pause", "chat_id": f"{user}-0", "id": f"{user}-pause"})
    assert (answer.status_code, answer.json()["code"]) == (503, "not_confirmed")
    assert answer.json()["id"] == f"{user}-pause"


@pytest.mark.parametrize("letter", [LETTER, None])
def test_without_redis_nothing_is_done_by_hand(
    redis_away: Gateway, user: str, letter: str | None
) -> None:
    """What can't be recorded is not done."""
    operation = "dead.drop" if letter else "chat.end"
    subject = {"letter": letter} if letter else {"chat_id": f"{user}-0"}
    answer = redis_away.act(operation, id=f"{user}-end", **subject)
    assert (answer.status_code, answer.json()["code"]) == (503, "redis_away")


def test_without_redis_the_gateway_is_not_ready_and_says_so(redis_away: Gateway) -> None:
    """Load balancers turn away; Prometheus hears why; the process lives."""
    ready = redis_away.http.get("/readyz")
    assert (ready.status_code, ready.json()["redis"]) == (503, "away")
    assert redis_away.http.get("/healthz").status_code == 200
    assert "meterd_redis_up 0.0" in redis_away.http.get("/metrics").text


def test_a_redis_that_hangs_is_not_waited_for_long(house: House, user: str) -> None:
    """A stalled connection is as good as none: the record is told instead."""
    house.redis.stall()
    try:
        assert house.gateway.read(f"/v1/chats/{user}-0", user)["source"] == "record"
    finally:
        house.redis.flow()
        until_live(house)


def test_without_postgres_what_redis_has_is_told(postgres_away: Gateway, user: str) -> None:
    """Open chats, chats that ended today, and wallets need no record."""
    for number in range(3):
        assert postgres_away.read(f"/v1/chats/{user}-{number}", user)["source"] == "live"
    assert postgres_away.read(f"/v1/users/{user}/wallet", user, with_rate="1")["source"] == "live"
    assert postgres_away.http.get("/readyz").status_code == 200


def test_without_postgres_what_only_records_know_is_a_problem_with_its_cause(
    postgres_away: Gateway, user: str
) -> None:
    """A chat that Redis does not have may have ended long ago; a stranger's looks the same."""
    unknown = postgres_away.get(f"/v1/chats/{user}-none", user)
    strange = postgres_away.get(f"/v1/chats/{user}-0", f"{user}-stranger")
    assert problem(unknown) == problem(strange)
    assert (unknown.status_code, unknown.json()["code"]) == (503, "postgres_away")
    for path in ("/v1/chats", f"/v1/users/{user}/ledger", f"/v1/chats/{user}-0/history"):
        answer = postgres_away.get(path, user)
        assert (answer.status_code, answer.json()["code"]) == (503, "postgres_away")
    wanted: list[tuple[str, dict[str, str]]] = [
        ("/v1/operations", {}),
        ("/v1/advisors/a", {}),
        ("/v1/chats", {"search": "a"}),
        ("/v1/chats", {"sort": "left"}),
        ("/v1/chats", {"sort": "cost", "status": "open"}),
    ]
    for path, query in wanted:
        answer = postgres_away.get(path, "o", "ops", **query)
        assert (answer.status_code, answer.json()["code"]) == (503, "postgres_away")


def test_without_postgres_what_is_done_by_hand_is_recorded_later(
    house: House, live: LiveDaemon, user: str
) -> None:
    """The record waits in the outbox: a gateway without Postgres acts all the same."""
    house.postgres.refuse()
    try:
        answer = house.gateway.act("chat.end", id=f"{user}-end", chat_id=f"{user}-0")
    finally:
        house.postgres.admit()
    assert answer.status_code == 200, answer.text
    live.until_handled()
    told = house.gateway.ops("/v1/operations", subject=f"{user}-0")["operations"]
    assert [one["outcome"] for one in told] == ["ok"]


def test_without_either_everything_is_a_problem_with_a_cause(house: House, user: str) -> None:
    """Nothing can be told, and that is what is said."""
    house.redis.refuse()
    house.postgres.refuse()
    try:
        paths = (f"/v1/chats/{user}-0", f"/v1/users/{user}/wallet", f"/v1/users/{user}/ledger")
        answers = [house.gateway.get(path, user) for path in paths]
    finally:
        house.redis.admit()
        house.postgres.admit()
        until_live(house)
    assert [answer.status_code for answer in answers] == [503] * 3
    assert all(problem(answer)["code"].endswith("_away") for answer in answers)


def test_afterwards_all_is_as_before(house: House, user: str) -> None:
    """Nobody has to start anything again."""
    house.redis.cut_all()
    house.postgres.cut_all()
    assert house.gateway.read(f"/v1/chats/{user}-0", user)["source"] == "live"
    assert house.gateway.read(f"/v1/chats/{user}-none", user)["status"] == "not_started"
    house.redis.cut_all()
    assert house.gateway.act("dead.drop", id=f"{user}-drop", letter=LETTER).status_code == 404
    house.redis.cut_all()
    topped = house.gateway.act("account.top_up", id=f"{user}-top", user_id=user, amount="1")
    assert topped.status_code == 200, topped.text
