"""What an admin does by hand on the operations page, and that nobody else can."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Open, Shot
from tests.browser.desk import Desk, until
from tests.browser.people import People, act, go, operations, view

pytestmark = [pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(180)]
slow = pytest.mark.slow

OPERATIONS = "**/v1/operations"
WHY = "asked for in ticket 4711"


def _user(desk: Desk) -> tuple[str, str]:
    """A user with 10 credits and a chat that runs."""
    user = desk.new()
    desk.start(user, f"chat-{user}")
    return user, f"chat-{user}"


def _balance(desk: Desk, user: str) -> str:
    balance: str = desk.get(f"/v1/users/{user}/wallet")["balance"]
    return balance


@slow
def test_a_chat_is_ended_with_a_reason(desk: Desk, admin: Page, shot: Shot) -> None:
    """Only once the reason is there; who did it and why is told and recorded."""
    user, chat = _user(desk)
    go(admin, f"chat/{chat}")
    dialog = act(admin, "End chat", reason=" ")
    expect(dialog.get_by_role("alert")).to_contain_text("A reason is needed")
    assert desk.get(f"/v1/chats/{chat}")["status"] == "running"
    dialog.get_by_label("Reason, for the record").fill(WHY)
    dialog.get_by_role("button", name="End chat", exact=True).click()
    expect(dialog.get_by_role("status")).to_have_text("The chat has ended.")
    expect(dialog).to_contain_text("Byalice")
    ended = desk.get(f"/v1/chats/{chat}")
    assert ended["status"] == "ended"
    expect(dialog).to_contain_text(f"Cost{ended['cost']}")
    shot(admin, "ops-act")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    expect(view(admin, f"Chat {chat}").get_by_role("group")).to_contain_text("Ended")
    until(lambda: bool(operations(desk, chat)), "it is recorded")
    (operation,) = operations(desk, chat)
    assert (operation["done_by"], operation["reason"]) == ("alice", WHY)
    assert operation["operation"] == "chat.end"
    assert desk.get(f"/v1/users/{user}/ledger")["entries"][0]["kind"] == "charge"


@slow
def test_a_refund_is_refused_beyond_the_cost(desk: Desk, admin: Page) -> None:
    """The daemon's own words; what it may be is shown, and goes through."""
    user, chat = _user(desk)
    desk.meter.end(chat)
    cost = desk.get(f"/v1/chats/{chat}")["cost"]
    go(admin, f"chat/{chat}")
    dialog = act(admin, "Refund", amount="9", reason=WHY)
    expect(dialog.get_by_role("alert")).to_contain_text("Refused: exceeds_cost")
    expect(dialog).to_contain_text(f"May be refunded{cost}")
    dialog.get_by_label("Amount").fill(cost)
    dialog.get_by_role("button", name="Refund", exact=True).click()
    expect(dialog.get_by_role("status")).to_have_text(f"{cost} credits have been given back.")
    assert desk.get(f"/v1/chats/{chat}")["refunded"] == cost
    assert _balance(desk, user) == "10.000000"
    dialog.get_by_role("button", name="Close").click()
    table = view(admin, f"Chat {chat}").get_by_role("table", name="Operations")
    expect(table.get_by_role("row").filter(has_text="exceeds cost")).to_contain_text("Refund 9")
    expect(table.get_by_role("row").filter(has_text=f"Refund {cost}")).to_contain_text("ok")


@slow
def test_an_account_is_topped_up_and_corrected(desk: Desk, admin: Page) -> None:
    """The dialog says what will be, the wallet shows what is; partly, if that is allowed."""
    user = desk.new()
    desk.meter.top_up(user, "10")
    go(admin, f"user/{user}")
    dialog = act(admin, "Top up", amount="2.5", reason=WHY)
    expect(dialog.get_by_role("status")).to_have_text("2.500000 credits have been added.")
    expect(dialog).to_contain_text("Balance now12.500000")
    dialog.get_by_role("button", name="Close").click()
    expect(view(admin, f"User {user}")).to_contain_text("Credits left12.500000")
    dialog = act(admin, "Adjust", amount="-20", reason=WHY)
    expect(dialog).to_contain_text(f"20.000000 credits are taken from {user}.")
    expect(dialog.get_by_role("alert")).to_contain_text("Refused: insufficient_credits")
    assert _balance(desk, user) == "12.500000"
    dialog.get_by_label("If less is there").check()
    dialog.get_by_role("button", name="Adjust", exact=True).click()
    expect(dialog).to_contain_text("Balance now0.000000")
    assert _balance(desk, user) == "0.000000"
    dialog.get_by_role("button", name="Close").click()
    ledger = view(admin, f"User {user}").get_by_role("table", name="Ledger")
    expect(ledger.get_by_role("row").filter(has_text="adjustment")).to_contain_text("-12.500000")


