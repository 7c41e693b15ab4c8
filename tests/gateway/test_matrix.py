"""Who sees what: every role, every route, what is one's own, somebody else's, and nobody's."""

import json
import statistics
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from loadtests.common.live import LiveDaemon
from tests.gateway.conftest import Gateway
from tests.shared_daemon import keys_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]

ME, OTHER, NOBODY = "matrix-me", "matrix-other", "matrix-nobody"
ASKED, ANSWERED, FOREIGN = "matrix-asked", "matrix-answered", "matrix-foreign"
"""A chat that I asked for as a user; one that I answered as an advisor; one of others alone."""
OVER, OLD = "matrix-over", "matrix-old"
"""Chats of others that ended just now, and so long ago that Redis has forgotten them."""
UNKNOWN = "matrix-unknown"

WHO: Final = {
    "nobody": None,
    "broken": (),
    "user": ("user",),
    "advisor": ("advisor",),
    "ops": ("ops",),
    "admin": ("admin",),
    "backend": ("backend",),
    "user+backend": ("user", "backend"),
    "user+advisor": ("user", "advisor"),
}

# whole: with the wallet · part: without it · none: as if it had never started · chats: a list of
# these · a number: that status and nothing else
TABLE: Final = """
route                             of              nobody broken user  advisor  ops      admin    backend user+backend user+advisor
GET /v1/chats/{chat_id}           asked           401    401    whole none     whole    whole    403     whole        whole
GET /v1/chats/{chat_id}           answered        401    401    none  part     whole    whole    403     none         part
GET /v1/chats/{chat_id}           foreign         401    401    none  none     whole    whole    403     none         none
GET /v1/chats/{chat_id}           over            401    401    none  none     whole    whole    403     none         none
GET /v1/chats/{chat_id}           old             401    401    none  none     whole    whole    403     none         none
GET /v1/chats/{chat_id}           unknown         401    401    none  none     none     none     403     none         none
GET /v1/chats/{chat_id}/history   asked           401    401    whole none     whole    whole    403     whole        whole
GET /v1/chats/{chat_id}/history   answered        401    401    none  part     whole    whole    403     none         part
GET /v1/chats/{chat_id}/history   foreign         401    401    none  none     whole    whole    403     none         none
GET /v1/chats/{chat_id}/history   over            401    401    none  none     whole    whole    403     none         none
GET /v1/chats/{chat_id}/history   old             401    401    none  none     whole    whole    403     none         none
GET /v1/chats/{chat_id}/history   unknown         401    401    none  none     none     none     403     none         none
GET /v1/chats/{chat_id}/stream    asked           401    401    whole none     whole    whole    403     whole        whole
GET /v1/chats/{chat_id}/stream    answered        401    401    none  part     whole    whole    403     none         part
GET /v1/chats/{chat_id}/stream    foreign         401    401    none  none     whole    whole    403     none         none
GET /v1/chats/{chat_id}/stream    over            401    401    none  none     whole    whole    403     none         none
GET /v1/chats/{chat_id}/stream    unknown         401    401    none  none     none     none     403     none         none
GET /v1/stream                    asked           401    401    whole none     whole    whole    403     whole        whole
GET /v1/stream                    answered        401    401    none  part     whole    whole    403     none         part
GET /v1/stream                    foreign         401    401    none  none     whole    whole    403     none         none
GET /v1/stream                    over            401    401    none  none     whole    whole    403     none         none
GET /v1/stream                    old             401    401    none  none     whole    whole    403     none         none
GET /v1/stream                    unknown         401    401    none  none     none     none     403     none         none
GET /v1/advisors/{advisor_id}/stream me              401    401    403   answered answered answered 403     403          answered
GET /v1/advisors/{advisor_id}/stream other           401    401    403   403      theirs   theirs   403     403          403
GET /v1/advisors/{advisor_id}/stream nobody          401    401    403   403      none     none     403     403          403
GET /v1/advisors/{advisor_id}     me              401    401    403   200      200      200      403     403          200
GET /v1/advisors/{advisor_id}     other           401    401    403   403      200      200      403     403          403
GET /v1/advisors/{advisor_id}     nobody          401    401    403   403      200      200      403     403          403
GET /v1/users/{user_id}/wallet    me              401    401    200   403      200      200      403     200          200
GET /v1/users/{user_id}/wallet    other           401    401    403   403      200      200      403     403          403
GET /v1/users/{user_id}/wallet    nobody          401    401    403   403      200      200      403     403          403
GET /v1/users/{user_id}/ledger    me              401    401    200   403      200      200      403     200          200
GET /v1/users/{user_id}/ledger    other           401    401    403   403      200      200      403     403          403
GET /v1/users/{user_id}/ledger    nobody          401    401    403   403      200      200      403     403          403
GET /v1/users/{user_id}/stream    me              401    401    whole 403      whole    whole    403     whole        whole
GET /v1/users/{user_id}/stream    other           401    401    403   403      whole    whole    403     403          403
GET /v1/users/{user_id}/stream    nobody          401    401    403   403      none     none     403     403          403
GET /v1/chats                     -               401    401    asked answered 422      422      403     asked        asked
GET /v1/chats                     user_id=me      401    401    asked none     asked    asked    403     asked        asked
GET /v1/chats                     user_id=other   401    401    403   answered others   others   403     403          answered
GET /v1/chats                     user_id=nobody  401    401    403   none     none     none     403     403          none
GET /v1/chats                     advisor_id=me   401    401    none  answered answered answered 403     none         answered
GET /v1/chats                     advisor_id=other 401    401    asked 403      theirs   theirs   403     asked        asked
GET /v1/chats                     advisor_id=nobody 401    401    none  403      none     none     403     none         none
GET /v1/chats                     user_id=other&advisor_id=other 401    401    403   403      foreign  foreign  403     403          403
GET /v1/chats                     status=open     401    401    asked answered all      all      403     asked        asked
GET /v1/chats                     status=open&search=matrix 401    401    403   403      all      all      403     403          403
GET /v1/chats                     search=matrix-foreign 401    401    403   403      foreign  foreign  403     403          403
GET /v1/chats                     status=open&sort=cost 401    401    403   403      all      all      403     403          403
GET /v1/chats                     sort=left&search=matrix 401    401    403   403      all      all      403     403          403
GET /v1/usage                     by=user         401    401    200   200      200      200      403     200          200
GET /v1/usage                     by=user&user_id=other 401    401    403   200      200      200      403     403          200
GET /v1/events                    -               401    401    403   403      200      200      200     200          403
GET /v1/status                    -               401    401    403   403      200      200      403     403          403
GET /v1/status/history            -               401    401    403   403      200      200      403     403          403
GET /v1/dead                      -               401    401    403   403      200      200      403     403          403
GET /v1/operations                -               401    401    403   403      200      200      403     403          403
POST /v1/operations               -               401    401    403   403      403      200      403     403          403
POST /v1/commands                 -               401    401    403   403      403      403      200     200          403
GET /healthz                      -               200    200    200   200      200      200      200     200          200
GET /readyz                       -               200    200    200   200      200      200      200     200          200
GET /metrics                      -               200    200    200   200      200      200      200     200          200
"""  # fmt: skip  # noqa: E501

