"""The clock's arithmetic, in the browser, against the rules that bill."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import JSHandle, Page

from daemon.gateway.views import wallet_object
from meterd.rules import billing
from meterd.rules.billing import available
from meterd.rules.model import RUNNING, Chat
from meterd.rules.money import format_micro
from meterd.rules.snapshots import chat_snapshot
from tests.browser.chats import CHATS, LONG_MS, SHORT, T0, account_of

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(180)]

AMOUNTS = st.integers(-(10**18), 10**18)


@pytest.fixture(scope="package")
def draw(blank: Page) -> JSHandle:
    """The module, as the gateway serves it."""
    return blank.evaluate_handle("import('/static/meterd-draw.js')")


def _ask(module: JSHandle, call: str, *arguments: Any) -> Any:
    """Integers come as text: they may be larger than what JSON's numbers keep."""
    script = f"""(module, a) => {{
      const text = (value) => typeof value === "bigint" ? String(value) : value;
      const found = {call};
      return Array.isArray(found) ? found.map(text) : text(found);
    }}"""
    return module.evaluate(script, list(arguments))


@given(CHATS, st.integers(0, LONG_MS))
def test_billed_time_is_that_of_the_rules(draw: JSHandle, chat: Chat, more_ms: int) -> None:
    """Whatever the tariff: free time, minimum and whole increments, to the millisecond."""
    snapshot = chat_snapshot(chat, T0)
    drawn = _ask(draw, "module.billedMs(a[0], a[1])", snapshot, chat.active_ms + more_ms)
    assert drawn == billing.billed_ms(chat, chat.active_ms + more_ms)


@given(CHATS, st.integers(0, LONG_MS))
def test_a_drawn_cost_is_the_rules_cost(draw: JSHandle, chat: Chat, later_ms: int) -> None:
    """At any later moment; at most one micro-credit less, because snapshots have no fractions."""
    snapshot, at = chat_snapshot(chat, T0), T0 + later_ms
    active_ms, cost = _ask(draw, "[module.activeMsAt(...a), module.costAt(...a)]", snapshot, at)
    assert active_ms == billing.active_ms(chat, at)
    assert 0 <= billing.cost(chat, at) - int(cost) <= 1


@given(st.lists(SHORT, max_size=4), st.integers(0, 10**7), st.integers(0, 5_000))
def test_a_drawn_balance_is_what_the_rules_leave(
    draw: JSHandle, chats: list[Chat], credit: int, later_ms: int
) -> None:
    """Until the credits end, at most a micro-credit more for each chat; then it stands still."""
    account = account_of(chats, credit)
    wallet, at = wallet_object(account, T0), T0 + later_ms
    end = at if account.zero_at_ms is None else min(at, account.zero_at_ms)
    drawn = int(_ask(draw, "module.balanceAt(...a)", wallet, at))
    assert 0 <= drawn - available(account, end) <= len(chats)
    left_ms = _ask(draw, "module.leftMsAt(...a)", wallet, at)
    assert left_ms == (None if account.zero_at_ms is None else max(0, account.zero_at_ms - at))


@given(st.lists(SHORT, min_size=1, max_size=3), st.integers(0, 10**4), st.integers(0, 2_000))
def test_a_clock_stops_when_the_credits_end(
    draw: JSHandle, chats: list[Chat], credit: int, later_ms: int
) -> None:
    """Exactly then, if the next millisecond costs; a free or paid stretch goes on to its end."""
    account = account_of(chats, credit)
    wallet, chat, at = wallet_object(account, T0), chats[0], T0 + later_ms
    moments = range(at if account.zero_at_ms is None else min(at, account.zero_at_ms), at)
    expected = next((t for t in moments if billing.burns(chat, t)), at)
    if chat.status != RUNNING:
        expected = at
    assert _ask(draw, "module.runsUntil(...a)", chat_snapshot(chat, T0), wallet, at) == expected


@given(AMOUNTS)
def test_credits_are_read_and_written_exactly(draw: JSHandle, amount: int) -> None:
    """Every micro-credit of any amount survives, as it does in the rules."""
    text = format_micro(amount)
    call = "[module.readMicro(a[0]), module.formatMicro(module.readMicro(a[0]))]"
    assert _ask(draw, call, text) == [str(amount), text]


@given(st.integers(0, 10**18), st.integers(0, 6))
def test_fewer_places_never_show_more_than_there_is(
    draw: JSHandle, amount: int, digits: int
) -> None:
    """What does not fit is cut off, so a balance is never rounded up."""
    shown = _ask(
        draw, "module.formatMicro(module.readMicro(a[0]), a[1])", format_micro(amount), digits
    )
    assert int(shown.replace(".", "")) == amount // 10 ** (6 - digits)
    assert len(shown.partition(".")[2]) == digits


@given(st.lists(st.integers(0, 5)))
def test_an_older_snapshot_never_replaces_a_newer_one(draw: JSHandle, seqs: list[int]) -> None:
    """In whatever order they arrive, what is kept has the highest seq so far."""
    call = "a.map((seq) => (kept = module.newer(kept, { seq }))).map((each) => each.seq)"
    kept = _ask(draw, f"((kept) => {call})(null)", *seqs)
    assert kept == list(itertools.accumulate(seqs, max))
