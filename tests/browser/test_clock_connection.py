"""<meterd-clock> when its connection, its token or its gateway ends, and begins again."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.desk import (
    KEEP_CHANGES,
    Desk,
    clock_runs,
    clock_says,
    figures,
    free_port,
    gateway,
    put_clock,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(180)]

PUT_MANY = """async ([chats, token]) => {
  await import("/static/meterd-clock.js");
  globalThis.tokenOfAll ??= async () => token;
  for (const chat of chats) {
    const clock = document.createElement("meterd-clock");
    Object.assign(clock, { chat, label: chat, token: globalThis.tokenOfAll });
    document.querySelector("main").append(clock);
  }
}"""


def test_clocks_of_one_user_share_a_stream(desk: Desk, open_page: Open) -> None:
    """With `user`, chats that run, ended or never started take one connection; all are right."""
    user, running, ended, never = (desk.new() for _ in range(4))
    desk.start(user, running)
    desk.start(user, ended)
    desk.meter.end(ended)
    page = open_page("/demo")
    streams: list[str] = []
    page.on("request", lambda r: streams.append(r.url) if r.url.endswith("/stream") else None)
    for number, chat in enumerate((running, ended, never)):
        put_clock(page, chat, desk.token(user), user=user, label=f"clock {number}")
    for number, says in enumerate(("Running", "Ended", "Not started")):
        clock = page.get_by_role("group", name=f"clock {number}")
        expect(clock).to_contain_text(says)
        expect(clock.get_by_role("timer", name="Credits left")).to_be_visible()
    desk.meter.start(never, user, "adele", rate="6")
    expect(page.get_by_role("group", name="clock 2")).to_contain_text("Running")
    assert streams == [f"{desk.url}/v1/users/{user}/stream"]


def test_clocks_of_several_users_share_a_stream(desk: Desk, open_page: Open) -> None:
    """An advisor's clocks take one connection, whosever the chats are; each shows its own."""
    chats = [desk.new() for _ in range(6)]
    for chat in chats[:5]:
        desk.start(chat, chat)
    desk.meter.pause(chats[1])
    page = open_page("/demo")
    streams: list[str] = []
    page.on("request", lambda r: streams.append(r.url) if "/stream" in r.url else None)
    page.evaluate(PUT_MANY, [chats[:4], desk.token("adele", "advisor")])
    for chat, says in zip(chats[:4], ("Running", "Paused", "Running", "Running"), strict=True):
        expect(page.get_by_role("group", name=chat, exact=True)).to_contain_text(says)
    assert len(streams) == 1
    desk.meter.pause(chats[2])
    expect(page.get_by_role("group", name=chats[2], exact=True)).to_contain_text("Paused")
    expect(page.get_by_role("group", name=chats[0], exact=True)).to_contain_text("Running")
    page.evaluate(PUT_MANY, [chats[4:], desk.token("adele", "advisor")])
    expect(page.get_by_role("group", name=chats[4], exact=True)).to_contain_text("Running")
    expect(page.get_by_role("group", name=chats[5], exact=True)).to_contain_text("Not started")
    desk.start(chats[5], chats[5])
    expect(page.get_by_role("group", name=chats[5], exact=True)).to_contain_text("Running")
    expect(page.get_by_role("timer", name="Credits left")).to_have_count(0)
    assert len(streams) == 2, "a longer list takes the place of the shorter one"


def test_clocks_that_share_a_stream_show_their_own_wallets(desk: Desk, open_page: Open) -> None:
    """A top-up or a warning of one user changes nothing for the clock of another."""
    poor, rich = desk.new(), desk.new()
    desk.start(poor, poor, rate="60", credits_="9")
    desk.start(rich, rich, rate="6", credits_="500")
    page = open_page("/demo")
    page.evaluate(PUT_MANY, [[poor, rich], desk.token("ops", "ops")])
    warned = page.get_by_role("group", name=poor, exact=True)
    expect(warned).to_contain_text("Credits are low")
    expect(page.get_by_role("group", name=rich, exact=True)).not_to_contain_text("Credits are low")
    assert figures(page, 1)["balance"] > 499_000_000 > figures(page, 0)["balance"]
    desk.meter.top_up(poor, 100)
    until(lambda: figures(page, 0)["balance"] > 100_000_000, "the top-up is shown")
    assert figures(page, 1)["balance"] > 499_000_000 > figures(page, 0)["balance"]


