"""The operations page: everything that the daemon does, at a glance and in detail."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Open, Shot
from tests.browser.desk import Desk, until

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(180)]


class People:
    """Two users with chats that the tests look at."""

    def __init__(self, desk: Desk) -> None:
        self.ann, self.ben = f"ann-{desk.new()}", f"ben/{desk.new()}@x"
        self.first, self.second, self.other = (f"chat-{desk.new()}" for _ in range(3))
        desk.start(self.ann, self.first)
        desk.start(self.ann, self.second, rate="1.5", credits_=None)
        desk.start(self.ben, self.other)
        desk.meter.pause(self.first)
        desk.meter.end(self.second, "left")
        desk.spoil(type="start", note="<img src=x onerror=alert(1)>")
        desk.live.until_handled()


@pytest.fixture(scope="module")
def people(desk: Desk) -> People:
    return People(desk)


@pytest.fixture
def ops(desk: Desk, open_page: Open, people: People) -> Page:
    """The page with a token, and something to show."""
    assert people.first, "there is something to show"
    page = open_page(f"/#token={desk.token('ops', 'ops')}")
    expect(page.get_by_role("status").first).to_contain_text("ready")
    return page


def _tile(page: Page, name: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=name)


def _detail(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title, exact=True)


def test_totals_are_what_the_daemon_says(desk: Desk, ops: Page, shot: Shot) -> None:
    """Open chats, dead letters and the actors' processes, each with its last minutes as a plot."""
    status = desk.get("/v1/status")
    expect(_tile(ops, "Open chats")).to_have_text(f"Open chats{status['open_chats']}")
    expect(_tile(ops, "Dead letters")).to_have_text(f"Dead letters{status['queue']['dead']}")
    plot = ops.get_by_role("img", name=re.compile("Open chats in the last five minutes"))
    expect(plot).to_be_visible()
    actors = ops.get_by_role("table", name="Actors")
    for actor in (actor for actor in status["actors"] if actor["up"]):
        row = actors.get_by_role("row").filter(has_text=actor["name"])
        expect(row).to_contain_text(str(actor["pid"]))
    shot(ops, "ops")


def test_the_token_is_kept_out_of_the_address(desk: Desk, ops: Page) -> None:
    """It is gone from it at once and survives a reload, in this tab alone."""
    assert desk.token("ops", "ops") not in ops.url
    ops.reload()
    expect(ops.get_by_role("status").first).to_contain_text("ready")


def test_chats_are_found_by_a_part_of_a_name(ops: Page, people: People) -> None:
    """Of the chat, the user or the advisor; what does not match is said in words."""
    table = ops.get_by_role("table", name="Open chats")
    expect(table.get_by_role("link", name=people.other, exact=True)).to_be_visible()
    ops.get_by_role("searchbox").fill(people.ann[:-1])
    expect(table.get_by_role("link", name=people.first, exact=True)).to_be_visible()
    expect(table.get_by_role("link", name=people.other, exact=True)).to_have_count(0)
    expect(table.get_by_role("link", name=people.second, exact=True)).to_have_count(0)  # ended
    ops.get_by_role("searchbox").fill("nobody-at-all")
    said = ops.get_by_role("status").filter(has_text="No open chat matches “nobody-at-all”.")
    expect(said).to_have_count(1)


def test_a_chat_tells_its_story(desk: Desk, ops: Page, people: People, shot: Shot) -> None:
    """Change by change, with its live clock; what happens next appears by itself."""
    ops.get_by_role("link", name=people.first, exact=True).first.click()
    detail = _detail(ops, f"Chat {people.first}")
    expect(detail.get_by_role("heading", name=f"Chat {people.first}")).to_be_focused()
    history = detail.get_by_role("table", name="Its history")
    expect(history.get_by_role("row").filter(has_text="chat.started")).to_have_count(1)
    expect(history.get_by_role("row").filter(has_text="chat.paused")).to_have_count(1)
    clock = detail.get_by_role("group", name=f"Clock of chat {people.first}")
    expect(clock).to_contain_text("Paused")
    desk.meter.resume(people.first)
    expect(clock).to_contain_text("Running")
    expect(history.get_by_role("row").filter(has_text="chat.resumed")).to_have_count(1)
    shot(ops, "ops-chat")
    desk.meter.pause(people.first)


def test_a_chats_terms_are_told(desk: Desk, ops: Page) -> None:
    """Free time with whom it is shared, when a step is owed, and the chat's limits."""
    user = desk.new()
    desk.meter.top_up(user, "10")
    desk.meter.start(
        f"chat-{user}", user, "bob", free_ms=60_000, free_scope="advisor", increment_ms=60_000,
        increment_due="end", idle_ms=5_000_000, abandon_ms=6_000_000, max_ms=7_000_000,
    )  # fmt: skip
    ops.evaluate("(id) => { location.hash = `#chat/${id}`; }", f"chat-{user}")
    detail = _detail(ops, f"Chat chat-{user}")
    for said in ("shared with the user's chats with this advisor", "each owed once complete"):
        expect(detail).to_contain_text(said)
    for name in ("Idle after", "Abandoned after", "At most"):
        expect(detail).to_contain_text(name)


