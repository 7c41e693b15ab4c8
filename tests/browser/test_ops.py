"""The operations page: how the service is, and every view of what is in it."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from daemon.console.chat_now import chat_now
from daemon.gateway.tokens import mint
from tests.browser.conftest import ENVIRONMENT, Open, Shot
from tests.browser.desk import SECRET, Desk, free_port, gateway, until
from tests.browser.people import People, go, is_ready, links, tile, view

pytestmark = [pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(180)]
slow = pytest.mark.slow

WARNED = "Entries were set aside"


def test_the_verdict_is_what_the_daemon_says(desk: Desk, ops: Page, shot: Shot) -> None:
    """State, since when to the millisecond, environment and version; and the figures with it."""
    status = desk.get("/v1/status")
    verdict = ops.get_by_role("region", name="Verdict")
    since = verdict.locator("time").first
    expect(since).to_have_attribute("data-ms", str(status["state_since"]))
    expect(since).to_have_text(re.compile(r"^\d+ \w{3} \d{4}, \d\d:\d\d:\d\d\.\d{3} UTC$"))
    expect(verdict).to_contain_text(f"Environment{ENVIRONMENT}")
    expect(verdict).to_contain_text(f"Version{status['version']}")
    expect(ops).to_have_title(f"Ready · {ENVIRONMENT} · meterd")
    expect(tile(ops, "Open chats")).to_contain_text(f"Open chats{status['open_chats']}")
    expect(tile(ops, "Dead letters")).to_contain_text(f"Dead letters{status['queue']['dead']}")
    shot(ops, "ops")


@slow
def test_a_tile_has_the_colour_of_its_alarm(desk: Desk, ops: Page) -> None:
    """And says it in a word; the alarm itself stands in the verdict, and is counted elsewhere."""
    (alarm,) = (each for each in desk.get("/v1/status")["alarms"] if each["tile"] == "dead")
    expect(ops.get_by_role("list", name="Alarms")).to_contain_text(WARNED)
    expect(ops.get_by_role("list", name="Alarms")).to_contain_text(alarm["name"])
    expect(tile(ops, "Dead letters")).to_contain_text("Warning")
    assert _colour(ops, "Dead letters") != _colour(ops, "Commands not read yet")
    go(ops, "chats")
    expect(ops.get_by_role("link", name=re.compile("[0-9] alarm"))).to_be_visible()


def _colour(page: Page, label: str) -> str:
    found: str = tile(page, label).evaluate("(tile) => getComputedStyle(tile).borderTopColor")
    return found


@slow
def test_a_plot_has_the_hour_that_the_daemon_has_kept(desk: Desk, ops: Page) -> None:
    """A page that has just been opened shows what was before it, with a scale."""
    label = re.compile("Open chats in the last hour: 0 to [1-9]")
    until(lambda: max(_kept(desk, "open_chats"), default=0) > 0, "the daemon has sampled")
    ops.reload()
    plot = ops.get_by_role("img", name=label)
    expect(plot).to_be_visible()
    plot.hover(position={"x": 5, "y": 5})
    expect(tile(ops, "Open chats")).to_contain_text(re.compile(r"\d\d:\d\d:\d\d UTC"))


def _kept(desk: Desk, name: str) -> list[float]:
    series: dict[str, Any] = desk.get("/v1/status/history")["series"]
    return [value for value in series[name] if value is not None]


@slow
def test_actors_are_shown_with_their_processes(desk: Desk, ops: Page) -> None:
    """Whoever has to look at a process finds it by its number."""
    actors = ops.get_by_role("table", name="Actors")
    for actor in (actor for actor in desk.get("/v1/status")["actors"] if actor["up"]):
        row = actors.get_by_role("row").filter(has_text=actor["name"])
        expect(row).to_contain_text(str(actor["pid"]))


@slow
def test_figures_that_are_old_say_so(desk: Desk, open_page: Open, shot: Shot) -> None:
    """When the gateway ends, the page says since when it knows nothing, and goes on by itself."""
    port = free_port()
    token = mint(SECRET, "meterd", "ops", ["ops"], 3_600)
    with gateway(desk, port):
        page = open_page(f"http://127.0.0.1:{port}/#token={token}")
        is_ready(page)
        expect(tile(page, "Open chats")).not_to_contain_text("as of")
    expect(page.get_by_role("status").first).to_contain_text("No answer")
    expect(page.get_by_role("status").first).to_contain_text("is not reached")
    known = page.get_by_role("region", name="Verdict").locator("time").first
    expect(known).to_have_text(re.compile(r"\.\d{3} UTC$"))
    expect(tile(page, "Open chats")).to_contain_text(re.compile(r"as of .* UTC"))
    expect(page).to_have_title("No answer · meterd")
    shot(page, "ops-stale")
    with gateway(desk, port):
        is_ready(page)
        expect(tile(page, "Open chats")).not_to_contain_text("as of")


@slow
def test_a_list_that_is_old_says_so(ops: Page, people: People) -> None:
    """What is not asked for with success is as of its last answer, until there is another."""
    go(ops, f"user/{people.ann}")
    expect(view(ops, f"User {people.ann}")).to_contain_text("Burn a minute")
    ops.context.set_offline(True)
    alert = ops.get_by_role("alert").filter(has_text="What is shown is as of")
    expect(alert).to_be_visible()
    ops.context.set_offline(False)
    expect(alert).to_have_count(0)


@slow
def test_the_token_is_kept_out_of_the_address(desk: Desk, ops: Page) -> None:
    """It is gone from it at once and survives a reload, in this tab alone."""
    assert desk.token("ops", "ops") not in ops.url
    ops.reload()
    is_ready(ops)


@slow
def test_a_chat_tells_its_history(desk: Desk, ops: Page, people: People, shot: Shot) -> None:
    """Change by change, with its live clock; what happens next appears by itself."""
    go(ops, "chats")
    ops.get_by_role("link", name=people.first, exact=True).first.click()
    detail = view(ops, f"Chat {people.first}")
    expect(detail.get_by_role("heading", name=f"Chat {people.first}")).to_be_focused()
    history = detail.get_by_role("table", name="History")
    expect(history.get_by_role("row").filter(has_text="chat.started")).to_have_count(1)
    expect(history.get_by_role("row").filter(has_text="chat.paused")).to_have_count(1)
    clock = detail.get_by_role("group", name=f"Clock of chat {people.first}")
    expect(clock).to_contain_text("Paused")
    desk.meter.resume(people.first)
    expect(clock).to_contain_text("Running")
    expect(history.get_by_role("row").filter(has_text="chat.resumed")).to_have_count(1)
    shot(ops, "ops-chat")
    desk.meter.pause(people.first)


@slow
def test_a_running_chats_figures_are_the_daemons_at_that_moment(desk: Desk, ops: Page) -> None:
    """Billed time in its view, time and cost in a list: as the rules carry its snapshot on."""
    user = desk.new()
    chat = f"chat-{user}"
    desk.meter.top_up(user, "10")
    desk.meter.start(chat, user, "bob", rate="6", free_ms=500, increment_ms=400, min_ms=300)
    go(ops, f"chat/{chat}")
    billed = view(ops, f"Chat {chat}").locator("[data-now]")
    expect(billed).to_have_text("0:00:02")
    snapshot = desk.get(f"/v1/chats/{chat}")
    zero_at = snapshot["wallet"]["zero_at"]
    text, now = billed.evaluate("(each) => [each.textContent, each.dataset.now]")
    assert text == _duration(chat_now(snapshot, int(now), zero_at).snapshot["billed_ms"])
    desk.live.until_handled()
    go(ops, f"user/{user}")
    table = ops.get_by_role("table", name=f"Chats of {user}")
    expect(table.get_by_role("row").filter(has_text="running")).to_have_count(1)
    script = """(table) => {
      const cell = (name) => table.querySelector(`td[data-name="${name}"]`).textContent;
      return [table.parentElement.dataset.now, cell("Time"), cell("Cost"), cell("Time left")];
    }"""
    expect(table.locator('td[data-name="Time left"]')).not_to_have_text("–")
    now, time, cost, left = table.evaluate(script)
    expected = chat_now(snapshot, int(now), zero_at)
    assert time == _duration(expected.snapshot["active_ms"])
    assert cost == expected.snapshot["cost"]
    assert left == _duration(zero_at - int(now))


def _duration(ms: int) -> str:
    seconds = ms // 1000
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


@slow
def test_a_chats_terms_are_told(desk: Desk, ops: Page) -> None:
    """Free time with whom it is shared, when a step is owed, and the chat's limits."""
    user = desk.new()
    desk.meter.top_up(user, "10")
    desk.meter.start(
        f"chat-{user}", user, "bob", free_ms=60_000, free_scope="advisor", increment_ms=60_000,
        increment_due="end", idle_ms=5_000_000, abandon_ms=6_000_000, max_ms=7_000_000,
    )  # fmt: skip
    go(ops, f"chat/chat-{user}")
    detail = view(ops, f"Chat chat-{user}")
    for said in ("shared with the user's chats with this advisor", "each owed once complete"):
        expect(detail).to_contain_text(said)
    for name in ("Idle after", "Abandoned after", "Ends after"):
        expect(detail).to_contain_text(name)


