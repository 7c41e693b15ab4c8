"""The site in a real browser, served as files."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from loadtests.common.timeouts import scaled
from tests.browser.desk import chromium_or_skip, launched, listen
from tests.browser.site import Site, serving
from tests.docs.conftest import Build

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PATIENCE_MS = scaled(15_000)
NO_SUMMARY = "Anchored content block not found"
"""Sphinx's search says so of a Python name: it takes the dots of the anchor for classes of CSS."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. Without one these tests skip, unless they must not."""
    with launched(chromium_or_skip()) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, build: Build) -> Iterator[Page]:
    """A page of the site. Nothing goes wrong in it, and it asks this site alone."""
    troubles: list[str] = []
    asked: list[str] = []
    with serving(build.site) as site:
        page = browser.new_page(base_url=site.origin)
        page.set_default_timeout(PATIENCE_MS)
        listen(page, troubles)
        page.on("request", lambda request: asked.append(request.url))
        yield page
        page.close()
        assert asked
        assert _elsewhere(asked, site) == []
    assert [each for each in troubles if not each.startswith(NO_SUMMARY)] == []


def _elsewhere(asked: list[str], site: Site) -> list[str]:
    return [url for url in asked if not url.startswith((site.origin, "data:"))]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("held", "docs/operations.html"),
        ("supervisor.lease_ms", "reference/settings.html"),
        ("MeterdClockHeld", "reference/alarms.html"),
        ("InsufficientCreditsError", "reference/python-client.html"),
    ],
)
def test_the_search_finds_the_words_on_a_screen(page: Page, words: str, found: str) -> None:
    """From the front page, without a server that searches."""
    page.goto("/index.html")
    page.locator("input[name=q]").first.fill(words)
    page.locator("input[name=q]").first.press("Enter")
    result = page.locator(f"#search-results a[href*='{found}']").first
    expect(result).to_be_visible(timeout=PATIENCE_MS)
    result.click()
    expect(page.locator("article")).to_contain_text(words, timeout=PATIENCE_MS)


def test_the_navigation_leads_to_every_kind_of_page(page: Page) -> None:
    """Four groups; the settings are two clicks away."""
    page.goto("/index.html")
    captions = page.locator(".sidebar-tree .caption-text")
    expect(captions).to_have_text(["Tutorial", "How-to", "Reference", "Explanation"])
    page.locator(".sidebar-tree a", has_text="Settings").click()
    page.locator("#supervisor-lease-ms").scroll_into_view_if_needed()
    expect(page.locator("#supervisor-lease-ms")).to_contain_text("METERD_SUPERVISOR__LEASE_MS")


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_window(page: Page, width: int) -> None:
    """Tables and code scroll by themselves."""
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("index", "docs/operations", "reference/http-routes", "reference/python-client"):
        page.goto(f"/{path}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
