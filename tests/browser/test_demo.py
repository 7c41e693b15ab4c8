"""The demonstration page, played through as a person would; and the page at /docs."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from meterd.rules.money import format_micro, read_micro
from tests.browser.conftest import Open, Shot
from tests.browser.desk import Desk, figures, until

pytestmark = [pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(180)]


def _clock(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name=f"Chat {name}")


def _press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def _told(page: Page, text: str) -> Locator:
    return page.get_by_role("log").get_by_text(text)


def _figure(page: Page, chat: str, name: str) -> str:
    return _clock(page, chat).get_by_role("timer", name=name, exact=True).inner_text()


def test_two_chats_of_two_people_each_keep_their_timer(
    desk: Desk, open_page: Open, shot: Shot
) -> None:
    """Refused, started, switched, reloaded, cut off, both at once, warned, used up.

    What the old system lost is there all the time, and what is on the page at the end is what the
    API says, to the micro-credit.
    """
    user = desk.new()
    page = open_page(desk.link("/demo", user, "user", "backend"))
    expect(page).to_have_url(re.compile("/demo$"))  # the token is out of the address
    page.get_by_label("Shared free time").select_option("none")

    _press(page, "Start chat A")
    expect(_told(page, "refused")).to_contain_text(
        "the balance does not cover what the chat owes next"
    )
    _press(page, "Top up 10")
    expect(_told(page, "Credits have arrived")).to_be_visible()
    _press(page, "Start chat A")
    expect(_clock(page, "A")).to_contain_text("Running")

    _press(page, "Switch to the other chat")
    expect(_clock(page, "B")).to_contain_text("Running")
    expect(_clock(page, "A")).to_contain_text("Paused")
    first = figures(page, 0)
    assert first["activeMs"] > 0, "the first chat keeps its time as the second begins"
    until(lambda: figures(page, 1)["activeMs"] > 500, "the second one runs")
    assert figures(page, 0)["activeMs"] == first["activeMs"]

    ids = _ids(page)
    page.reload()
    page.get_by_label("Shared free time").select_option("none")
    expect(_clock(page, "B")).to_contain_text("Running")
    expect(_clock(page, "A")).to_contain_text("Paused")
    assert _ids(page) == ids
    assert figures(page, 0)["activeMs"] == first["activeMs"]

    page.context.set_offline(True)
    expect(_clock(page, "A")).to_contain_text("Connection lost")
    expect(_clock(page, "B")).to_contain_text("Connection lost")
    page.context.set_offline(False)
    expect(_clock(page, "A")).not_to_contain_text("Connection lost")
    expect(_clock(page, "B")).not_to_contain_text("Connection lost")

    _press(page, "Resume chat A")
    expect(_clock(page, "A")).to_contain_text("Running")
    expect(_clock(page, "B")).to_contain_text("Running")
    _agree(page)
    shot(page, "demo-running")

    expect(_clock(page, "A")).to_contain_text("Credits are low")
    shot(page, "demo-low")
    desk.meter.set_rate(ids[0], "240")  # somebody else changes it, and the end comes sooner
    expect(_clock(page, "A")).to_contain_text("240.00")
    for name in ("A", "B"):
        expect(_clock(page, name)).to_contain_text("Ended: credits used up")
    expect(_told(page, "The credits are used up")).to_be_visible()
    _press(page, "Top up 1")
    expect(_told(page, "Top up 1: done")).to_be_visible()
    _equals_the_api(page, desk, user, ids)
    shot(page, "demo-ended")


def _ids(page: Page) -> list[str]:
    found: list[str] = page.locator("meterd-clock").evaluate_all(
        "(clocks) => clocks.map((clock) => clock.getAttribute('chat'))"
    )
    return found


def _agree(page: Page) -> None:
    """Two clocks on one wallet show the same credits: they are drawn for the same moment."""
    script = """() => [...document.querySelectorAll("meterd-clock")].map(
      (clock) => clock.shadowRoot.querySelector("[part~=balance]").textContent)"""
    until(lambda: len(set(page.evaluate(script))) == 1, "one wallet, one balance")


def _equals_the_api(page: Page, desk: Desk, user: str, ids: list[str]) -> None:
    """Everything on the screen, against what the API answers."""
    wallet = desk.get(f"/v1/users/{user}/wallet")
    first = page.locator("#work").get_by_role("region").first
    expect(first).to_contain_text(f"Credits left{wallet['balance']}")
    for number, (name, chat_id) in enumerate(zip(("A", "B"), ids, strict=True)):
        chat = desk.get(f"/v1/chats/{chat_id}")
        expect(_clock(page, name).get_by_role("timer", name="Credits left")).to_have_text(
            wallet["balance"]
        )
        assert _figure(page, name, "Cost") == chat["cost"]
        seconds = chat["active_ms"] // 1000
        assert _figure(page, name, "Time") == f"0:00:{seconds:02}"
        assert figures(page, number)["activeMs"] == chat["active_ms"]
    costs = sum(read_micro(desk.get(f"/v1/chats/{chat_id}")["cost"]) for chat_id in ids)
    assert format_micro(costs + read_micro(wallet["balance"])) == "11.000000"


def test_chats_of_one_advisor_share_their_free_time(
    desk: Desk, open_page: Open, shot: Shot
) -> None:
    """Nothing is paid until both together have used it; a pause of one leaves the other more."""
    user, viewport = desk.new(), {"width": 1000, "height": 860}
    page = open_page(f"/demo#token={desk.token(user, 'user', 'backend')}", viewport=viewport)
    page.get_by_label("Shared free time").select_option("a minute")
    _press(page, "Top up 10")
    _press(page, "Start chat A")
    expect(page.get_by_text("Free time: 60.000 s")).to_have_count(1)
    _press(page, "Start chat B")
    expect(_told(page, "Chat A has another share of the free time")).to_be_visible()
    until(lambda: sum(_free_ms(page)) == 60_000, "the two have the minute between them")
    before = _free_ms(page)
    _press(page, "Pause chat A")
    expect(_told(page, "Chat B has another share of the free time")).to_be_visible()
    until(lambda: sum(_free_ms(page)) == 60_000, "what the one gives up, the other gets")
    after = _free_ms(page)
    assert after[0] < before[0]
    assert after == [desk.get(f"/v1/chats/{chat}")["free_ms"] for chat in _ids(page)]
    for name in ("A", "B"):
        assert _figure(page, name, "Cost") == "0.000000"
    until(lambda: figures(page, 1)["activeMs"] > 3_000, "time for a picture")
    _press(page, "Resume chat A")
    expect(_clock(page, "A")).to_contain_text("Running")
    shot(page, "demo-shared")


def _free_ms(page: Page) -> list[int]:
    """What the page says under its clocks."""
    texts = page.get_by_text(re.compile("^Free time: ")).all_inner_texts()
    return [int(re.sub(r"\D", "", text)) for text in texts]


def test_new_chats_leave_the_old_ones_their_records(desk: Desk, open_page: Open) -> None:
    """Starting over ends what runs and takes new ids; the rate chosen holds for the next start."""
    user = desk.new()
    page = open_page(f"/demo#token={desk.token(user, 'user', 'backend')}")
    _press(page, "Top up 10")
    page.get_by_label("Rate of the next start").select_option("6")
    _press(page, "Start chat B")
    expect(_clock(page, "B")).to_contain_text("Running")
    expect(_clock(page, "B")).to_contain_text("6.00")
    old = _ids(page)
    _press(page, "Pause chat B")
    expect(_clock(page, "B")).to_contain_text("Paused")
    _press(page, "Start over")
    expect(_clock(page, "B")).to_contain_text("Not started")
    assert not set(_ids(page)) & set(old)
    assert desk.get(f"/v1/chats/{old[1]}")["status"] == "ended"
    expect(page.get_by_role("button", name="Start chat B")).to_be_enabled()
    expect(page.get_by_role("button", name="Pause chat B")).to_be_disabled()


def test_without_a_token_it_says_how_to_get_one(open_page: Open) -> None:
    """A command to copy and a field to paste into; nothing else is shown."""
    page = open_page("/demo")
    expect(page.get_by_role("heading", name="A token, please")).to_be_visible()
    expect(page.get_by_text("meterd token demo-user --role user --role backend")).to_be_visible()
    expect(page.get_by_role("textbox", name="Token")).to_be_focused()
    expect(page.get_by_role("button", name="Top up 1", exact=True)).to_be_hidden()


def test_it_fits_a_phone(desk: Desk, open_page: Open, shot: Shot) -> None:
    """At 360 pixels nothing has to be scrolled sideways."""
    narrow = {"width": 360, "height": 740}
    token = desk.token(desk.new(), "user", "backend")
    page = open_page(f"/demo#token={token}", viewport=narrow, color_scheme="dark")
    expect(_clock(page, "A")).to_contain_text("Not started")
    assert page.evaluate("document.documentElement.scrollWidth") == narrow["width"]
    shot(page, "demo-phone")


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