@slow
def test_a_user_has_a_wallet_chats_and_a_ledger(
    desk: Desk, ops: Page, people: People, shot: Shot
) -> None:
    """Balance, ended chats too, every movement; and what one more chat would do to it."""
    go(ops, f"user/{people.ann}")
    detail = view(ops, f"User {people.ann}")
    expect(detail).to_contain_text(desk.get(f"/v1/users/{people.ann}/wallet")["balance"])
    chats = detail.get_by_role("table", name=f"Chats of {people.ann}")
    expect(chats.get_by_role("row").filter(has_text=people.second)).to_contain_text("ended (left)")
    ledger = detail.get_by_role("table", name="Ledger")
    expect(ledger.get_by_role("row").filter(has_text="top up")).to_contain_text("10.000000")
    charge = ledger.get_by_role("row").filter(has_text="charge")
    expect(charge).to_contain_text(f"-{desk.get(f'/v1/chats/{people.second}')['cost']}")
    detail.get_by_label("One more chat at").fill("600")
    detail.get_by_role("button", name="What if?").click()
    said = detail.get_by_role("status").filter(has_text="more chat")
    expect(said).to_contain_text("would last for 0:00:0")
    detail.get_by_label("One more chat at").fill("much")
    detail.get_by_role("button", name="What if?").click()
    expect(said).to_have_count(0)
    shot(ops, "ops-user")


