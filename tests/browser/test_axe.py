"""Whether everybody can use the pages: axe on each view, light and dark."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Open
from tests.browser.desk import Desk
from tests.browser.people import People, go, is_ready

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(300)]

SCHEMES = ("light", "dark")
WIDTHS = (1_280, 390)


def _both(page: Page, what: str) -> list[str]:
    """What axe finds in light and in dark."""
    found = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found += [f"{what}, {scheme}: {violation}" for violation in violations(page)]
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_on_any_view(admin: Page, people: People, width: int) -> None:
    """Every view, on a screen and on a phone."""
    admin.set_viewport_size({"width": width, "height": 844})
    found = []
    for address, shown in (
        ("", "#actors td"),
        ("chats", "#view td"),
        (f"chats?status=all&search={people.first}", "#view .hit"),
        (f"chat/{people.first}", "#view .records td"),
        (f"chat/{people.second}", "#view .records td"),
        (f"user/{people.ann}", "#view .records td"),
        ("advisor/adele", "#view td"),
        ("dead", "#view .letter"),
        ("operations", "#view .list > div > *"),
    ):
        go(admin, address)
        expect(admin.locator(shown).first).to_be_visible()
        found += _both(admin, f"#{address} at {width}")
    assert found == []


def test_axe_finds_nothing_in_a_dialog(admin: Page, people: People) -> None:
    """With what is wrong in it."""
    go(admin, f"user/{people.ann}")
    admin.get_by_role("button", name="Adjust…").click()
    dialog = admin.get_by_role("dialog", name="Adjust")
    dialog.get_by_role("button", name="Adjust", exact=True).click()
    expect(dialog.get_by_role("alert")).not_to_be_empty()
    assert _both(admin, "dialog") == []


def test_axe_finds_nothing_on_figures_that_are_old(ops: Page) -> None:
    """Grey is dark enough to be read."""
    ops.context.set_offline(True)
    expect(ops.get_by_role("status").first).to_contain_text("No answer")
    assert _both(ops, "stale") == []


def test_axe_finds_nothing_where_a_token_is_asked_for(open_page: Open) -> None:
    """On both pages."""
    for path in ("/", "/demo"):
        page = open_page(path)
        expect(page.get_by_role("heading", name="A token, please")).to_be_visible()
        assert _both(page, path) == []


def test_axe_finds_nothing_on_the_demo(desk: Desk, open_page: Open) -> None:
    """With a chat that runs."""
    page = open_page(f"/demo#token={desk.token(desk.new(), 'user', 'backend')}")
    page.get_by_role("button", name="Top up 10").click()
    page.get_by_role("button", name="Start chat A").click()
    expect(page.get_by_role("group", name="Chat A")).to_contain_text("Running")
    assert _both(page, "demo") == []


def test_axe_finds_what_is_wrong(ops: Page) -> None:
    """It is really there: a button without a name is found."""
    is_ready(ops)
    ops.evaluate("document.querySelector('main').append(document.createElement('button'))")
    (found,) = violations(ops)
    assert found.startswith("button-name")
