"""<meterd-clock> on a page of its own, fed by the real gateway."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Shot
from tests.browser.desk import (
    KEEP_CHANGES,
    Desk,
    clock_runs,
    clock_says,
    figures,
    put_clock,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(180)]

HOUR_MS = 3_600_000
SLACK_MS = 150
"""What an evaluation in the browser may take on a busy machine, beyond what is measured."""
WRONG_CLOCK = """{
  const Real = Date;
  globalThis.wrongBy = %d;
  globalThis.Date = class extends Real {
    constructor(...given) {
      if (given.length) super(...given);
      else super(Real.now() + globalThis.wrongBy);
    }
    static now() { return Real.now() + globalThis.wrongBy; }
  };
}"""
HEAR_ALL = """() => {
  const said = document.querySelector("meterd-clock").shadowRoot.querySelector("[role=status]");
  globalThis.heard = [];
  const hear = () => globalThis.heard.push(said.textContent);
  new MutationObserver(hear).observe(said, { childList: true });
}"""


def _is_right(page: Page, desk: Desk) -> bool:
    """Whether the clock shows this moment's figures, the queue's time being what Redis says."""
    before = desk.now_ms()
    shown = figures(page)
    after = desk.now_ms()
    chat = desk.get(f"/v1/chats/{page.locator('meterd-clock').first.get_attribute('chat')}")
    started = chat["as_of"] - chat["active_ms"]
    assert shown["now"] - shown["activeMs"] == started, "a clock shows the time that is now"
    return before - SLACK_MS <= shown["now"] <= after + SLACK_MS


def test_a_wrong_local_clock_changes_nothing(desk: Desk, open_page: Open) -> None:
    """An hour ahead, then set back by two while the page is open: the figures are the queue's."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo", script=WRONG_CLOCK % HOUR_MS)
    put_clock(page, chat, desk.token(user))
    clock_runs(page)
    until(lambda: _is_right(page, desk), "the figures are not those of the queue's clock")
    page.evaluate("globalThis.wrongBy = -3600000")
    time = page.get_by_role("timer", name="Time", exact=True)
    expect(time).not_to_have_text(time.inner_text())  # it was drawn with the new time
    until(lambda: _is_right(page, desk), "the figures follow the local clock")


def test_a_clock_that_jumps_ahead_is_not_believed(desk: Desk, open_page: Open) -> None:
    """A jump looks like a sleep; what the gateway says then puts it right."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo", script=WRONG_CLOCK % 0)
    put_clock(page, chat, desk.token(user))
    clock_runs(page)
    with page.expect_response(lambda answer: answer.url.endswith(f"/v1/chats/{chat}")):
        page.evaluate("globalThis.wrongBy = 3600000")
    until(lambda: _is_right(page, desk), "the figures follow the local clock")
    desk.meter.pause(chat)
    clock_says(page, "Paused")


def test_a_chat_that_never_started_is_no_error(desk: Desk, open_page: Open) -> None:
    """It stands at zero, and runs as soon as it starts, without a reload."""
    chat, user = desk.new(), desk.new()
    page = open_page("/demo")
    put_clock(page, chat, desk.token(user))
    clock_says(page, "Not started")
    expect(page.get_by_role("timer", name="Time", exact=True)).to_have_text("0:00:00")
    desk.start(user, chat)
    clock_runs(page)
    expect(page.get_by_role("timer", name="Credits left")).to_be_visible()


def test_a_clock_can_be_given_another_chat(desk: Desk, open_page: Open) -> None:
    """While the answer about the first is still on its way; the late one changes nothing."""
    user, ended, running = desk.new(), desk.new(), desk.new()
    desk.start(user, ended)
    desk.meter.end(ended)
    desk.start(user, running)
    page = open_page("/demo")
    put_clock(page, running, desk.token(user), user=user)
    clock_runs(page)
    page.evaluate(
        """([...chats]) => {
          const clock = document.querySelector("meterd-clock");
          for (const chat of chats) clock.setAttribute("chat", chat);
        }""",
        [desk.new(), ended],
    )
    clock_says(page, "Ended")
    page.evaluate(
        "(chat) => document.querySelector('meterd-clock').setAttribute('chat', chat)", running
    )
    clock_runs(page)


def test_a_strangers_chat_looks_as_if_it_never_started(desk: Desk, open_page: Open) -> None:
    """No error, no figure, no credits of somebody else."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo")
    put_clock(page, chat, desk.token(desk.new()))
    clock_says(page, "Not started")
    expect(page.get_by_role("timer", name="Time", exact=True)).to_have_text("0:00:00")
    expect(page.get_by_role("timer", name="Credits left")).to_have_count(0)