@slow
def test_a_user_with_any_id_has_a_link(ops: Page, people: People) -> None:
    """Slashes and all: an address made by hand leads there too, and survives a reload."""
    ops.evaluate("(id) => { location.hash = `#user/${encodeURIComponent(id)}`; }", people.ben)
    expect(view(ops, f"User {people.ben}")).to_contain_text("Burn a minute")
    ops.reload()
    expect(view(ops, f"User {people.ben}")).to_contain_text("Burn a minute")
    chats = ops.get_by_role("table", name=f"Chats of {people.ben}")
    expect(chats.get_by_role("row").filter(has_text=people.other)).to_contain_text("running")


@slow
def test_an_advisor_has_totals(desk: Desk, ops: Page, shot: Shot) -> None:
    """Open chats and what they burn, and what all that have ended came to."""
    advisor, user = f"bob-{desk.new()}", desk.new()
    desk.meter.top_up(user, "10")
    for name in ("a", "b"):
        desk.meter.start(f"{advisor}-{name}", user, advisor, rate="6", free_ms=0, min_ms=0)
    desk.meter.end(f"{advisor}-a")
    desk.live.until_handled()
    totals = desk.get(f"/v1/advisors/{advisor}")["totals"]
    go(ops, f"advisor/{advisor}")
    detail = view(ops, f"Advisor {advisor}")
    expect(detail).to_contain_text("Chats running1")
    expect(detail).to_contain_text("Burn a minute6.00")
    expect(detail).to_contain_text("Chats ended1")
    expect(detail).to_contain_text(f"Cost of them{totals['cost']}")
    chats = detail.get_by_role("table", name=f"Chats of {advisor}")
    for link in links(chats, (f"{advisor}-a", f"{advisor}-b")).values():
        expect(link).to_have_count(1)
    shot(ops, "ops-advisor")


@slow
def test_dead_letters_are_text(ops: Page, shot: Shot) -> None:
    """What somebody put into the queue is shown as it is, and runs nowhere."""
    ops.get_by_role("navigation", name="Views").get_by_role("link", name="Dead letters").click()
    detail = view(ops, "Dead letters").first
    expect(detail).to_contain_text("invalid command")
    expect(detail).to_contain_text("<img src=x onerror=alert(1)>")
    expect(detail.locator("img")).to_have_count(0)
    shot(ops, "ops-dead")