def test_a_user_has_a_wallet_chats_and_a_ledger(
    desk: Desk, ops: Page, people: People, shot: Shot
) -> None:
    """Balance, ended chats too, every movement; and what one more chat would do to it."""
    ops.get_by_role("link", name=people.ann, exact=True).first.click()
    detail = _detail(ops, f"User {people.ann}")
    expect(detail).to_contain_text(desk.get(f"/v1/users/{people.ann}/wallet")["balance"])
    chats = detail.get_by_role("table", name=f"Chats of {people.ann}")
    expect(chats.get_by_role("row").filter(has_text=people.second)).to_contain_text("ended (left)")
    ledger = detail.get_by_role("table", name="Ledger")
    expect(ledger.get_by_role("row").filter(has_text="top_up")).to_contain_text("10.000000")
    charge = ledger.get_by_role("row").filter(has_text="charge")
    expect(charge).to_contain_text(f"-{desk.get(f'/v1/chats/{people.second}')['cost']}")
    detail.get_by_label("One more chat at").fill("600")
    detail.get_by_role("button", name="What if?").click()
    expect(detail.get_by_role("status")).to_contain_text("would last for 0:00:0")
    detail.get_by_label("One more chat at").fill("much")
    detail.get_by_role("button", name="What if?").click()
    expect(detail.get_by_role("status")).not_to_contain_text("would last")
    shot(ops, "ops-user")


def test_a_user_with_any_id_has_a_link(desk: Desk, ops: Page, people: People) -> None:
    """Slashes and all: an address made by hand leads there too, and survives a reload."""
    ops.evaluate("(id) => { location.hash = `#user/${encodeURIComponent(id)}`; }", people.ben)
    expect(_detail(ops, f"User {people.ben}")).to_contain_text("Burns a minute")
    ops.reload()
    expect(_detail(ops, f"User {people.ben}")).to_contain_text("Burns a minute")
    chats = ops.get_by_role("table", name=f"Chats of {people.ben}")
    expect(chats.get_by_role("row").filter(has_text=people.other)).to_contain_text("running")


def test_dead_letters_are_text(ops: Page, shot: Shot) -> None:
    """What somebody put into the queue is shown as it is, and runs nowhere."""
    ops.get_by_role("link", name="Dead letters").click()
    detail = _detail(ops, "Dead letters")
    expect(detail).to_contain_text("invalid_command")
    expect(detail).to_contain_text("<img src=x onerror=alert(1)>")
    expect(detail.locator("img")).to_have_count(0)
    shot(ops, "ops-dead")


def test_everything_is_reached_by_keyboard(ops: Page, people: People) -> None:
    """`/` searches, Enter opens, Escape closes and leads back to where one was."""
    ops.keyboard.press("/")
    search = ops.get_by_role("searchbox")
    expect(search).to_be_focused()
    ops.keyboard.type(people.first)
    link = ops.get_by_role("link", name=people.first, exact=True)
    expect(ops.get_by_text(f"1 match “{people.first}”.").first).to_be_visible()
    ops.keyboard.press("Tab")
    expect(link.first).to_be_focused()
    outline = link.first.evaluate("(element) => getComputedStyle(element).outlineStyle")
    assert outline == "solid", "the focus is seen"
    ops.keyboard.press("Enter")
    expect(_detail(ops, f"Chat {people.first}")).to_be_visible()
    ops.keyboard.press("Escape")
    expect(_detail(ops, f"Chat {people.first}")).to_be_hidden()
    expect(link.first).to_be_focused()
    ops.keyboard.press("/")
    expect(search).to_be_focused()


def test_it_fits_a_phone(ops: Page, people: People, shot: Shot) -> None:
    """At 360 pixels nothing has to be scrolled sideways, whatever is open."""
    ops.set_viewport_size({"width": 360, "height": 740})
    for address, title in (
        (f"chat/{people.first}", f"Chat {people.first}"),
        (f"user/{people.ann}", f"User {people.ann}"),
        ("dead", "Dead letters"),
    ):
        ops.evaluate("(address) => { location.hash = address; }", address)
        detail = _detail(ops, title)
        expect(detail.locator("td, .letter").first).to_be_visible()
        assert ops.evaluate("document.documentElement.scrollWidth") == 360, title
        shot(ops, f"phone-{title.partition(' ')[0]}")


def test_it_is_dark_where_the_reader_wants_that(ops: Page, shot: Shot) -> None:
    """Background and text change places."""
    light = _lightness(ops)
    ops.emulate_media(color_scheme="dark")
    dark = _lightness(ops)
    assert light["page"] - light["text"] > 128
    assert dark["text"] - dark["page"] > 128
    shot(ops, "ops-dark")


def _lightness(page: Page) -> dict[str, float]:
    script = """() => {
      const mean = ([red, green, blue]) => (Number(red) + Number(green) + Number(blue)) / 3;
      const of = (colour) => mean(colour.match(/\\d+/g));
      const style = getComputedStyle(document.body);
      return { page: of(style.backgroundColor), text: of(style.color) };
    }"""
    found: dict[str, float] = page.evaluate(script)
    return found


def test_what_is_refused_is_said(desk: Desk, open_page: Open) -> None:
    """A token without the right is told why; one that does not count is asked for again."""
    page = open_page(f"/#token={desk.token(desk.new())}")
    expect(page.get_by_role("alert").first).to_contain_text("role")
    page = open_page("/#token=nonsense")
    expect(page.get_by_role("heading", name="A token, please")).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="token does not count")).to_be_visible()
    page.get_by_role("textbox", name="Token").fill(desk.token("ops", "ops"))
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("status").first).to_contain_text("ready")


def test_an_answer_that_does_not_come_is_said(desk: Desk, ops: Page) -> None:
    """While the gateway is away the page says so, and goes on by itself."""
    ops.context.set_offline(True)
    expect(ops.get_by_role("alert").filter(has_text="is not reached")).to_be_visible()
    ops.context.set_offline(False)
    until(lambda: ops.get_by_role("alert").filter(has_text="reached").count() == 0, "it is over")
    assert desk.get("/v1/status")["state"] == "ready"