LISTS: Final = {
    "asked": {ASKED},
    "answered": {ANSWERED},
    "foreign": {FOREIGN},
    "others": {ANSWERED, FOREIGN},
    "theirs": {ASKED, FOREIGN},
    "all": {ASKED, ANSWERED, FOREIGN},
}
OPEN_CHATS: Final = LISTS["all"]


def _cells() -> Iterator[tuple[str, str, str, str, str]]:
    """Method, route, of what, who, and what they see."""
    head, *rows = TABLE.strip().splitlines()
    who = head.split()[2:]
    assert who == list(WHO)
    for row in rows:
        method, route, of, *seen = row.split()
        assert len(seen) == len(who), row
        yield from ((method, route, of, *cell) for cell in zip(who, seen, strict=True))


@pytest.fixture(scope="module", autouse=True)
def _house(gateway: Gateway, live: LiveDaemon) -> Iterator[None]:
    """The chats of the table; every one of them has a history with the account in it."""
    chats = (
        (ASKED, ME, OTHER),
        (ANSWERED, OTHER, ME),
        (FOREIGN, OTHER, OTHER),
        (OVER, OTHER, OTHER),
        (OLD, OTHER, OTHER),
    )
    for user in (ME, OTHER):
        gateway.do("top_up", user_id=user, amount="1000")
    for chat, user, advisor in chats:
        gateway.do("start", chat_id=chat, user_id=user, advisor_id=advisor, rate="0.01")
    for user in (ME, OTHER):
        gateway.do("top_up", user_id=user, amount="1000")
    for chat in (OVER, OLD):
        gateway.do("end", chat_id=chat)
    live.until_handled()
    with live.client() as client:
        client.pexpire(keys_of(OTHER).chat(OLD), 1)
        live.until(lambda: not client.exists(keys_of(OTHER).chat(OLD)))
    yield
    for chat in OPEN_CHATS:
        gateway.do("end", chat_id=chat)