def test_an_ended_chat_keeps_its_final_figures(desk: Desk, open_page: Open) -> None:
    """Time and cost as in its record, with the reason, while its wallet goes on."""
    chat, other, user = desk.new(), desk.new(), desk.new()
    desk.start(user, chat, rate="600")
    desk.start(user, other, rate="6")
    ended = desk.meter.end(chat, "left").snapshot
    assert ended is not None
    page = open_page("/demo")
    put_clock(page, chat, desk.token(user), digits="6")
    clock_says(page, "Ended: left")
    assert figures(page)["activeMs"] == ended.active_ms
    expect(page.get_by_role("timer", name="Cost")).to_have_text(f"{ended.cost:.6f}")
    balance = figures(page)["balance"]
    until(lambda: figures(page)["balance"] < balance, "the other chat draws on the wallet too")


def test_an_old_chat_is_shown_from_its_record(desk: Desk, open_page: Open) -> None:
    """Long after its end only Postgres has it; that is no error, and its figures are final."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat, rate="600")
    ended = desk.meter.end(chat).snapshot
    assert ended is not None
    desk.live.until_handled()
    desk.forget(chat)
    assert desk.get(f"/v1/chats/{chat}")["source"] == "record"
    page = open_page("/demo")
    put_clock(page, chat, desk.token(user), digits="6")
    clock_says(page, "Ended")
    expect(page.get_by_role("timer", name="Cost")).to_have_text(f"{ended.cost:.6f}")
    assert figures(page)["activeMs"] == ended.active_ms
    expect(page.get_by_role("paragraph").filter(has_text="lost")).to_have_count(0)


def test_an_advisor_sees_the_chat_and_no_wallet(desk: Desk, open_page: Open) -> None:
    """Neither credits left nor time left; the time runs, and pauses are told."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo")
    put_clock(page, chat, desk.token("adele", "advisor"))
    clock_runs(page)
    expect(page.get_by_role("timer", name="Credits left")).to_have_count(0)
    expect(page.get_by_role("timer", name="Time left")).to_have_count(0)
    desk.meter.pause(chat)
    clock_says(page, "Paused")


def test_only_changes_are_announced(desk: Desk, open_page: Open) -> None:
    """Who listens to the page hears of a pause, and nothing of the seconds before it."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo")
    put_clock(page, chat, desk.token(user))
    clock_runs(page)
    page.evaluate(HEAR_ALL)
    time = page.get_by_role("timer", name="Time", exact=True)
    expect(time).to_have_attribute("aria-live", "off")
    shown = time.inner_text()
    expect(time).not_to_have_text(shown)
    assert page.evaluate("globalThis.heard") == []
    desk.meter.pause(chat)
    expect(page.get_by_role("status").filter(has_text="Paused")).to_have_count(1)
    assert page.evaluate("globalThis.heard") == ["Paused"]


def test_low_credits_are_warned_of_until_some_arrive(
    desk: Desk, open_page: Open, shot: Shot
) -> None:
    """The daemon's warning is shown and announced; it goes when there is time again."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat, rate="60", credits_="9")
    page = open_page("/demo")
    put_clock(page, chat, desk.token(user))
    warning = page.get_by_role("paragraph").filter(has_text="Credits are low")
    expect(warning).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="Credits are low: 0:00:0")).to_have_count(1)
    shot(page, "low")
    desk.meter.top_up(user, 100)
    expect(warning).to_have_count(0)


