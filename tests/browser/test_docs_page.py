"""The page at /docs, in a browser that keeps to the page's Content-Security-Policy."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open

pytestmark = [pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(180)]


def test_the_description_can_be_read_and_tried(open_page: Open) -> None:
    """An operation unfolds, and its request gets the gateway's answer. Nothing is refused by the
    policy: `open_page` fails with what the browser complains of.
    """
    page = open_page("/docs")
    operation = page.locator(".opblock").filter(has_text="/healthz")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("200")
