"""zero_at by its definition, millisecond by millisecond, and how it is found without that."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from meterd.rules import billing, exhaustion
from meterd.rules.billing import available, burns
from meterd.rules.exhaustion import zero_at
from meterd.rules.model import Account, Chat
from tests.rules.strategies import ANY, SMALL, T0, accounts

FAR_MS = 3_000


def cost_by_definition(chat: Chat, ahead_ms: int) -> int:
    """What a chat has cost so long after T0: each billed millisecond at its rate, rounded once."""
    owed = chat.owed_rate_ms
    if chat.status != "running":
        return owed // 60_000
    for active_ms in range(chat.active_ms, chat.active_ms + ahead_ms):
        owed += chat.rate_micro * (_billed(chat, active_ms + 1) - _billed(chat, active_ms))
    return owed // 60_000


def zero_at_by_definition(account: Account) -> int | None:
    """The last millisecond from T0 with available ≥ 0 if nothing else happens; None: far off."""
    chats = list(account.chats.values())
    owed = [chat.owed_rate_ms for chat in chats]
    for ahead_ms in range(FAR_MS):
        for n, chat in enumerate(chats):
            if chat.status == "running":
                active_ms = chat.active_ms + ahead_ms
                more_ms = _billed(chat, active_ms + 1) - _billed(chat, active_ms)
                owed[n] += chat.rate_micro * more_ms
        if account.settled_micro < sum(o // 60_000 for o in owed):
            return T0 + ahead_ms
    return None


def _counted(chat: Chat, at: int) -> Chat:
    """The chat with its time and debt counted up to ``at``, as every change of it does."""
    if chat.status != "running":
        return chat
    active_ms, owed = billing.active_ms(chat, at), billing.owed(chat, at)
    return chat._replace(active_ms=active_ms, owed_rate_ms=owed, since_ms=at)


def _billed(chat: Chat, active_ms: int) -> int:
    counted_ms = active_ms - chat.free_ms
    if counted_ms <= 0:
        return 0
    if chat.increment_due == "begin":
        counted_ms += chat.increment_ms - 1
    return max(chat.min_ms, counted_ms // chat.increment_ms * chat.increment_ms)


@given(accounts(SMALL))
def test_zero_at_is_what_its_definition_says(account: Account) -> None:
    """Jointly over all running chats, whatever their tariffs."""
    expected = zero_at_by_definition(account)
    found = zero_at(account, T0)
    assert found == expected if expected is not None else found is None or found >= T0 + FAR_MS


@given(accounts(ANY))
def test_zero_at_is_the_last_affordable_millisecond_in_any_size(account: Account) -> None:
    """Available is not negative there, and is one millisecond later."""
    found = zero_at(account, T0)
    if found is None:
        assert not any(c.status == "running" and c.rate_micro for c in account.chats.values())
    else:
        assert found >= T0
        assert available(account, found) >= 0
        assert available(account, found + 1) < 0


@given(accounts(SMALL), st.integers(0, 300))
def test_available_is_what_its_definition_says(account: Account, ahead_ms: int) -> None:
    """Credits less what every chat has cost by then, each rounded down on its own."""
    costs = sum(cost_by_definition(chat, ahead_ms) for chat in account.chats.values())
    assert available(account, T0 + ahead_ms) == account.settled_micro - costs


@given(accounts(SMALL), st.integers(0, 200))
def test_a_chat_burns_when_its_next_millisecond_is_billed(account: Account, ahead_ms: int) -> None:
    """Not while it is free, nor in an increment that is paid, nor at no rate."""
    for chat in account.chats.values():
        active_ms = chat.active_ms + ahead_ms
        more_ms = _billed(chat, active_ms + 1) - _billed(chat, active_ms)
        costs = chat.status == "running" and chat.rate_micro * more_ms > 0
        assert burns(chat, T0 + ahead_ms) == costs


@given(accounts(ANY) | accounts(SMALL), st.lists(st.integers(0, 100_000), max_size=5))
def test_looking_at_a_chat_between_changes_costs_nothing(
    account: Account, looks_ms: list[int]
) -> None:
    """Counting up to now, as often as one likes, rounds nothing and moves no zero_at."""
    looked, at = account, T0
    expected = zero_at(account, T0)
    for wait_ms in looks_ms:
        if expected is not None and at + wait_ms > expected:
            break
        at += wait_ms
        counted = {k: _counted(chat, at) for k, chat in looked.chats.items()}
        looked = looked._replace(chats=counted)
        assert zero_at(looked, at) == expected
    assert available(looked, at + 77) == available(account, at + 77)


@given(accounts(ANY, linear=True))
def test_one_linear_chat_needs_no_search(account: Account) -> None:
    """The closed form hits the millisecond; at most one look at it confirms that."""
    with (
        patch.object(exhaustion, "available", wraps=billing.available) as look,
        patch.object(exhaustion, "_bisect", side_effect=AssertionError("searched")),
    ):
        found = exhaustion.zero_at(account, T0)
    assert look.call_count <= 1
    assert found is not None
    assert available(account, found) >= 0 > available(account, found + 1)


@given(accounts(ANY))
def test_an_outlook_has_the_balance_and_the_burn_rate_of_its_millisecond(account: Account) -> None:
    """Found in the same pass; whoever shows the wallet need not add up the chats again."""
    seen = exhaustion.outlook(account, T0)
    assert seen.available_micro == billing.available(account, T0)
    assert seen.burn_rate_micro == billing.burn_rate(account, T0)


@given(accounts(ANY))
def test_the_search_is_short(account: Account) -> None:
    """As many looks as increment, minimum and free time have bits, however much credit there is."""
    with patch.object(exhaustion, "available", wraps=billing.available) as look:
        exhaustion.zero_at(account._replace(settled_micro=10**15), T0)
    assert look.call_count <= 24