def test_a_page_has_a_threshold_of_its_own(desk: Desk, open_page: Open) -> None:
    """Who loads the page after the daemon's warning is warned all the same."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo")
    put_clock(page, chat, desk.token(user))
    clock_runs(page)
    expect(page.get_by_text("Credits are low")).to_have_count(0)
    page.evaluate("document.querySelector('meterd-clock').setAttribute('low-ms', '100000')")
    clock_says(page, "Credits are low: 0:01:")


def test_a_page_that_stood_still_shows_the_right_figures_at_once(
    desk: Desk, open_page: Open
) -> None:
    """Nothing is counted by drawing: without a single draw for a while, the next one is right."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo", script="globalThis.setInterval = () => 0;")
    put_clock(page, chat, desk.token(user))
    clock_runs(page)
    time = page.get_by_role("timer", name="Time", exact=True)
    until(lambda: figures(page)["activeMs"] > 2_000, "time passes")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    shown = time.inner_text()
    assert shown >= "0:00:02"


def test_it_speaks_the_pages_language_in_its_direction(desk: Desk, open_page: Open) -> None:
    """Digits and separators of the nearest lang, the page's words, figures in their order."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat, rate="1234.5", credits_="5000")
    desk.meter.pause(chat)
    page = open_page("/demo")
    page.evaluate("document.querySelector('main').lang = 'de'")
    put_clock(page, chat, desk.token(user))
    clock_says(page, "1.234,50")
    page.evaluate("""() => {
      const clock = document.querySelector("meterd-clock");
      document.documentElement.dir = "rtl";
      clock.lang = "ar-EG";
      clock.words = { paused: "متوقف" };
    }""")
    clock_says(page, "متوقف")
    expect(page.get_by_role("timer", name="Time", exact=True)).to_have_text(
        re.compile("\u0660:\u0660\u0660:\u0660")
    )
    box = page.get_by_role("group")
    assert box.evaluate("(element) => getComputedStyle(element).direction") == "rtl"


def test_it_can_be_made_to_fit_a_page(desk: Desk, open_page: Open, shot: Shot) -> None:
    """Custom properties and parts reach into it, and `compact` takes a line of text."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo")
    put_clock(page, chat, desk.token(user))
    clock_runs(page)
    page.evaluate("""() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(`
        meterd-clock { --meterd-background: rgb(1, 2, 3); --meterd-color: rgb(250, 250, 250); }
        meterd-clock::part(time) { color: rgb(4, 5, 6); }
        meterd-clock::part(clock running) { outline: 3px solid rgb(7, 8, 9); }`);
      document.adoptedStyleSheets = [sheet];
    }""")
    box, time = page.get_by_role("group"), page.get_by_role("timer", name="Time", exact=True)
    expect(box).to_have_css("background-color", "rgb(1, 2, 3)")
    expect(box).to_have_css("outline-color", "rgb(7, 8, 9)")
    expect(time).to_have_css("color", "rgb(4, 5, 6)")
    tall = _height(page)
    page.evaluate("document.querySelector('meterd-clock').setAttribute('compact', '')")
    assert _height(page) < tall / 2
    expect(page.get_by_role("timer", name="Cost")).to_be_visible()
    shot(page, "compact")


def _height(page: Page) -> float:
    box = page.locator("meterd-clock").bounding_box()
    assert box is not None
    return box["height"]


def test_changes_are_events_of_the_page(desk: Desk, open_page: Open) -> None:
    """`meterd-change` bubbles with the snapshots, so a page can do something of its own."""
    chat, user = desk.new(), desk.new()
    page = open_page("/demo")
    page.evaluate(KEEP_CHANGES)
    put_clock(page, chat, desk.token(user))
    clock_says(page, "Not started")
    desk.start(user, chat)
    clock_runs(page)
    told: Callable[[], list[str]] = lambda: page.evaluate("changes.map((each) => each.event)")  # noqa: E731
    until(lambda: "chat.started" in told(), "the start is told")
    last = page.evaluate("changes.findLast((each) => each.event === 'chat.started')")
    assert (last["state"], last["snapshot"]["chat_id"], last["link"]) == ("running", chat, "live")
    assert last["wallet"]["user_id"] == user
