"""One real daemon and one real browser for all tests of the pages.

Both are gone after this package: while Playwright works, its event loop runs, and no other can.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from loadtests.common.live import live_daemon
from loadtests.common.timeouts import scaled
from tests.browser.desk import SECRET, Desk, chromium_or_skip, launched, listen
from tests.browser.people import People, is_ready
from tests.browser.site import Site, serving

WARN_MS = "8000,4000"
"""Soon enough for a test to see a warning."""
ENVIRONMENT = "browser-tests"
PATIENCE_MS = scaled(15_000)

expect.set_options(timeout=PATIENCE_MS)

Shot = Callable[[Page, str], None]
Open = Callable[..., Page]


@pytest.fixture(scope="package")
def chromium() -> str:
    """The browser's path. Without one these tests skip, unless they must not."""
    return chromium_or_skip()


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """One for the whole package."""
    with launched(chromium) as browser:
        yield browser


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of another origin than the gateway's, which the gateway lets in."""
    with serving(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="package")
def desk(chromium: str, site: Site) -> Iterator[Desk]:
    """A daemon with its gateway. Each test has users and chats of its own in it."""
    assert chromium, "no daemon is started for tests that skip"
    env = {
        "METERD_HTTP__PORT": "0",
        "METERD_HTTP__JWT_SECRET": SECRET,
        "METERD_CREDITS__WARN_MS": WARN_MS,
        "METERD_HTTP__CORS_ORIGINS": site.origin,
        "METERD_HTTP__ENVIRONMENT": ENVIRONMENT,
    }
    with live_daemon(**env) as live, Desk(live) as desk:
        yield desk


@pytest.fixture
def open_page(browser: Browser, desk: Desk) -> Iterator[Open]:
    """Opens pages, each in a context of its own; afterwards nothing may have gone wrong in any."""
    contexts: list[BrowserContext] = []
    troubles: list[str] = []

    def opens(path: str, script: str = "", **options: object) -> Page:
        context = browser.new_context(base_url=desk.url, **options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        listen(page, troubles)
        page.goto(path)
        return page

    yield opens
    for context in contexts:
        context.close()
    assert troubles == [], "a page complained"


@pytest.fixture(scope="package")
def people(desk: Desk) -> People:
    """Somebody for the operations page to show."""
    return People(desk)


@pytest.fixture
def ops(desk: Desk, open_page: Open, people: People) -> Page:
    """The operations page of somebody who may read."""
    assert people.first, "there is something to show"
    page = open_page(f"/#token={desk.token('ops', 'ops')}")
    is_ready(page)
    return page


@pytest.fixture
def admin(desk: Desk, open_page: Open, people: People) -> Page:
    """The operations page of somebody who may act."""
    assert people.first, "there is something to act on"
    page = open_page(f"/#token={desk.token('alice', 'admin')}")
    is_ready(page)
    return page


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept."""
    named = os.environ.get("METERD_TEST_ARTIFACTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screens")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def shot(folder: Path) -> Shot:
    """Keeps a picture of a page, for whoever wants to see what a test saw."""

    def shoot(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png")

    return shoot


@pytest.fixture(scope="package")
def blank(browser: Browser, desk: Desk) -> Iterator[Page]:
    """A page of the gateway on which modules can be loaded and asked."""
    page = browser.new_page(base_url=desk.url)
    page.goto("/demo")
    yield page
    page.close()
