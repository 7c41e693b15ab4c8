"""Properties of <meterd-clock>, in whatever order script, element and values come."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.desk import Desk, clock_runs, clock_says

pytestmark = [pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(180)]

SET_ALL = """const setAll = (clock, values) => {
  for (const [name, value] of Object.entries(values)) clock[name] = value;
  return clock;
};"""
ORDERS = {
    "script, element, properties": """async ([values]) => {
      await import("/static/meterd-clock.js");
      const clock = document.createElement("meterd-clock");
      document.querySelector("main").prepend(clock);
      setAll(clock, values);
    }""",
    "script, properties, element": """async ([values]) => {
      await import("/static/meterd-clock.js");
      const clock = setAll(document.createElement("meterd-clock"), values);
      document.querySelector("main").prepend(clock);
    }""",
    "element, properties, script": """async ([values]) => {
      const clock = document.createElement("meterd-clock");
      document.querySelector("main").prepend(clock);
      setAll(clock, values);
      await import("/static/meterd-clock.js");
    }""",
    "properties, script, element": """async ([values]) => {
      const clock = setAll(document.createElement("meterd-clock"), values);
      await import("/static/meterd-clock.js");
      document.querySelector("main").prepend(clock);
    }""",
}
VALUES: dict[str, Any] = {
    "chat": "x", "user": "ann", "src": "https://meterd.test/", "label": "A clock", "digits": 4,
    "compact": True, "lowMs": 60_000,
}  # fmt: skip
ATTRIBUTES = {
    "chat": "x", "user": "ann", "src": "https://meterd.test/", "label": "A clock", "digits": "4",
    "compact": "", "low-ms": "60000",
}  # fmt: skip
WRITE_AND_READ = """async (values) => {
  await import("/static/meterd-clock.js");
  const clock = document.createElement("meterd-clock");
  const names = Object.keys(values);
  const read = () => Object.fromEntries(names.map((name) => [name, clock[name]]));
  const attributes = () =>
    Object.fromEntries([...clock.attributes].map(({ name, value }) => [name, value]));
  const found = [read()];
  Object.assign(clock, values);
  found.push(read(), attributes());
  for (const name of names) clock[name] = null;
  return [...found, attributes()];
}"""


def test_properties_are_their_attributes(blank: Page) -> None:
    """What is set as a property is in the attribute, and null takes it away."""
    before, after, attributes, left = blank.evaluate(WRITE_AND_READ, VALUES)
    assert before == {
        "chat": None, "user": None, "src": None, "label": None, "digits": 2, "compact": False,
        "lowMs": 0,
    }  # fmt: skip
    assert (after, attributes, left) == (VALUES, ATTRIBUTES, {})


def test_numbers_are_kept_within_their_bounds(blank: Page) -> None:
    """As they are used: what is no number counts as not given."""
    found = blank.evaluate("""async () => {
      await import("/static/meterd-clock.js");
      const clock = document.createElement("meterd-clock");
      return ["9", "-1", "", "x", "3.7"].map((text) => {
        clock.setAttribute("digits", text);
        return clock.digits;
      });
    }""")
    assert found == [6, 0, 2, 2, 3]


def test_a_token_is_not_written_into_the_page(blank: Page) -> None:
    """Neither a string nor a function; the attribute counts as long as nothing was set."""
    found = blank.evaluate("""async () => {
      await import("/static/meterd-clock.js");
      const clock = document.createElement("meterd-clock");
      clock.setAttribute("token", "of the markup");
      const read = [clock.token];
      for (const token of ["a.b.c", () => "a.b.c", null]) {
        clock.token = token;
        read.push(typeof clock.token === "function" ? "a function" : clock.token);
      }
      return [read, clock.outerHTML];
    }""")
    assert found == [
        ["of the markup", "a.b.c", "a function", "of the markup"],
        '<meterd-clock token="of the markup"></meterd-clock>',
    ]


@pytest.mark.parametrize("order", [*ORDERS])
@pytest.mark.parametrize(
    "with_function",
    [pytest.param(True, id="function"), pytest.param(False, id="string", marks=pytest.mark.slow)],
)
def test_a_clock_runs_in_whatever_order_it_is_made(
    desk: Desk, open_page: Open, order: str, with_function: bool
) -> None:
    """Script, element and properties: the clock shows its chat, and its snapshots are there."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo")
    page.evaluate("document.querySelector('main').replaceChildren()")
    values = {"chat": chat, "token": desk.token(user), "label": "Mine", "digits": 3}
    token = "values.token = ((token) => async () => token)(values.token);" if with_function else ""
    made = f"async (values) => {{ {SET_ALL} {token} await ({ORDERS[order]})([values]); }}"
    page.evaluate(made, values)
    clock_runs(page)
    expect(page.get_by_role("group", name="Mine")).to_be_visible()
    snapshots = page.evaluate("""() => {
      const { chat, snapshot, wallet } = document.querySelector("meterd-clock");
      return [chat, snapshot.chat_id, wallet.user_id];
    }""")
    assert snapshots == [chat, chat, user]


