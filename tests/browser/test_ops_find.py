"""Finding any chat, user or advisor on the operations page, in any order, on all pages."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Shot
from tests.browser.desk import Desk
from tests.browser.people import People, go, links, view

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(180)]

PAGE = 50
RATES = ("0.5", "6", "1.5", "3")


class Crowd:
    """Chats of one name: more than a page has room for, of users with different credits."""

    def __init__(self, desk: Desk) -> None:
        self.name = f"crowd{desk.new()}"
        self.users = [f"{self.name}-{rate}" for rate in RATES]
        for number, (user, rate) in enumerate(zip(self.users, RATES, strict=True)):
            desk.meter.top_up(user, str(1_000 - 100 * number))
            self._start(desk, user, rate, 14)
        self.ended = f"{self.name}-ended"
        desk.start(self.users[0], self.ended, credits_=None)
        desk.meter.end(self.ended)
        desk.live.until_handled()

    @staticmethod
    def _start(desk: Desk, user: str, rate: str, count: int) -> None:
        for number in range(count):
            desk.start(user, f"{user}-{number:02}", rate=rate, credits_=None)


@pytest.fixture(scope="module")
def crowd(desk: Desk) -> Crowd:
    return Crowd(desk)


def _table(page: Page) -> Locator:
    return page.get_by_role("table", name="Chats", exact=True)


def _search(page: Page, text: str) -> None:
    page.get_by_role("searchbox").fill(text)


def test_chats_are_found_by_a_part_of_a_name(ops: Page, people: People) -> None:
    """Of the chat, the user or the advisor, ended ones too; what does not match is said."""
    _search(ops, people.ann[:-1])
    found = links(_table(ops), (people.first, people.second, people.other))
    expect(found[people.first]).to_be_visible()
    expect(found[people.second]).to_be_visible()
    expect(found[people.other]).to_have_count(0)
    _search(ops, "nobody-at-all")
    said = ops.get_by_role("status").filter(has_text="No chat matches “nobody-at-all”.")
    expect(said).to_have_count(1)
    _search(ops, "")
    expect(ops.get_by_role("button", name="Open", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(found[people.second]).to_have_count(0)  # it has ended


def test_what_is_called_exactly_so_comes_first(desk: Desk, ops: Page, crowd: Crowd) -> None:
    """A chat, whether open or not, a user and an advisor, each with what it is."""
    chat = f"{crowd.name}-of-namesake"
    desk.start(crowd.ended, chat)  # a user of the same name
    desk.live.until_handled()
    _search(ops, crowd.ended)
    expect(ops.locator(".hit")).to_have_text([re.compile("Chat, ended"), re.compile("User, ")])
    expect(_table(ops).get_by_role("link").first).to_have_attribute("title", crowd.ended)
    _search(ops, "adele")
    expect(ops.locator(".hit")).to_have_text([re.compile(r"Advisor, \d+ open chats")])
    ops.get_by_role("link", name="adele").first.click()
    expect(view(ops, "Advisor adele")).to_contain_text("Cost of them")
    desk.meter.end(chat)


def test_a_name_leads_to_what_has_it(ops: Page, crowd: Crowd) -> None:
    """Pasted and Enter, from whatever view."""
    go(ops, "dead")
    ops.get_by_role("searchbox").fill(crowd.users[1])
    ops.get_by_role("searchbox").press("Enter")
    expect(view(ops, f"User {crowd.users[1]}")).to_be_visible()


def test_a_status_is_filtered_by(ops: Page, people: People) -> None:
    """The address keeps it, so that it can be sent to somebody."""
    go(ops, f"chats?search={people.ann}&status=all")
    statuses = ops.get_by_role("group", name="Status")
    for name, chat in (("Paused", people.first), ("Ended", people.second)):
        statuses.get_by_role("button", name=name, exact=True).click()
        expect(_table(ops).get_by_role("link", name=chat, exact=True)).to_be_visible()
        expect(_table(ops).get_by_role("row")).to_have_count(2)  # with the headings
    ops.reload()
    expect(_table(ops).get_by_role("link", name=people.second, exact=True)).to_be_visible()
    expect(statuses.get_by_role("button", name="Ended", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )


def test_the_next_page_begins_where_one_ends(ops: Page, crowd: Crowd) -> None:
    """Every chat once, on as many pages as it takes, and back again."""
    go(ops, f"chats?search={crowd.name}&status=running")
    pages = ops.get_by_role("navigation", name="Pages of the list")
    expect(pages).to_contain_text("1 to 50")
    first = _chats(ops)
    pages.get_by_role("button", name="Next").click()
    expect(pages).to_contain_text("51 to 5")
    second = _chats(ops)
    assert len(first) == PAGE
    assert not set(first) & set(second)
    expected = {f"{user}-{number:02}" for user in crowd.users for number in range(14)}
    assert expected <= set(first) | set(second)
    expect(pages.get_by_role("button", name="Next")).to_be_disabled()
    pages.get_by_role("button", name="Previous").click()
    expect(pages).to_contain_text("1 to 50")
    assert _chats(ops) == first


def _chats(page: Page) -> list[str]:
    cells = _table(page).locator('td[data-name="Chat"] a')
    found: list[str] = cells.evaluate_all("(cells) => cells.map((cell) => cell.title)")
    return found


def _seconds(text: str) -> int:
    hours, minutes, seconds = (int(part) for part in text.split(":"))
    return hours * 3600 + minutes * 60 + seconds


SORTS = {
    "Cost": lambda text: float(text.replace(",", "")),
    "Time": _seconds,
    "Burn a minute": lambda text: float(text.replace(",", "")),
    "Time left": _seconds,
}


@pytest.mark.parametrize("column", SORTS)
def test_a_list_is_in_the_order_of_its_column(
    ops: Page, crowd: Crowd, column: str, shot: Shot
) -> None:
    """The heading sorts, says so, and turns it round when it is pressed again."""
    go(ops, f"chats?search={crowd.name}&status=running")
    expect(_table(ops)).to_be_visible()
    heading = _table(ops).locator(f'th[data-name="{column}"]')
    heading.get_by_role("button").click()
    first = "ascending" if column == "Time left" else "descending"
    expect(heading).to_have_attribute("aria-sort", first)
    values = list(_values(ops, column))
    assert len(values) == PAGE
    assert len(set(values)) > 1 or column == "Time"
    assert values == sorted(values, reverse=first == "descending")
    shot(ops, f"ops-by-{column.lower().replace(' ', '-')}")
    heading.get_by_role("button").click()
    other = "descending" if column == "Time left" else "ascending"
    expect(heading).to_have_attribute("aria-sort", other)
    values = list(_values(ops, column))
    assert values == sorted(values, reverse=other == "descending")


def _values(page: Page, column: str) -> Iterator[float]:
    """What the column has at one moment; of the time left it is there a moment after the list."""
    cells = _table(page).locator(f'td[data-name="{column}"]')
    expect(cells.first).not_to_have_text("–")
    texts: list[str] = cells.evaluate_all("(cells) => cells.map((cell) => cell.textContent)")
    for text in texts:
        yield SORTS[column](text)


def test_the_account_that_ends_first_is_at_the_top(desk: Desk, ops: Page, crowd: Crowd) -> None:
    """Of all that run, as their wallets say: somebody may have to hear of it."""
    running = desk.get("/v1/chats", status="running", limit="200")["chats"]
    users = {chat["user_id"] for chat in running} | set(crowd.users)
    wallets = (desk.get(f"/v1/users/{quote(user, safe='')}/wallet") for user in users)
    ends = {wallet["user_id"]: wallet["zero_at"] for wallet in wallets if wallet["zero_at"]}
    go(ops, "chats?sort=left")
    user = _table(ops).get_by_role("row").nth(1).get_by_role("link").nth(1)
    expect(user).to_have_attribute("title", min(ends, key=lambda name: ends[name]))