def _named(of: str) -> str:
    for name in (ME, OTHER, NOBODY, ASKED, ANSWERED, FOREIGN, OVER, OLD, UNKNOWN):
        if name == f"matrix-{of}":
            return name
    raise AssertionError(of)


def _url(route: str, of: str) -> str:
    if "{" in route:
        return (
            route.replace("{chat_id}", _named(of))
            .replace("{user_id}", _named(of))
            .replace("{advisor_id}", _named(of))
        )
    if of == "-":
        return route
    if route == "/v1/stream":
        return f"{route}?chat_id={_named(of)}"
    pairs = (pair.partition("=") for pair in of.split("&"))
    is_name = ("user_id", "advisor_id")
    query = "&".join(f"{k}={_named(v) if k in is_name else v}" for k, _, v in pairs)
    return f"{route}?limit=200&{query}"


def _headers(gateway: Gateway, who: str) -> dict[str, str]:
    roles = WHO[who]
    if roles is None:
        return {}
    if not roles:
        return {"Authorization": gateway.bearer(ME, "ops")["Authorization"][:-2]}
    return gateway.bearer(ME, *roles)


def _asked(gateway: Gateway, method: str, url: str, headers: dict[str, str]) -> tuple[int, Any]:
    """The status, and the document; of a stream its first message."""
    if not url.partition("?")[0].endswith("/stream"):
        answer = gateway.http.request(method, url, headers=headers, json=BODIES.get((method, url)))
        is_json = "json" in answer.headers["content-type"]
        return answer.status_code, answer.json() if is_json else None
    with gateway.http.stream(method, url, headers=headers) as answer:
        if answer.status_code != 200:
            return answer.status_code, json.loads(answer.read())
        return 200, json.loads(_first_message(answer)["data"])


BODIES: Final = {
    ("POST", "/v1/commands"): {"type": "heartbeat", "chat_id": ASKED},
    ("POST", "/v1/operations"): {
        "operation": "account.top_up",
        "id": "matrix-operation",
        "user_id": ME,
        "amount": "1",
        "reason": "to see who may",
    },
}


def _first_message(answer: httpx.Response) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if not line:
            return fields
        name, _, value = line.partition(": ")
        fields[name] = value
    raise AssertionError("the stream ended before it began")


def _seen(route: str, document: Any) -> str:
    """The table's word for an answer that is 200."""
    if route.endswith("{chat_id}/history"):
        events = {line["event"] for line in document["history"]}
        return _word(not events, any(event.startswith("wallet.") for event in events))
    if route.endswith("{chat_id}/stream"):
        (chat,) = document["chats"]
        return _word(chat["status"] == "not_started", document["wallet"] is not None)
    if route == "/v1/stream":
        (chat,) = document["chats"]
        return _word(chat["status"] == "not_started", bool(document["wallets"]))
    if route.endswith("{user_id}/stream"):
        return _word(not document["wallet"]["seq"], True)
    if route.endswith("{chat_id}"):
        return _word(document["status"] == "not_started", document["wallet"] is not None)
    if route in ("/v1/chats", "/v1/advisors/{advisor_id}/stream"):
        listed = {chat["chat_id"] for chat in document["chats"]} & OPEN_CHATS
        return next((word for word, chats in LISTS.items() if chats == listed), "none")
    return "200"