@slow
def test_what_is_no_amount_is_not_sent(desk: Desk, admin: Page) -> None:
    """The field says so; cancelling, by button or by key, leaves everything as it was."""
    user = desk.new()
    desk.meter.top_up(user, "10")
    go(admin, f"user/{user}")
    for amount in ("", "0", "1,5", "-1", "1e3", "1234567890"):
        dialog = act(admin, "Top up", amount=amount, reason=WHY)
        expect(dialog.get_by_role("alert")).to_contain_text("An amount is")
        expect(dialog.get_by_label("Amount")).to_be_focused()
        dialog.get_by_role("button", name="Cancel").click()
        expect(dialog).to_have_count(0)
    admin.get_by_role("button", name="Top up…").click()
    admin.keyboard.press("Escape")
    expect(admin.get_by_role("dialog")).to_have_count(0)
    expect(view(admin, f"User {user}")).to_be_visible()
    assert _balance(desk, user) == "10.000000"


def _lose_answers(route: Route) -> None:
    """What is posted arrives, and its answer does not."""
    if route.request.method == "POST":
        route.fetch()
        route.abort()
    else:
        route.fallback()


@slow
def test_an_answer_that_got_lost_is_asked_for_again(desk: Desk, admin: Page) -> None:
    """The same once more is done once; it says that it may be done already."""
    user = desk.new()
    desk.meter.top_up(user, "10")
    go(admin, f"user/{user}")
    admin.route(OPERATIONS, _lose_answers)
    dialog = act(admin, "Top up", amount="1", reason=WHY)
    expect(dialog.get_by_role("alert")).to_contain_text("It may be done or not.")
    expect(dialog.get_by_label("Amount")).to_be_disabled()  # another one would be done beside it
    expect(dialog.get_by_label("Reason")).to_be_disabled()
    assert _balance(desk, user) == "11.000000"
    admin.unroute(OPERATIONS)
    dialog.get_by_role("button", name="Top up", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("have been added")
    assert _balance(desk, user) == "11.000000"
    desk.live.until_handled()
    assert len(operations(desk, user)) == 1


@slow
def test_dead_letters_are_sent_again_or_dropped(desk: Desk, admin: Page, shot: Shot) -> None:
    """One goes into the queue again, where it is refused again; another one is gone for good."""
    mark = desk.new()
    desk.spoil(type="pause", mark=mark)
    desk.live.until_handled()
    go(admin, "dead")
    letter = admin.get_by_role("listitem").filter(has_text=f'"mark": "{mark}"')
    before = letter.get_by_role("button", name="Copy letter").get_attribute("aria-label")
    letter.get_by_role("button", name="Send again…").click()
    dialog = admin.get_by_role("dialog", name="Send again")
    dialog.get_by_label("Reason").fill(WHY)
    dialog.get_by_role("button", name="Send again", exact=True).click()
    expect(dialog.get_by_role("status")).to_have_text("The entry is in the queue again.")
    shot(admin, "ops-retry")
    dialog.get_by_role("button", name="Close").click()
    again = letter.get_by_role("button", name="Copy letter")
    expect(again).not_to_have_attribute("aria-label", str(before))
    letter.get_by_role("button", name="Drop…").click()
    dialog = admin.get_by_role("dialog", name="Drop")
    dialog.get_by_label("Reason").fill(WHY)
    dialog.get_by_role("button", name="Drop", exact=True).click()
    expect(dialog.get_by_role("status")).to_have_text("The dead letter is gone.")
    dialog.get_by_role("button", name="Close").click()
    expect(letter).to_have_count(0)
    desk.live.until_handled()
    go(admin, "operations")
    rows = admin.get_by_role("table", name="Operations").get_by_role("row").filter(has_text=WHY)
    expect(rows.filter(has_text="Send again").first).to_contain_text("alice")
    expect(rows.filter(has_text="Drop").first).to_contain_text("alice")


@slow
def test_who_may_only_read_sees_nothing_to_press(desk: Desk, ops: Page, people: People) -> None:
    """No button of an operation on any view."""
    acts = re.compile("…$")
    for address, shown in (
        (f"chat/{people.first}", "History"),
        (f"chat/{people.second}", "History"),
        (f"user/{people.ann}", "Ledger"),
    ):
        go(ops, address)
        expect(ops.get_by_role("table", name=shown)).to_be_visible()
        expect(ops.get_by_role("button", name=acts)).to_have_count(0)
    go(ops, "dead")
    expect(ops.get_by_text("invalid command").first).to_be_visible()
    expect(ops.get_by_role("button", name=acts)).to_have_count(0)


@slow
def test_a_role_that_the_gateway_does_not_know_acts_in_vain(
    desk: Desk, open_page: Open, people: People
) -> None:
    """The page leaves buttons out for comfort alone: the gateway decides."""
    page = open_page(f"/#token={desk.token('mallory', 'ops')}&user/{people.ann}")
    before = _balance(desk, people.ann)
    script = """async (user_id) => {
      const { post } = await import("/static/page-api.js");
      const body = { id: "x", operation: "account.top_up", user_id, amount: "1", reason: "!" };
      return post("v1/operations", body).then(() => 200, (error) => error.status);
    }"""
    assert page.evaluate(script, people.ann) == 403
    assert _balance(desk, people.ann) == before