@slow
def test_times_are_in_utc_or_in_the_readers_zone(
    desk: Desk, open_page: Open, people: People
) -> None:
    """Always with the zone's name; the choice is remembered, and holds for all that is shown."""
    page = open_page(
        f"/#token={desk.token('ops', 'ops')}&user/{people.ann}",
        timezone_id="Asia/Kolkata", locale="ar-EG",
    )  # fmt: skip
    times = view(page, f"User {people.ann}").locator("time")
    expect(times.first).to_have_text(re.compile(r"\.\d{3} UTC$"))
    utc = times.first.inner_text()
    page.get_by_role("button", name="Local").click()
    expect(times.first).to_have_text(re.compile(r"\.\d{3} GMT\+5:30$"))
    expect(times.first).to_have_attribute("title", utc)
    page.reload()
    expect(times.first).to_have_text(re.compile(r"^\d+ \w{3} \d{4}, .*GMT\+5:30$"))
    expect(page.get_by_role("button", name="Local")).to_have_attribute("aria-pressed", "true")
    arabic = re.compile("[\u0660-\u0669]")
    expect(page.locator("main")).not_to_have_text(arabic)


@slow
def test_a_long_id_is_cut_in_the_middle_and_copied_whole(
    desk: Desk, open_page: Open, people: People
) -> None:
    """Its end is seen, its title has all of it, and so has what the button copies."""
    page = open_page(
        f"/#token={desk.token('ops', 'ops')}&chats?search={people.long}&status=all",
        permissions=["clipboard-read", "clipboard-write"],
    )
    link = page.get_by_role("row").get_by_role("link", name=people.long, exact=True)
    expect(link).to_have_attribute("title", people.long)
    head, tail = link.locator(".head"), link.locator(".tail")
    expect(tail).to_be_in_viewport(ratio=1)
    assert head.evaluate("(each) => each.scrollWidth > each.clientWidth"), "the middle is cut"
    link.hover()
    page.get_by_role("row").get_by_role("button", name=f"Copy chat {people.long}").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == people.long


@slow
def test_everything_is_reached_by_keyboard(ops: Page, people: People) -> None:
    """`/` searches, Enter opens, Escape closes and leads back to where one was."""
    ops.keyboard.press("/")
    search = ops.get_by_role("searchbox")
    expect(search).to_be_focused()
    ops.keyboard.type(people.ann)
    link = ops.get_by_role("table", name="Chats").get_by_role("link", name=people.first, exact=True)
    expect(link).to_be_visible()
    link.focus()
    outline = link.evaluate("(element) => getComputedStyle(element).outlineStyle")
    assert outline == "solid", "the focus is seen"
    ops.keyboard.press("Enter")
    expect(view(ops, f"Chat {people.first}")).to_be_visible()
    ops.keyboard.press("Escape")
    expect(view(ops, f"Chat {people.first}")).to_be_hidden()
    expect(link).to_be_focused()
    ops.keyboard.press("/")
    expect(search).to_be_focused()
    ops.keyboard.type(people.other)
    ops.keyboard.press("Enter")
    expect(view(ops, f"Chat {people.other}")).to_be_visible()


@slow
def test_it_fits_a_phone(admin: Page, people: People, shot: Shot) -> None:
    """At 360 pixels nothing has to be scrolled sideways, whatever is open."""
    admin.set_viewport_size({"width": 360, "height": 740})
    for address, shown in (
        ("", "#actors td"),
        ("chats?sort=left", "#view td"),
        (f"chat/{people.first}", "#view .records td"),
        (f"user/{people.ann}", "#view .records td"),
        ("advisor/adele", "#view td"),
        ("dead", "#view .letter"),
        ("operations", "#view .card"),
    ):
        go(admin, address)
        expect(admin.locator(shown).first).to_be_visible()
        assert admin.evaluate("document.documentElement.scrollWidth") == 360, address
        shot(admin, f"phone-{address.partition('/')[0].partition('?')[0]}")


@slow
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


@slow
def test_what_is_refused_is_said(desk: Desk, open_page: Open) -> None:
    """A token without the right is told why; one that does not count is asked for again."""
    page = open_page(f"/#token={desk.token(desk.new())}")
    expect(page.get_by_role("status").first).to_contain_text("role")
    page = open_page("/#token=nonsense")
    expect(page.get_by_role("heading", name="A token, please")).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="token does not count")).to_be_visible()
    page.get_by_role("textbox", name="Token").fill(desk.token("ops", "ops"))
    page.get_by_role("button", name="Use it").click()
    is_ready(page)