def _word(is_none: bool, has_wallet: bool) -> str:
    return "none" if is_none else "whole" if has_wallet else "part"


@pytest.mark.parametrize("who", WHO)
def test_each_role_sees_what_the_table_says(gateway: Gateway, who: str) -> None:
    wrong = []
    for method, route, of, name, wanted in _cells():
        if name != who:
            continue
        status, document = _asked(gateway, method, _url(route, of), _headers(gateway, who))
        seen = _seen(route, document) if status == 200 else str(status)
        if seen != wanted:
            wrong.append(f"{method} {route} of {of}: {seen}, not {wanted}")
        if status in (401, 403):
            assert document["code"] == {401: "unauthenticated", 403: "forbidden"}[status]
    assert not wrong


def test_no_route_is_left_out(gateway: Gateway) -> None:
    """One that is new has to say who may what."""
    described = gateway.http.get("/openapi.json").json()["paths"]
    routes = {(method.upper(), path) for path, methods in described.items() for method in methods}
    assert routes == {(method, route) for method, route, *_ in _cells()}


def test_a_list_is_never_more_than_was_asked_for(gateway: Gateway) -> None:
    """Not the chats of any other test either."""
    for roles, field in ((("user",), "user_id"), (("advisor",), "advisor_id")):
        for chat in gateway.read("/v1/chats", ME, *roles, limit=200)["chats"]:
            assert chat[field] == ME


# A stranger's chat is as one that never started.

OTHERS: Final = {
    "user": ("matrix-x", ("user",)),
    "advisor": ("matrix-x", ("advisor",)),
    "both": ("matrix-x", ("user", "advisor")),
}
RATIO_MAX: Final = 1.5
VOLATILE: Final = ("date", "x-request-id", "content-length", "etag", "ratelimit")
"""Of the moment, or of the bytes of the body, which are compared themselves."""


def _bare(answer: httpx.Response, chat_id: str) -> tuple[int, dict[str, str], bytes]:
    """An answer but for the clock and the chat's name."""
    headers = {k: v for k, v in answer.headers.items() if k not in VOLATILE}
    body = answer.content.replace(chat_id.encode(), b"<chat>")
    now = json.loads(answer.content)["now"]
    return answer.status_code, headers, body.replace(b'"now":%d' % now, b'"now":0')


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize("tail", ["", "/history"])
@pytest.mark.parametrize("chat", [FOREIGN, OVER, OLD])
def test_a_strangers_chat_is_byte_for_byte_one_that_never_started(
    gateway: Gateway, who: str, tail: str, chat: str
) -> None:
    """Headers included; but for ``now`` and the name that it was asked for by."""
    sub, roles = OTHERS[who]
    theirs, nobodys = (
        _bare(gateway.get(f"/v1/chats/{name}{tail}", sub, *roles), name) for name in (chat, UNKNOWN)
    )
    assert theirs == nobodys


@pytest.mark.parametrize("chat", [FOREIGN, OVER, OLD])
def test_a_strangers_chat_takes_as_long_as_one_that_never_started(
    gateway: Gateway, chat: str
) -> None:
    """Medians of requests that take turns, so that what else goes on here meets both alike.

    Without care it would be a round trip to PostgreSQL more or less: a third of the time, or
    three times as long.
    """
    ratios = []
    for _ in range(5):
        theirs, nobodys = _medians_s(gateway, chat, UNKNOWN)
        ratios.append(theirs / nobodys)
        if 1 / RATIO_MAX < ratios[-1] < RATIO_MAX:
            return
    raise AssertionError(ratios)


def _medians_s(gateway: Gateway, *chats: str) -> list[float]:
    headers = gateway.bearer("matrix-x")
    taken: dict[str, list[float]] = {chat: [] for chat in chats}
    for _ in range(60):
        for chat in chats:
            begin = time.perf_counter()
            answer = gateway.http.get(f"/v1/chats/{chat}", headers=headers)
            taken[chat].append(time.perf_counter() - begin)
            assert answer.json()["status"] == "not_started"
    return [statistics.median(taken[chat]) for chat in chats]
