"""What an admin does by hand: done once, recorded with who and why, also where it is refused."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from daemon.gateway.cursors import pack_cursor
from loadtests.common.live import KEYS, LiveDaemon
from meterd.rules.commands import entry_key
from persistence.postgres.rows import OperationRow
from persistence.redis.client import connect
from persistence.redis.commit import OutboxPayload, pack_payload, unpack_payload
from tests.gateway.conftest import Gateway, gateway_alone
from tests.servers import redis_server
from tests.shared_daemon import nothing_sent

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]

Json = dict[str, Any]


@pytest.fixture
def running(gateway: Gateway, name: str) -> str:
    """A running chat of a user with credits, all of the same name."""
    gateway.do("top_up", user_id=name, amount="100")
    gateway.do("start", chat_id=name, user_id=name, advisor_id="v", rate="60", min_ms=60_000)
    return name


def _recorded(gateway: Gateway, live: LiveDaemon, **query: Any) -> list[Json]:
    """The operations as they are listed once everything has reached Postgres."""
    live.until_handled()
    found: list[Json] = gateway.ops("/v1/operations", **query)["operations"]
    return found


def _balance(gateway: Gateway, user: str) -> str:
    balance: str = gateway.ops(f"/v1/users/{user}/wallet")["balance"]
    return balance


def test_a_chat_is_ended_refunded_and_its_account_corrected(
    gateway: Gateway, live: LiveDaemon, running: str
) -> None:
    """Each has the effect of its command, and its row with who, why, to what, and the outcome."""
    chat, user = {"chat_id": running}, {"user_id": running}
    ended = gateway.act("chat.end", "eve", id=f"{running}-1", **chat)
    assert ended.status_code == 200, ended.text
    assert ended.json()["reply"]["snapshot"]["end_reason"] == "operator"
    assert ended.json()["reply"]["id"] == f"{running}-1"
    more: list[tuple[str, Json]] = [
        ("chat.refund", {**chat, "amount": "20"}),
        ("account.adjust", {**user, "amount": "-5.5"}),
        ("account.top_up", {**user, "amount": 7}),
    ]
    for number, (operation, fields) in enumerate(more, start=2):
        answer = gateway.act(operation, "eve", id=f"{running}-{number}", **fields)
        assert answer.status_code == 200, answer.text
    assert _balance(gateway, running) == "61.500000"  # 100 - 60 + 20 - 5.5 + 7
    told = _recorded(gateway, live, done_by="eve", subject=running)
    assert [one["operation"] for one in told] == [
        "account.top_up",
        "account.adjust",
        "chat.refund",
        "chat.end",
    ]
    assert {one["outcome"] for one in told} == {"ok"}
    assert {one["reason"] for one in told} == {"for a test"}
    assert [one["command_id"] for one in told] == [f"{running}-{n}" for n in (4, 3, 2, 1)]
    assert told[-1]["entry"] == ended.json()["reply"]["entry"]
    assert told[-1] == {**ended.json()["operation"], "outcome": "ok", "entry": told[-1]["entry"]}


def test_what_is_refused_is_recorded_too(gateway: Gateway, live: LiveDaemon, running: str) -> None:
    """With the refusal as its outcome."""
    answer = gateway.act("chat.refund", id=f"{running}-1", chat_id=running, amount="1")
    assert answer.status_code == 409
    assert answer.json()["code"] == "not_ended"
    (told,) = _recorded(gateway, live, subject=running)
    assert (told["operation"], told["outcome"]) == ("chat.refund", "not_ended")


def test_sent_again_it_is_done_and_recorded_once(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    wanted = {"id": f"{name}-1", "user_id": name, "amount": "5"}
    first, again = (gateway.act("account.top_up", **wanted).json() for _ in range(2))
    assert not first["reply"]["replayed"]
    assert again["reply"]["replayed"]
    assert _balance(gateway, name) == "5.000000"
    (told,) = _recorded(gateway, live, subject=name)
    assert told["at"] == first["operation"]["at"]


def test_an_id_that_stands_for_something_else_is_a_conflict(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    """Also if it is a backend's; and both acts are recorded, each with its own outcome."""
    gateway.do("top_up", id=f"{name}-b", user_id=name, amount="1")
    for id_ in (f"{name}-b", f"{name}-a"):
        gateway.act("account.top_up", "ann", id=id_, user_id=name, amount="5")
        answer = gateway.act("account.top_up", "bob", id=id_, user_id=name, amount="6")
        assert answer.json()["code"] == "id_conflict"
    assert _balance(gateway, name) == "6.000000"
    told = _recorded(gateway, live, subject=name)
    assert [(one["done_by"], one["outcome"]) for one in told] == [
        ("bob", "id_conflict"),
        ("ann", "ok"),
        ("bob", "id_conflict"),
        ("ann", "id_conflict"),
    ]


