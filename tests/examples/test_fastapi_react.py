"""examples/fastapi-react/ in a real browser, on a real daemon."""

from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from loadtests.common.live import LiveDaemon, launched_daemon
from loadtests.common.timeouts import READY_TIMEOUT_S, scaled
from meterd import Meter
from tests.browser.desk import chromium_or_skip, launched, listen, until
from tests.examples.running import Example, copy_checkout, free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]

PATIENCE_MS = scaled(15_000)
expect.set_options(timeout=PATIENCE_MS)
NAMES = ("First chat", "Second chat")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. Without one these tests skip, unless they must not."""
    with launched(chromium_or_skip()) as browser:
        yield browser


@pytest.fixture(scope="module")
def port() -> int:
    """The page's: the daemon has to know its origin."""
    return free_port()


@pytest.fixture(scope="module")
def daemon(browser: Browser, port: int) -> Iterator[LiveDaemon]:
    """A daemon whose gateway lets the page in, as the README says."""
    assert browser.is_connected(), "no daemon is started for tests that skip"
    origin = f"http://127.0.0.1:{port}"
    with launched_daemon(METERD_HTTP__PORT="0", METERD_HTTP__CORS_ORIGINS=origin) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory, daemon: LiveDaemon) -> Example:
    """The example, built while the daemon starts."""
    example = Example("fastapi-react", copy_checkout(tmp_path_factory.mktemp("checkout")), daemon)
    example.install()
    daemon.until(daemon.is_ready, READY_TIMEOUT_S)
    return example


@pytest.fixture(scope="module")
def url(example: Example, port: int) -> Iterator[str]:
    """Where the example runs."""
    with example.running(lambda said: "Uvicorn running" in said, more=f" --port {port}"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The page of a new user; afterwards nothing may have gone wrong in it."""
    troubles: list[str] = []
    context = browser.new_context(base_url=url)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    listen(page, troubles)
    page.goto("/")
    yield page
    context.close()
    assert troubles == [], "the page complained"


def test_two_chats_draw_on_one_balance_until_it_ends(page: Page, daemon: LiveDaemon) -> None:
    """Both clocks run, one is paused, a payment is credited once, and the end ends both."""
    one, other = (_chat(page, name) for name in NAMES)
    _buy(page)
    _shows_balance(page, 10)
    for chat in (one, other):
        _press(chat, "start")
    for chat in (one, other):
        _says(chat, "Running")
    _run(page, one, other)
    _press(one, "pause")
    _says(one, "Paused")
    paused = _active_ms(one)
    spent = 10 - _balance(page)
    assert 0 < spent < 10
    _run(page, other)
    assert _active_ms(one) == paused
    before = _balance(page)
    _buy(page)
    until(lambda: _balance(page) > before, "the page shows what was bought")
    assert _balance(page) <= before + 10, "two webhooks, one payment"
    _press(one, "resume")
    _says(one, "Running")
    with Meter(daemon.redis_url) as meter:  # so that the end comes soon
        meter.set_rate(str(other.locator("meterd-clock").get_attribute("chat")), "300")
    for chat in (one, other):
        _says(chat, "Ended: credits used up")
    _shows_balance(page, 0)
    daemon.until_handled()
    left = _micro(one, "balance")
    assert left < 6_000, "less than both cost in a millisecond, which the page shows as 0.00"
    assert _micro(one, "cost") + _micro(other, "cost") + left == 20_000_000, "all that was bought"
    assert daemon.run("audit", timeout_s=120).returncode == 0


def test_without_credits_the_page_says_so(page: Page) -> None:
    """A refused start is told, and buying credits helps."""
    chat = _chat(page, NAMES[0])
    _press(chat, "start")
    expect(page.get_by_label("Notice")).to_contain_text("insufficient_credits")
    _buy(page)
    _press(chat, "start")
    _says(chat, "Running")
    page.reload()
    _says(chat, "Running")
    _press(chat, "end")
    _says(chat, "Ended")
    _press(chat, "new chat")
    _says(chat, "Not started")


def test_an_uncertain_answer_is_asked_again_with_the_same_key(page: Page) -> None:
    """The first request has its effect and its answer is lost; the second one hears of it."""
    keys: list[str | None] = []

    def lose_the_first(route: Route, request: Request) -> None:
        keys.append(request.headers.get("idempotency-key"))
        if len(keys) > 1:
            route.continue_()
            return
        route.fetch()
        route.fulfill(status=503, json={"code": "uncertain", "id": "any", "detail": "again"})

    _buy(page)
    page.route("**/api/chats/**", lose_the_first)
    chat = _chat(page, NAMES[0])
    with page.expect_response(lambda answer: "/api/chats/" in answer.url and answer.ok):
        _press(chat, "start")
    expect(page.get_by_label("Notice")).to_be_empty()
    assert len(keys) == 2
    assert keys[0] == keys[1]
    _press(chat, "end")


def test_the_backend_refuses_with_the_status_of_each_error(url: str) -> None:
    """Without login, with a wrong signature, in the wrong state, of somebody else's chat."""
    with httpx.Client(base_url=url, timeout=scaled(15.0)) as ann, httpx.Client(base_url=url) as eve:
        assert _act(ann, "start").status_code == 401
        payment = {"id": "1", "user_id": "ann", "amount": "10"}
        forged = ann.post("/webhooks/payments", headers={"X-Signature": "no"}, json=payment)
        assert forged.status_code == 401
        assert [ann.post("/api/login").status_code, eve.post("/api/login").status_code] == [200] * 2
        assert _act(ann, "start").status_code == 402
        assert _act(ann, "pause").status_code == 404
        assert ann.post("/api/buy").json() == {"answers": ["credited", "credited before"]}
        assert _act(ann, "start").status_code == 204
        assert _act(ann, "resume").status_code == 409
        stolen = _act(eve, "end")
        assert (stolen.status_code, stolen.json()["code"]) == (409, "user_mismatch")
        assert _act(ann, "end").status_code == 204


_KEYS = iter(range(1_000_000))


def _act(client: httpx.Client, action: str) -> httpx.Response:
    key = {"Idempotency-Key": f"k{next(_KEYS)}"}
    return client.post(f"/api/chats/chat-of-ann/{action}", headers=key)


def _chat(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


def _press(chat: Locator, action: str) -> None:
    chat.get_by_role("button", name=action, exact=True).click()


def _says(chat: Locator, text: str) -> None:
    expect(chat.get_by_role("group")).to_contain_text(text)


def _buy(page: Page) -> None:
    page.get_by_role("button", name="Buy credits").click()
    expect(page.get_by_label("Notice")).to_contain_text("credited, credited before")


def _balance(page: Page) -> Decimal:
    return Decimal(page.get_by_label("Balance").inner_text())


def _shows_balance(page: Page, credits_: int) -> None:
    expect(page.get_by_label("Balance")).to_have_text(f"{credits_}.00")


def _active_ms(chat: Locator) -> int:
    return int(chat.locator("meterd-clock").evaluate("clock => clock.figures.activeMs"))


def _micro(chat: Locator, figure: str) -> int:
    script = "(clock, figure) => String(clock.figures[figure])"
    return int(chat.locator("meterd-clock").evaluate(script, figure))


def _run(page: Page, *chats: Locator) -> None:
    """Their times grow, and the balance falls meanwhile."""
    times, balance = [_active_ms(chat) for chat in chats], _balance(page)
    page.wait_for_timeout(500)
    assert all(_active_ms(chat) > ms for chat, ms in zip(chats, times, strict=True))
    assert _balance(page) < balance