def test_a_name_that_none_can_have_spoils_no_other_clock(desk: Desk, open_page: Open) -> None:
    """The gateway refuses it, with its own words, and goes on telling of the other chats."""
    user = desk.new()
    desk.start(user, user)
    page = open_page("/demo")
    page.evaluate(PUT_MANY, [[user, "no name"], desk.token(user)])
    expect(page.get_by_role("group", name=user, exact=True)).to_contain_text("Running")
    refused = page.get_by_role("group", name="no name", exact=True)
    expect(refused).to_contain_text("Not available")


def test_a_clock_that_is_moved_keeps_its_connection(desk: Desk, open_page: Open) -> None:
    """A list that is sorted again takes elements out and puts them in again."""
    user = desk.new()
    desk.start(user, user)
    page = open_page("/demo")
    streams: list[str] = []
    page.on("request", lambda r: streams.append(r.url) if "/stream" in r.url else None)
    page.evaluate(PUT_MANY, [[user], desk.token(user)])
    clock_runs(page)
    page.evaluate("document.querySelector('main').append(document.querySelector('meterd-clock'))")
    desk.meter.pause(user)
    clock_says(page, "Paused")
    assert len(streams) == 1


def test_a_question_that_fails_is_asked_again(desk: Desk, open_page: Open) -> None:
    """A user's stream does not tell of ended chats, so the clock asks, and does not give up."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    desk.meter.end(chat)
    page = open_page("/demo")
    page.route(f"**/v1/chats/{chat}", lambda route: route.abort(), times=1)
    put_clock(page, chat, desk.token(user), user=user)
    clock_says(page, "Ended")


def test_a_token_that_is_over_is_asked_for_anew(desk: Desk, open_page: Open) -> None:
    """The stream ends with the token; with the next one it goes on, and nothing was missed."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo")
    put_clock(page, chat, desk.token(user, ttl_s=2), desk.token(user))
    clock_runs(page)
    with page.expect_request(lambda r: "/v1/stream" in r.url and _bearer(r) == desk.token(user)):
        pass
    desk.meter.pause(chat)
    clock_says(page, "Paused")


def _bearer(request: object) -> str:
    headers: dict[str, str] = request.headers  # type: ignore[attr-defined]
    return headers.get("authorization", "").removeprefix("Bearer ")


def test_a_token_that_does_not_count_is_said(desk: Desk, open_page: Open) -> None:
    """With the gateway's own words; another token is all it takes."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo")
    put_clock(page, chat, "not.a.token")
    clock_says(page, "Not available")
    clock_says(page, "the token does not count")
    page.evaluate(
        "(token) => document.querySelector('meterd-clock').token = token", desk.token(user)
    )
    clock_runs(page)


def test_a_lost_connection_is_said_and_mended(desk: Desk, open_page: Open) -> None:
    """It draws on meanwhile; all that happened in between is told, once, when it is back."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo")
    page.evaluate(KEEP_CHANGES)
    put_clock(page, chat, desk.token(user))
    clock_runs(page)
    page.context.set_offline(True)
    lost = page.get_by_role("paragraph").filter(has_text="Connection lost")
    expect(lost).to_be_visible()
    shown = figures(page)["activeMs"]
    until(lambda: figures(page)["activeMs"] > shown, "it draws on from what it knows")
    for command in (desk.meter.pause, desk.meter.resume, desk.meter.pause):
        command(chat)
    page.context.set_offline(False)
    clock_says(page, "Paused")
    expect(lost).to_have_count(0)
    assert figures(page)["activeMs"] == desk.meter.snapshot(chat).active_ms
    told = "changes.map((each) => each.event).filter((name) => name.startsWith('chat.'))"
    until(lambda: len(page.evaluate(told)) >= 3, "the events are told")
    assert page.evaluate(told) == ["chat.paused", "chat.resumed", "chat.paused"]


def test_a_gateway_may_start_again(desk: Desk, open_page: Open) -> None:
    """Its streams end, the clock comes back by itself, and what happened meanwhile is known."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    port = free_port()
    with gateway(desk, port):
        # The gateway's own page: pages connect to where they are from only.
        page = open_page(f"http://127.0.0.1:{port}/demo")
        put_clock(page, chat, desk.token(user))
        clock_runs(page)
    desk.meter.pause(chat)
    clock_says(page, "Connection lost")
    with gateway(desk, port):
        clock_says(page, "Paused")
        expect(page.get_by_text("Connection lost")).to_have_count(0)