def test_a_chat_that_never_started_can_not_be_ended(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    """Nothing is there to be done, so nothing is sent or recorded."""
    answer = gateway.act("chat.end", id=f"{name}-1", chat_id=name)
    assert answer.status_code == 404
    assert answer.json()["code"] == "unknown_chat"
    assert _recorded(gateway, live, subject=name) == []


BAD = [
    ({"operation": "chat.pause"}, "operation"),
    ({"id": ""}, "id"),
    ({"id": "a b"}, "id"),
    ({"id": None}, "id"),
    ({"reason": ""}, "reason"),
    ({"reason": " "}, "reason"),
    ({"reason": "a\nb"}, "reason"),
    ({"reason": "a\x1b[2J"}, "reason"),
    ({"reason": "a" * 501}, "reason"),
    ({"user_id": "é"}, "user_id"),
    ({"amount": 1.5}, "amount"),
    ({"amount": True}, "amount"),
    ({"chat_id": "c"}, "chat_id"),
]


@pytest.mark.parametrize(("wrong", "field"), BAD)
def test_what_is_wrong_is_named_and_nothing_is_done(
    gateway: Gateway, live: LiveDaemon, name: str, wrong: Json, field: str
) -> None:
    wanted = {"operation": "account.top_up", "id": f"{name}-1", "user_id": name, "amount": "1"}
    answer = gateway.act(**{**wanted, **wrong})
    assert answer.status_code == 422
    assert field in {error["field"] for error in answer.json()["errors"]}
    assert _balance(gateway, name) == "0.000000"
    assert _recorded(gateway, live, subject=name) == []


@pytest.mark.parametrize("amount", ["0", "-1", "1e3", "1.0000001", "1" * 10, "", 0, -1])
def test_an_amount_that_is_none_leaves_no_trace(
    gateway: Gateway, live: LiveDaemon, name: str, amount: Any
) -> None:
    """Neither in the queue nor in the record of operations."""
    with nothing_sent(live):
        answer = gateway.act("account.top_up", id=f"{name}-1", user_id=name, amount=amount)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_command"
    assert _recorded(gateway, live, subject=name) == []


def test_a_field_that_is_there_twice_is_refused(gateway: Gateway, name: str) -> None:
    body = (
        f'{{"operation": "account.top_up", "id": "{name}", "user_id": "{name}", "reason": "r",'
        ' "amount": "1", "amount": "100"}'
    )
    headers = {**gateway.bearer("a", "admin"), "Content-Type": "application/json"}
    answer = gateway.http.post("/v1/operations", content=body, headers=headers)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["amount"]


@pytest.mark.parametrize("sub", ["a\x00b", "a\nb", "x" * 129])
def test_a_name_that_can_not_be_recorded_may_not_act(gateway: Gateway, name: str, sub: str) -> None:
    answer = gateway.act("account.top_up", sub, id=f"{name}-1", user_id=name, amount="1")
    assert answer.status_code == 403
    assert _balance(gateway, name) == "0.000000"


def test_a_part_of_an_adjustment_is_taken_if_that_is_wanted(gateway: Gateway, name: str) -> None:
    gateway.do("top_up", user_id=name, amount="3")
    wanted = {"user_id": name, "amount": "-5"}
    assert gateway.act("account.adjust", id=f"{name}-1", **wanted).status_code == 402
    partly = gateway.act("account.adjust", id=f"{name}-2", **wanted, partial=True)
    assert partly.json()["reply"]["snapshot"]["balance"] == "0.000000"


# Dead letters.


def _set_aside(gateway: Gateway, live: LiveDaemon, name: str, **fields: str) -> str:
    """A dead letter; returns what it is called."""
    with live.client() as client:
        entry = client.xadd(KEYS.commands, {"type": "begin", "id": name, **fields}).decode()
    live.until_handled()
    letters = gateway.ops("/v1/dead", limit=200)["letters"]
    (letter,) = [one["letter"] for one in letters if one["entry"] == entry]
    return str(letter)


def _letters(gateway: Gateway) -> set[str]:
    return {one["letter"] for one in gateway.ops("/v1/dead", limit=200)["letters"]}


def test_a_dead_letter_is_sent_again(gateway: Gateway, live: LiveDaemon, name: str) -> None:
    """As a new entry, which the answer names; it is a letter no more, and that is recorded."""
    letter = _set_aside(gateway, live, name)
    answer = gateway.act("dead.retry", "eve", id=f"{name}-1", letter=letter)
    assert answer.status_code == 200, answer.text
    live.until_handled()
    letters = gateway.ops("/v1/dead", limit=200)["letters"]
    assert letter not in {one["letter"] for one in letters}
    assert answer.json()["entry"] in {one["entry"] for one in letters}  # as invalid as before
    assert answer.json()["reply"] is None
    subject = answer.json()["operation"]["subject"]
    (told,) = _recorded(gateway, live, subject=subject)
    assert (told["operation"], told["done_by"], told["reason"]) == (
        "dead.retry",
        "eve",
        "for a test",
    )
    assert told["details"]["fields"] == {"type": "begin", "id": name}


def test_a_dead_letter_is_dropped_once(gateway: Gateway, live: LiveDaemon, name: str) -> None:
    """The same request again gets the same answer; anybody else's finds nothing."""
    letter = _set_aside(gateway, live, name)
    first = gateway.act("dead.drop", id=f"{name}-1", letter=letter)
    assert first.status_code == 200
    assert letter not in _letters(gateway)
    live.until_handled()
    again = gateway.act("dead.drop", id=f"{name}-1", letter=letter)
    assert again.json()["operation"] == first.json()["operation"]
    for other in (
        gateway.act("dead.drop", id=f"{name}-2", letter=letter),
        gateway.act("dead.drop", "bob", id=f"{name}-1", letter=letter),
        gateway.act("dead.retry", id=f"{name}-1", letter=letter),
        gateway.act("dead.drop", id=f"{name}-1", letter="1-1"),
    ):
        assert other.status_code == 404
        assert other.json()["code"] == "unknown_letter"


def test_a_letter_of_any_bytes_is_dropped_and_recorded(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    """PostgreSQL can hold no NUL, and it holds what was done."""
    letter = _set_aside(gateway, live, name, **{"a\x00b": "\x00"})
    answer = gateway.act("dead.drop", id=f"{name}-1", letter=letter)
    assert answer.status_code == 200
    assert len(_recorded(gateway, live, subject=answer.json()["operation"]["subject"])) == 1


# The list.


def test_operations_are_listed_once_and_the_newest_first(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    """Page by page, narrowed by who and to what."""
    for number in range(5):
        by, user = f"{name}-{number % 2}", f"{name}-u{number // 3}"
        gateway.act("account.top_up", by, id=f"{name}-{number}", user_id=user, amount="1")
    everything = _recorded(gateway, live, limit=200)
    mine = [one["command_id"] for one in everything if one["done_by"].startswith(f"{name}-")]
    assert mine == [f"{name}-{number}" for number in (4, 3, 2, 1, 0)]
    for query, wanted in (
        ({"done_by": f"{name}-0"}, [4, 2, 0]),
        ({"subject": f"{name}-u0"}, [2, 1, 0]),
        ({"subject": f"{name}-u0", "done_by": f"{name}-1"}, [1]),
        ({"subject": f"{name}-u"}, []),
    ):
        listed: list[str] = []
        after: dict[str, str] = {}
        for _ in range(len(wanted) + 1):
            page = gateway.ops("/v1/operations", **query, limit=1, **after)
            listed += [one["command_id"] for one in page["operations"]]
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        assert listed == [f"{name}-{number}" for number in wanted]


@pytest.mark.parametrize(
    "query",
    [{"subject": "\0"}, {"done_by": "\0"}, {"subject": "x" * 129}, {"after": pack_cursor("a")}],
)
def test_a_list_that_can_not_be_is_refused(gateway: Gateway, query: dict[str, str]) -> None:
    answer = gateway.get("/v1/operations", "o", "ops", **query)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == list(query)


# What happens between the record and the command.


def test_it_is_recorded_before_it_is_sent(tmp_path: Path, name: str) -> None:
    """So no gateway can end in between and leave something done that nobody has done."""
    with (
        redis_server() as redis_url,
        contextlib.closing(connect(redis_url)) as client,
        gateway_alone(
            tmp_path,
            METERD_REDIS__URL=redis_url,
            METERD_POSTGRES__URL="postgresql://127.0.0.1:1/none",
            METERD_HTTP__REPLY_TIMEOUT_MS="100",
        ) as gateway,
    ):
        client.set(KEYS.commands, "no stream")  # so that nothing can be sent
        wanted = {"id": f"{name}-1", "user_id": name, "amount": "5"}
        answer = gateway.act("account.top_up", **wanted)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_confirmed")
        client.delete(KEYS.commands)
        assert gateway.act("account.top_up", **wanted).json()["code"] == "no_reply"
        found: Any = client.xrange(KEYS.outbox)
        recorded = [unpack_payload(fields[b"facts"]).operations for _, fields in found]
        assert [[row.operation for row in rows] for rows in recorded] == [["account.top_up"]] * 2
        assert len({row.operation_id for rows in recorded for row in rows}) == 1
        sent: Any = client.xrange(KEYS.commands)
        ((command, _),) = sent
        assert entry_key(found[-1][0].decode()) <= entry_key(command.decode())


def test_what_was_recorded_and_never_sent_has_no_outcome(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    """As a gateway leaves it that is killed in between; sent again, it has one."""
    wanted = {"id": f"{name}-1", "user_id": name, "amount": "5"}
    operation = gateway.act("account.top_up", **{**wanted, "id": f"{name}-0"}).json()["operation"]
    details = {**operation["details"], "id": f"{name}-1"}
    left = OperationRow("left", operation["at"], "eve", "account.top_up", name, details)
    with live.client() as client:
        client.xadd(KEYS.outbox, {"facts": pack_payload(OutboxPayload([], [], [], [left]))})
    (told,) = _recorded(gateway, live, subject=name, done_by="eve")
    assert (told["outcome"], told["entry"]) == (None, None)
    assert gateway.act("account.top_up", "eve", **wanted).status_code == 200
    assert [one["outcome"] for one in _recorded(gateway, live, done_by="eve", subject=name)] == [
        "ok",
        "ok",
    ]