def test_properties_set_in_one_go_take_one_connection(desk: Desk, open_page: Open) -> None:
    """And a function that is new with each draw of the page does not begin again."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo")
    page.evaluate("document.querySelector('main').replaceChildren()")
    streams: list[str] = []
    page.on("request", lambda r: streams.append(r.url) if "/stream" in r.url else None)
    page.evaluate(
        """async ([chat, user, token]) => {
          await import("/static/meterd-clock.js");
          const clock = document.createElement("meterd-clock");
          document.querySelector("main").prepend(clock);
          Object.assign(clock, { token: async () => "not yet", chat: "another", user });
          await null;
          for (let draw = 0; draw < 3; draw += 1) {
            Object.assign(clock, { chat, token: async () => token });
          }
        }""",
        [chat, user, desk.token(user)],
    )
    clock_runs(page)
    assert len(streams) == 1


def test_a_clock_without_a_token_says_so(desk: Desk, open_page: Open) -> None:
    """In the page's words; it goes on as soon as it is given one, and so it does with a chat."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo")
    page.evaluate(
        """async () => {
          await import("/static/meterd-clock.js");
          const clock = document.createElement("meterd-clock");
          document.querySelector("main").replaceChildren(clock);
        }"""
    )
    clock_says(page, "The page names no chat.")
    page.evaluate("(chat) => document.querySelector('meterd-clock').chat = chat", chat)
    clock_says(page, "The page gives no token.")
    clock_says(page, "Not available")
    assert page.evaluate("document.querySelector('meterd-clock').state") == "refused"
    page.evaluate("document.querySelector('meterd-clock').words = { no_token: 'kein Token' }")
    clock_says(page, "kein Token")
    page.evaluate(
        "(token) => document.querySelector('meterd-clock').token = token", desk.token(user)
    )
    clock_runs(page)


@pytest.mark.parametrize(
    "gives",
    [
        "Promise.reject(new Error('no session'))",
        pytest.param("undefined", marks=pytest.mark.slow),
        pytest.param("''", marks=pytest.mark.slow),
    ],
)
def test_a_function_that_gives_no_token_is_said_and_asked_again(
    desk: Desk, open_page: Open, gives: str
) -> None:
    """Nothing is sent to the gateway meanwhile, and the clock says that it is the page."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    page = open_page("/demo")
    page.evaluate(
        f"""async ([chat, token]) => {{
          await import("/static/meterd-clock.js");
          const clock = document.createElement("meterd-clock");
          globalThis.isIn = false;
          Object.assign(clock, {{ chat, token: () => globalThis.isIn ? token : {gives} }});
          document.querySelector("main").replaceChildren(clock);
        }}""",
        [chat, desk.token(user)],
    )
    clock_says(page, "The page gives no token. Trying again.")
    page.evaluate("globalThis.isIn = true")
    clock_runs(page)


@pytest.mark.parametrize("compact", [False, True])
def test_right_to_left_keeps_the_time_in_its_place(
    desk: Desk, open_page: Open, compact: bool
) -> None:
    """It begins where the other lines begin: at the right, its hours before its seconds."""
    chat, user = desk.new(), desk.new()
    desk.start(user, chat)
    desk.meter.pause(chat)
    page = open_page("/demo")
    page.evaluate(
        """async (values) => {
          await import("/static/meterd-clock.js");
          document.documentElement.dir = "rtl";
          const clock = Object.assign(document.createElement("meterd-clock"), values);
          document.querySelector("main").replaceChildren(clock);
        }""",
        {"chat": chat, "token": desk.token(user), "compact": compact},
    )
    clock_says(page, "Paused")
    edges = page.evaluate("""() => {
      const root = document.querySelector("meterd-clock").shadowRoot;
      const edge = (part, side) => {
        const range = document.createRange();
        range.selectNodeContents(root.querySelector(`[part~="${part}"]`));
        return range.getBoundingClientRect()[side];
      };
      return { dot: root.querySelector('[part~="dot"]').getBoundingClientRect().right,
        state: edge("state", "left"), time: edge("time", "right"), cost: edge("cost", "right") };
    }""")
    if compact:
        assert edges["cost"] < edges["time"] < edges["state"], "the lines go from right to left"
    else:
        assert abs(edges["time"] - edges["dot"]) < 2, "the time begins where the state begins"
