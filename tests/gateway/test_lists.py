"""Lists: everything that was asked for, once, the newest first, page by page."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from daemon.gateway.cursors import pack_cursor
from loadtests.common.live import KEYS, LiveDaemon
from meterd.rules.commands import entry_key
from tests.gateway.conftest import Gateway

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


class House(NamedTuple):
    """Two users who talk with two advisors, and their chats in order of start."""

    users: tuple[str, str]
    advisors: tuple[str, str]
    chats: list[str]
    status: dict[str, str]
    of: dict[str, tuple[str, str]]

    def newest_first(self, **wanted: Any) -> list[str]:
        return [chat for chat in reversed(self.chats) if self._is_wanted(chat, **wanted)]

    def _is_wanted(
        self, chat: str, user_id: str = "", advisor_id: str = "", status: str = ""
    ) -> bool:
        user, advisor = self.of[chat]
        statuses = ("running", "paused", "suspended") if status == "open" else (status,)
        return (
            (not user_id or user == user_id)
            and (not advisor_id or advisor == advisor_id)
            and (not status or self.status[chat] in statuses)
        )


@pytest.fixture(scope="module")
def house(gateway: Gateway, live: LiveDaemon) -> House:
    users, advisors = ("lists-u0", "lists-u1"), ("lists-v0", "lists-v1")
    house = House(users, advisors, [], {}, {})
    for user in users:
        gateway.do("top_up", user_id=user, amount="1000")
    for number in range(8):
        chat, user, advisor = f"lists-c{number}", users[number % 2], advisors[number // 4]
        gateway.do("start", chat_id=chat, user_id=user, advisor_id=advisor, rate="1")
        house.chats.append(chat)
        house.of[chat] = user, advisor
        house.status[chat] = ("running", "paused", "ended")[number % 3]
        if number % 3:
            gateway.do(("pause", "end")[number % 3 - 1], chat_id=chat)
    live.until_handled()
    return house


def _ids(page: Any) -> list[str]:
    return [chat["chat_id"] for chat in page["chats"]]


FILTERS = [
    {"user_id": 0},
    {"advisor_id": 1},
    {"user_id": 1, "advisor_id": 0},
    {"user_id": 0, "status": "running"},
    {"user_id": 0, "status": "open"},
    {"advisor_id": 0, "status": "ended"},
]


@pytest.mark.parametrize("wanted", FILTERS, ids="+".join)
@pytest.mark.parametrize("limit", [1, 3, 200])
def test_a_list_has_what_was_asked_for_once_and_in_order(
    gateway: Gateway, house: House, wanted: dict[str, Any], limit: int
) -> None:
    names = {"user_id": house.users, "advisor_id": house.advisors}
    query = {k: names[k][v] if k in names else v for k, v in wanted.items()}
    listed: list[str] = []
    after: dict[str, str] = {}
    for _ in range(10):
        page = gateway.ops("/v1/chats", **query, limit=limit, **after)
        assert len(page["chats"]) <= limit
        listed += _ids(page)
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert listed == house.newest_first(**query)


def test_each_is_listed_as_it_is_now(gateway: Gateway, house: House) -> None:
    """As its own address tells it, but for the wallet."""
    for listed in gateway.ops("/v1/chats", user_id=house.users[0])["chats"]:
        told = gateway.ops(f"/v1/chats/{listed['chat_id']}")
        more = ("now", "source", "read_from", "chat_source", "wallet")
        assert listed == {k: told[k] for k in told if k not in more}


def test_a_chat_that_was_paused_a_moment_ago_is_paused(gateway: Gateway, house: House) -> None:
    """Even if its record does not know it yet."""
    chat = house.chats[0]
    gateway.do("pause", chat_id=chat)
    (listed,) = [
        c for c in gateway.ops("/v1/chats", user_id=house.users[0])["chats"] if c["chat_id"] == chat
    ]
    gateway.do("resume", chat_id=chat)
    assert listed["status"] == "paused"


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1.5", ""])
def test_a_limit_is_1_to_200(gateway: Gateway, limit: str) -> None:
    answer = gateway.get("/v1/chats", "o", "ops", status="open", limit=limit)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["limit"]


FOREIGN = [
    "x",
    "e30",
    pack_cursor(5),
    pack_cursor("a"),
    pack_cursor(10**30, "a"),
    pack_cursor("0-0"),
]


@pytest.mark.parametrize("after", FOREIGN)
@pytest.mark.parametrize("path", ["/v1/chats?status=open", "/v1/users/u/ledger?", "/v1/dead?"])
def test_a_foreign_cursor_is_refused(gateway: Gateway, path: str, after: str) -> None:
    answer = gateway.http.get(f"{path}&after={after}", headers=gateway.bearer("o", "ops"))
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["after"]


@pytest.mark.parametrize("number", [-1, 10**30])
def test_a_foreign_cursor_of_a_history_is_refused(
    gateway: Gateway, house: House, number: int
) -> None:
    path = f"/v1/chats/{house.chats[0]}/history"
    answer = gateway.get(path, "o", "ops", after=pack_cursor(number))
    assert answer.status_code == 422


def test_a_search_finds_parts_of_all_three_names(gateway: Gateway, house: House) -> None:
    for part, wanted in (
        (house.users[1], {"user_id": house.users[1]}),
        ("v1", {"advisor_id": house.advisors[1]}),
    ):
        found = _ids(gateway.ops("/v1/chats", status="open", search=part))
        assert [c for c in found if c in house.chats] == house.newest_first(**wanted, status="open")
    assert _ids(gateway.ops("/v1/chats", status="open", search="ists-c0")) == ["lists-c0"]
    assert _ids(gateway.ops("/v1/chats", status="open", search="lists_c0")) == []


@pytest.mark.parametrize("search", ["%", "_", "'", "\\", "é", "👍", "(", "a" * 128])
def test_a_search_is_for_letters_as_they_stand(gateway: Gateway, search: str) -> None:
    for chat in gateway.ops("/v1/chats", status="open", search=search)["chats"]:
        assert any(search in chat[name] for name in ("chat_id", "user_id", "advisor_id"))


@pytest.mark.parametrize("query", [{"search": "a" * 129}, {"search": "\0"}])
def test_a_search_that_can_not_be_is_refused(gateway: Gateway, query: dict[str, str]) -> None:
    answer = gateway.get("/v1/chats", "o", "ops", **{"status": "open", **query})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["search"]


def test_an_operator_says_what_to_list(gateway: Gateway) -> None:
    answer = gateway.get("/v1/chats", "o", "ops")
    assert answer.status_code == 422
    assert gateway.get("/v1/chats", "o", "ops", status="all").status_code == 422


def _all_pages(gateway: Gateway, **query: Any) -> list[str]:
    """The chats of all pages, none of which may be more than was asked for."""
    listed: list[str] = []
    after: dict[str, str] = {}
    for _ in range(50):
        page = gateway.ops("/v1/chats", **query, **after)
        assert len(page["chats"]) <= int(query.get("limit", 50))
        listed += _ids(page)
        if page["next"] is None:
            return listed
        after = {"after": page["next"]}
    raise AssertionError("a list without an end")


@pytest.mark.parametrize("limit", [1, 3, 200])
def test_a_search_finds_any_chat_exact_names_first(
    gateway: Gateway, house: House, limit: int
) -> None:
    """Ended ones too, without a status; narrowed by the other filters."""
    user, advisor = house.users[0], house.advisors[1]
    assert _all_pages(gateway, search=user, limit=limit) == house.newest_first(user_id=user)
    found = _all_pages(gateway, search="lists-", advisor_id=advisor, limit=limit)
    whole = house.newest_first(advisor_id=advisor)
    assert found == [chat for chat in whole if house.status[chat] != "ended"] + [
        chat for chat in whole if house.status[chat] == "ended"
    ]
    ended = _all_pages(gateway, search="lists-c", status="ended", limit=limit)
    assert ended == house.newest_first(status="ended")
    assert _all_pages(gateway, search="lists-c2", limit=limit)[0] == "lists-c2"


@pytest.fixture(scope="module")
def priced(gateway: Gateway, live: LiveDaemon) -> dict[str, list[str]]:
    """Chats of two accounts, and their order by each figure, the greatest first."""
    rates = {"sorts-a": "60", "sorts-b": "600", "sorts-c": "0.6", "sorts-d": "6"}
    for number, (chat, rate) in enumerate(rates.items()):
        user = f"sorts-u{number % 2}"
        gateway.do("top_up", user_id=user, amount=("10000", "5000")[number % 2])
        people = {"user_id": user, "advisor_id": "sorts-v"}
        gateway.do("start", chat_id=chat, **people, rate=rate, min_ms=60_000)
        if chat == "sorts-a":
            ended = gateway.do("end", chat_id=chat)["snapshot"]
    live.until_handled()
    last = gateway.ops("/v1/chats/sorts-d")["started_at"]
    live.until(lambda: gateway.ops("/v1/chats/sorts-d")["now"] - last > ended["active_ms"])
    return {
        "cost": ["sorts-b", "sorts-a", "sorts-d", "sorts-c"],
        "rate": ["sorts-b", "sorts-a", "sorts-d", "sorts-c"],
        "active_ms": ["sorts-b", "sorts-c", "sorts-d", "sorts-a"],
        "started": ["sorts-d", "sorts-c", "sorts-b", "sorts-a"],
        "left": ["sorts-c", "sorts-d", "sorts-b"],
    }


@pytest.mark.parametrize("sort", ["cost", "rate", "active_ms", "started", "left"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 200])
def test_chats_are_listed_in_the_order_that_was_asked_for(
    gateway: Gateway, priced: dict[str, list[str]], sort: str, order: str, limit: int
) -> None:
    """Each once, page by page; running ones as of now, by a tie of figures in order of names."""
    query = {"advisor_id": "sorts-v", "sort": sort, "limit": limit}
    listed = _all_pages(gateway, **query, order=order)
    assert listed == (priced[sort] if order == "desc" else priced[sort][::-1])
    default = "asc" if sort == "left" else "desc"
    if order == default:
        assert _all_pages(gateway, **query) == listed


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"sort": "left", "status": "paused"}, "sort"),
        ({"sort": "left", "status": "ended"}, "sort"),
        ({"sort": "user_id", "status": "open"}, "sort"),
        ({"order": "up", "status": "open"}, "order"),
        ({"order": "asc", "search": "a"}, "order"),
        ({"sort": "cost"}, "status"),
        ({"sort": "cost", "status": "open", "after": pack_cursor("rate", 1, 1, "c")}, "after"),
        ({"sort": "cost", "status": "open", "after": pack_cursor("cost", -1, 1, "c")}, "after"),
        ({"sort": "cost", "status": "open", "after": pack_cursor("cost", 1, -1, "c")}, "after"),
        ({"sort": "cost", "status": "open", "after": pack_cursor("cost", 1, 10**30, "c")}, "after"),
        ({"sort": "cost", "status": "open", "after": pack_cursor("cost", 1, 1, "\0")}, "after"),
        ({"search": "a", "after": pack_cursor(4, 1, "c")}, "after"),
        ({"search": "a", "after": pack_cursor(-1, 1, "c")}, "after"),
        ({"search": "a", "after": pack_cursor(1, 1, "\0")}, "after"),
    ],
)
def test_an_order_that_can_not_be_is_refused(
    gateway: Gateway, query: dict[str, str], field: str
) -> None:
    answer = gateway.get("/v1/chats", "o", "ops", **query)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_an_advisor_is_summed_up(
    gateway: Gateway, live: LiveDaemon, priced: dict[str, list[str]]
) -> None:
    """What is open now, and what ended chats came to: the sums of the chats themselves."""
    told = gateway.ops("/v1/advisors/sorts-v")
    ended = gateway.ops("/v1/chats/sorts-a")
    assert told["open"] == {"running": 3, "paused": 0, "suspended": 0}
    assert told["burn_rate"] == "606.600000"
    same = ("active_ms", "billed_ms", "cost", "refunded")
    assert told["totals"] == {"chats": 1} | {name: ended[name] for name in same}
    nothing = gateway.ops("/v1/advisors/sorts-nobody")
    assert nothing["totals"] == {
        "chats": 0, "active_ms": 0, "billed_ms": 0, "cost": "0.000000", "refunded": "0.000000",
    }  # fmt: skip
    assert nothing["open"] == {"running": 0, "paused": 0, "suspended": 0}


# Whose chats.


def test_a_user_lists_its_own_and_an_advisor_its_own(gateway: Gateway, house: House) -> None:
    """By default, or naming themselves; narrowed by whom they talked with."""
    user, advisor = house.users[0], house.advisors[0]
    for query in ({}, {"user_id": user}):
        assert _ids(gateway.read("/v1/chats", user, **query)) == house.newest_first(user_id=user)
    for query in ({}, {"advisor_id": advisor}):
        listed = _ids(gateway.read("/v1/chats", advisor, "advisor", **query))
        assert listed == house.newest_first(advisor_id=advisor)
    both = house.newest_first(user_id=user, advisor_id=advisor)
    assert _ids(gateway.read("/v1/chats", user, advisor_id=advisor)) == both
    assert _ids(gateway.read("/v1/chats", advisor, "advisor", user_id=user)) == both


@pytest.fixture(scope="module")
def versatile(gateway: Gateway, house: House, live: LiveDaemon) -> Iterator[str]:
    """A user who is an advisor too, with one chat as each."""
    me = "lists-both"
    gateway.do("top_up", user_id=me, amount="1000")
    people = {"user_id": me, "advisor_id": house.advisors[0]}
    gateway.do("start", chat_id="lists-asks", **people, rate="0")
    people = {"user_id": house.users[0], "advisor_id": me}
    gateway.do("start", chat_id="lists-answers", **people, rate="0")
    live.until_handled()
    yield me
    gateway.do("end", chat_id="lists-answers")


def test_a_user_who_is_an_advisor_lists_either(
    gateway: Gateway, house: House, versatile: str
) -> None:
    me, user, advisor = versatile, house.users[0], house.advisors[0]
    asks, answers = ["lists-asks"], ["lists-answers"]
    for query, listed in (
        ({}, asks),
        ({"user_id": me}, asks),
        ({"advisor_id": me}, answers),
        ({"advisor_id": advisor}, asks),
        ({"user_id": user}, answers),
        ({"user_id": me, "advisor_id": advisor}, asks),
        ({"user_id": user, "advisor_id": me}, answers),
    ):
        assert _ids(gateway.read("/v1/chats", me, "user", "advisor", **query)) == listed, query
    answer = gateway.get("/v1/chats", me, "user", "advisor", user_id=user, advisor_id=advisor)
    assert answer.status_code == 403


# Dead letters.


def test_what_was_set_aside_is_listed_with_its_reason(gateway: Gateway, live: LiveDaemon) -> None:
    """As it was sent, the last set aside first, page by page."""
    with live.client() as client:
        entries = [
            client.xadd(KEYS.commands, {"type": "begin", "id": f"dead-{n}", "é\x00": b"\xff"})
            for n in range(3)
        ]
    live.until_handled()
    told = gateway.ops("/v1/dead", limit=3)["letters"]
    assert {letter["entry"] for letter in told} == {entry.decode() for entry in entries}
    letters = [entry_key(letter["letter"].rpartition(":")[2]) for letter in told]
    assert letters == sorted(letters, reverse=True)
    assert {letter["outcome"] for letter in told} == {"invalid_command"}
    assert {letter["fields"]["id"] for letter in told} == {"dead-0", "dead-1", "dead-2"}
    assert all(letter["reason"] for letter in told)
    pages: list[Any] = []
    after: dict[str, str] = {}
    for _ in range(3):
        page = gateway.ops("/v1/dead", limit=1, **after)
        pages += page["letters"]
        after = {"after": page["next"]}
    assert pages == told
