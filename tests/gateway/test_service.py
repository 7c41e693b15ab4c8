"""What every answer has, and what is told of the service as a whole."""

import re
from collections.abc import Iterator

import httpx
import pytest

from loadtests.common.live import LiveDaemon
from tests.gateway.conftest import Gateway, gateway_alone
from tests.shared_daemon import servers_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]

PATHS = (
    "/healthz",
    "/v1/chats/x",
    "/v1/nothing",
    "/metrics",
    "/",
    "/demo",
    "/docs",
    "/openapi.json",
)
PAGES = ("/", "/demo", "/docs")


def test_the_status_is_the_daemons_without_addresses(gateway: Gateway, live: LiveDaemon) -> None:
    """`meterd status --json` says the same; passwords are no operator's to read over HTTP."""
    told, printed = gateway.ops("/v1/status"), live.status()
    assert told["state"] == printed["state"] == "ready"
    assert {actor["name"] for actor in told["actors"]} == {a["name"] for a in printed["actors"]}
    assert {"lag", "pending", "outbox", "dead"} <= told["queue"].keys()
    text = gateway.get("/v1/status", "o", "ops").text
    for secret in ("redis://", "postgresql://", "password", str(live.home)):
        assert secret not in text


def test_whoever_watches_needs_no_token(gateway: Gateway) -> None:
    alive, ready = gateway.http.get("/healthz"), gateway.http.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    up = {"status": "ok", "redis": "up", "postgres": "up"}
    assert (ready.status_code, ready.json()) == (200, up)


@pytest.mark.parametrize("mine", ["a", "trace-5/ann@web:1=2+3_4.5", "x" * 64])
def test_a_request_keeps_the_id_that_it_came_with(gateway: Gateway, mine: str) -> None:
    for path in PATHS:
        assert (
            gateway.http.get(path, headers={"X-Request-Id": mine}).headers["x-request-id"] == mine
        )
    problem = gateway.http.get("/v1/status", headers={"X-Request-Id": mine})
    assert problem.json()["request_id"] == mine


@pytest.mark.parametrize("junk", ["", "a b", "x" * 65, "<script>", 'a"b', "a,b", "é", "a\tb"])
def test_a_request_id_that_is_none_is_replaced(gateway: Gateway, junk: str) -> None:
    """By one of its own for each request: what is in logs and headers is never a stranger's."""
    headers = httpx.Headers([(b"X-Request-Id", junk.encode())])
    answers = [gateway.http.get("/v1/status", headers=headers) for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", id_) for id_ in ids)
    assert {answer.json()["request_id"] for answer in answers} == ids


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_headers_that_protect(gateway: Gateway, path: str) -> None:
    """Each once; nothing is kept by caches in between, and nothing says what runs here."""
    headers = gateway.http.get(path).headers
    for name, value in (
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
    ):
        assert headers.get_list(name) == [value]
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert "server" not in headers


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_nothing_from_elsewhere_and_nothing_inline(gateway: Gateway, path: str) -> None:
    answer = gateway.http.get(path)
    policy = dict(
        rule.strip().partition(" ")[::2]
        for rule in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'self'"
    assert not {"script-src", "object-src", "style-src"} & policy.keys()
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|javascript:", answer.text)


def test_the_description_needs_nothing_from_elsewhere(gateway: Gateway) -> None:
    """Scripts and styles of /docs are this gateway's own, and they are there."""
    page = gateway.http.get("/docs").text
    sources = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page)
    assert sources
    assert "http://" not in page
    assert "https://" not in page
    for source in sources:
        assert gateway.http.get(f"/{source}").status_code == 200


def test_there_is_no_second_description(gateway: Gateway) -> None:
    assert gateway.http.get("/redoc").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/static/nothing.js", 404, "not_found"),
        ("GET", "/static/..%2f..%2fapp.py", 404, "not_found"),
        ("DELETE", "/v1/chats/c", 405, "method_not_allowed"),
        ("POST", "/v1/chats", 405, "method_not_allowed"),
        ("GET", "/v1/commands", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_is_a_problem_too(
    gateway: Gateway, method: str, path: str, status: int, code: str
) -> None:
    answer = gateway.http.request(method, path)
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (answer.status_code, told["status"], told["code"]) == (status, status, code)
    assert told.keys() >= {"type", "title", "detail", "request_id"}
    assert ("allow" in answer.headers) == (status == 405)


def test_all_methods_of_a_path_are_told(gateway: Gateway) -> None:
    """Each has a route of its own."""
    answer = gateway.http.delete("/v1/operations")
    assert answer.headers["allow"] == "GET, POST"


def test_a_body_that_is_no_text_is_named(gateway: Gateway) -> None:
    headers = {**gateway.bearer("a", "admin"), "Content-Type": "application/json"}
    answer = gateway.http.post("/v1/operations", content=b"\xff", headers=headers)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["body"]


# Pages of other origins.

OURS, THEIRS = "https://app.example", "https://evil.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization,last-event-id,prefer,x-request-id",
}


def test_pages_of_other_origins_read_nothing_by_default(gateway: Gateway) -> None:
    """But for the clock's script, which is for them."""
    for headers in ({}, gateway.bearer("ann")):
        answer = gateway.http.get("/v1/chats/c", headers={"Origin": OURS, **headers})
        assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = gateway.http.options("/v1/chats/c", headers={"Origin": OURS, **PREFLIGHT})
    assert asked.status_code == 405
    assert not [name for name in asked.headers if name.startswith("access-control")]


@pytest.fixture(scope="module")
def for_others(live: LiveDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that pages of one other origin may read."""
    env = {
        **servers_of(live),
        "METERD_HTTP__CORS_ORIGINS": OURS,
    }
    with gateway_alone(tmp_path_factory.mktemp("for-others"), **env) as gateway:
        yield gateway


def test_pages_of_a_configured_origin_may_read(for_others: Gateway) -> None:
    """Answers and refusals alike, with a token and never with cookies."""
    asked = for_others.http.options("/v1/chats/c", headers={"Origin": OURS, **PREFLIGHT})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == OURS
    allowed = asked.headers["access-control-allow-headers"].lower()
    assert {"authorization", "last-event-id", "prefer", "x-request-id"} <= set(
        re.split(", *", allowed)
    )
    for headers, status in ((for_others.bearer("ann"), 200), ({}, 401)):
        answer = for_others.http.get("/v1/chats/c", headers={"Origin": OURS, **headers})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == OURS
        assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
        assert "access-control-allow-credentials" not in answer.headers


def test_pages_of_any_other_origin_may_not(for_others: Gateway) -> None:
    headers = {"Origin": THEIRS, **for_others.bearer("ann")}
    answer = for_others.http.get("/v1/chats/c", headers=headers)
    assert "access-control-allow-origin" not in answer.headers
    asked = for_others.http.options("/v1/chats/c", headers={"Origin": THEIRS, **PREFLIGHT})
    assert "access-control-allow-origin" not in asked.headers
