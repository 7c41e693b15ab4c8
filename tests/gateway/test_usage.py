"""Usage: what a period came to, equal to the records and the ledger, by whatever it is grouped."""

import csv
import io
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from loadtests.common.live import LiveDaemon
from tests.gateway.conftest import Gateway

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]

USERS = ("usage-u0", "usage-u1")
ADVISORS = ("usage-v0", "usage-v1")


@pytest.fixture(scope="module")
def ended(gateway: Gateway, live: LiveDaemon) -> list[Any]:
    """The snapshots of six chats that ended; one is refunded, and one user's credits adjusted."""
    for user in USERS:
        gateway.do("top_up", user_id=user, amount="1000")
    for number in range(6):
        people = {"user_id": USERS[number % 2], "advisor_id": ADVISORS[number // 4]}
        gateway.do(
            "start", chat_id=f"usage-c{number}", **people, rate="60", min_ms=60_000, free_ms=0
        )
        gateway.do("heartbeat", chat_id=f"usage-c{number}")
        gateway.do("end", chat_id=f"usage-c{number}")
    gateway.do("refund", chat_id="usage-c0", amount="0.5")
    gateway.do("adjust", user_id=USERS[0], amount="-2", reason="goodwill")
    live.until_handled()
    live.until(lambda: _sum(_ledger(gateway, USERS[0]), "adjustment") == -2)
    return [gateway.ops(f"/v1/chats/usage-c{number}") for number in range(6)]


def _ledger(gateway: Gateway, user: str) -> list[Any]:
    entries: list[Any] = gateway.ops(f"/v1/users/{user}/ledger", limit=200)["entries"]
    return entries


def _sum(entries: Iterable[Any], kind: str) -> Decimal:
    return sum((Decimal(e["amount"]) for e in entries if e["kind"] == kind), Decimal(0))


def _usage(gateway: Gateway, key: str, **query: Any) -> dict[str, Any]:
    return {line[key]: line for line in gateway.ops("/v1/usage", **query)["usage"]}


def test_a_users_line_is_its_chats_and_its_ledger(gateway: Gateway, ended: list[Any]) -> None:
    lines = _usage(gateway, "user_id", by="user", limit=10_000)
    for user in USERS:
        chats = [chat for chat in ended if chat["user_id"] == user]
        line, ledger = lines[user], _ledger(gateway, user)
        assert line["chats"] == len(chats)
        for name in ("active_ms", "billed_ms"):
            assert line[name] == sum(chat[name] for chat in chats)
        for name, kind, sign in (
            ("charged", "charge", -1), ("refunded", "refund", 1),
            ("adjusted", "adjustment", 1), ("topped_up", "top_up", 1),
        ):  # fmt: skip
            assert Decimal(line[name]) == sign * _sum(ledger, kind), name
        assert Decimal(line["cost"]) == sum(Decimal(chat["cost"]) for chat in chats)
        assert Decimal(line["cost"]) == Decimal(line["charged"]) > 0


@pytest.mark.parametrize("advisor", ADVISORS)
def test_an_advisors_line_is_its_chats_and_what_they_were_charged(
    gateway: Gateway, ended: list[Any], advisor: str
) -> None:
    """Top-ups and adjustments are about no chat, so an advisor has none."""
    chats = [chat for chat in ended if chat["advisor_id"] == advisor]
    line = _usage(gateway, "advisor_id", by="advisor", limit=10_000)[advisor]
    assert line["chats"] == len(chats)
    assert Decimal(line["charged"]) == sum(Decimal(chat["cost"]) for chat in chats)
    assert Decimal(line["refunded"]) == sum(Decimal(chat["refunded"]) for chat in chats)
    assert line["adjusted"] is None
    assert line["topped_up"] is None


@pytest.mark.parametrize("by", ["user", "day"])
def test_of_one_advisor_nothing_is_about_no_chat(
    gateway: Gateway, ended: list[Any], by: str
) -> None:
    """However it is grouped: credits that came or were corrected are the user's affair."""
    lines = gateway.ops("/v1/usage", by=by, advisor_id=ADVISORS[0])["usage"]
    assert lines
    assert {(line["adjusted"], line["topped_up"]) for line in lines} == {(None, None)}
    assert sum(line["chats"] for line in lines) == 4


def test_the_period_is_the_last_30_days_if_none_is_given(
    gateway: Gateway, ended: list[Any]
) -> None:
    told = gateway.ops("/v1/usage", by="day")
    assert told["to"] == told["now"]
    assert told["to"] - told["from"] == 30 * 24 * 3_600_000
    until = gateway.ops("/v1/usage", by="day", to=told["to"] - 5)
    assert until["to"] - until["from"] == 30 * 24 * 3_600_000


def test_days_and_users_come_to_the_same(gateway: Gateway, ended: list[Any]) -> None:
    """However a period is grouped, its sums are the same."""
    period = {"from": ended[0]["started_at"], "to": ended[-1]["ended_at"] + 60_000}
    by_user = _usage(gateway, "user_id", by="user", limit=10_000, **period).values()
    by_day = _usage(gateway, "day", by="day", **period).values()
    for name in ("chats", "active_ms", "cost", "charged", "refunded", "adjusted", "topped_up"):
        sums = [sum(Decimal(line[name]) for line in lines) for lines in (by_user, by_day)]
        assert sums[0] == sums[1], name


def test_a_period_ends_before_its_end(gateway: Gateway, ended: list[Any]) -> None:
    """A chat that ended in the first millisecond counts, one in the last bound does not."""
    mine = [chat for chat in ended if chat["user_id"] == USERS[1]]
    first, second = mine[0]["ended_at"], mine[1]["ended_at"]
    assert first < second
    query = {"by": "day", "user_id": USERS[1], "from": first, "to": second}
    assert [line["chats"] for line in _usage(gateway, "day", **query).values()] == [1]
    listed = {"user_id": USERS[1], "from": mine[0]["started_at"], "to": mine[1]["started_at"]}
    chats = gateway.ops("/v1/chats", **listed)["chats"]
    assert [chat["chat_id"] for chat in chats] == [mine[0]["chat_id"]]
    ledger = gateway.ops(f"/v1/users/{USERS[1]}/ledger", **{"from": first, "to": second})
    assert [entry["chat_id"] for entry in ledger["entries"]] == [mine[0]["chat_id"]]


def test_page_by_page_is_the_whole(gateway: Gateway, ended: list[Any]) -> None:
    """In order of names, each once."""
    whole = gateway.ops("/v1/usage", by="user", limit=10_000)["usage"]
    paged: list[Any] = []
    after: dict[str, str] = {}
    while True:
        page = gateway.ops("/v1/usage", by="user", limit=1, **after)
        paged += page["usage"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    names = [line["user_id"] for line in whole]
    assert [line["user_id"] for line in paged] == names == sorted(set(names))


def test_csv_has_the_same_lines(gateway: Gateway, ended: list[Any]) -> None:
    period = {"from": ended[0]["started_at"], "to": ended[-1]["ended_at"] + 1}
    told = gateway.ops("/v1/usage", by="user", limit=10_000, **period)["usage"]
    answer = gateway.get("/v1/usage", "o", "ops", by="user", format="csv", limit=10_000, **period)
    assert answer.headers["content-type"].startswith("text/csv")
    assert "link" not in answer.headers
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert lines == [{name: str(value) for name, value in line.items()} for line in told]


def test_csv_names_its_next_page(gateway: Gateway, ended: list[Any]) -> None:
    query = {"by": "user", "format": "csv", "limit": 1}
    first = gateway.get("/v1/usage", "o", "ops", **query)
    path = first.links["next"]["url"]
    second = gateway.http.get(path, headers=gateway.bearer("o", "ops"))
    assert second.status_code == 200
    assert first.text.splitlines()[0] == second.text.splitlines()[0]
    assert first.text.splitlines()[1] != second.text.splitlines()[1]


def test_a_user_and_an_advisor_see_their_own(gateway: Gateway, ended: list[Any]) -> None:
    mine = gateway.read("/v1/usage", USERS[0], by="user")["usage"]
    assert [line["user_id"] for line in mine] == [USERS[0]]
    users = gateway.read("/v1/usage", ADVISORS[0], "advisor", by="user")["usage"]
    assert {line["user_id"] for line in users} == set(USERS)
    assert gateway.get("/v1/usage", USERS[0], by="user", user_id=USERS[1]).status_code == 403


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "by"),
        ({"by": "month"}, "by"),
        ({"by": "day", "from": "2", "to": "1"}, "from"),
        ({"by": "day", "to": "253402300800000"}, "to"),
        ({"by": "day", "from": "2026-01-01"}, "from"),
        ({"by": "user", "user_id": "a b"}, "user_id"),
        ({"by": "user", "after": "x"}, "after"),
        ({"by": "user", "limit": "10001"}, "limit"),
    ],
)
def test_what_is_wrong_is_named(gateway: Gateway, query: dict[str, str], field: str) -> None:
    answer = gateway.get("/v1/usage", "o", "ops", **query)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
