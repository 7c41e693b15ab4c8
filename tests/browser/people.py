"""Users with chats that the tests of the operations page look at, and how its views are found."""

from collections.abc import Iterable
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.desk import Desk

LONG = "0123456789abcdef" * 4
"""The end of an id that no column has room for."""


class People:
    """Two users, of one of whom a chat has ended; and a dead letter."""

    def __init__(self, desk: Desk) -> None:
        self.ann, self.ben = f"ann-{desk.new()}", f"ben/{desk.new()}@x"
        self.first, self.second, self.other = (f"chat-{desk.new()}" for _ in range(3))
        self.long = f"chat-{desk.new()}-{LONG}"
        desk.start(self.ann, self.first)
        desk.start(self.ann, self.second, rate="1.5", credits_=None)
        desk.start(self.ben, self.other)
        desk.start(self.ben, self.long, rate="0.5", credits_="20")
        desk.meter.pause(self.first)
        desk.meter.end(self.second, "left")
        desk.spoil(type="start", note="<img src=x onerror=alert(1)>")
        desk.live.until_handled()


def tile(page: Page, label: str) -> Locator:
    """A figure of the overview."""
    heading = page.get_by_role("heading", name=label, exact=True)
    return page.get_by_role("listitem").filter(has=heading)


def view(page: Page, title: str) -> Locator:
    """What is shown beside the overview."""
    return page.get_by_role("region", name=title, exact=True)


def go(page: Page, address: str) -> None:
    """Follow an address, as from a bookmark."""
    page.evaluate("(address) => { location.hash = address; }", address)


def links(table: Locator, chats: Iterable[str]) -> dict[str, Locator]:
    """The links to chats in a table."""
    return {chat: table.get_by_role("link", name=chat, exact=True) for chat in chats}


def is_ready(page: Page) -> None:
    """The page has heard from the daemon."""
    expect(page.get_by_role("status").first).to_contain_text("Ready")


def act(page: Page, button: str, /, **fields: str) -> Locator:
    """Open the dialog of an operation, fill it in and press its button; the dialog."""
    page.get_by_role("button", name=f"{button}…", exact=True).first.click()
    dialog = page.get_by_role("dialog", name=button, exact=True)
    labels = {"amount": "Amount, in credits", "reason": "Reason, for the record"}
    for name, value in fields.items():
        dialog.get_by_label(labels[name]).fill(value)
    dialog.get_by_role("button", name=button, exact=True).click()
    return dialog


def operations(desk: Desk, subject: str) -> list[dict[str, Any]]:
    """What the API says was done to something by hand."""
    found: list[dict[str, Any]] = desk.get("/v1/operations", subject=subject)["operations"]
    return found
