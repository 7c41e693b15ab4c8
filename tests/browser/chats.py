"""Chats of every kind, for properties of what the pages draw of them."""

import itertools

from hypothesis import strategies as st

from meterd.rules import billing
from meterd.rules.exhaustion import zero_at
from meterd.rules.model import (
    DUE_AT_BEGIN,
    DUE_AT_END,
    PAUSED,
    RUNNING,
    Account,
    Chat,
    ChatStatus,
    IncrementDue,
)

T0 = 1_700_000_000_000
LONG_MS = 10**12
RATES = st.sampled_from((0, 1, 1_000_000, 1_500_000)) | st.integers(0, 10**15 - 1)
TERMS_MS = st.sampled_from((0, 1, 1_000, 60_000)) | st.integers(0, LONG_MS)
INCREMENTS_MS = st.sampled_from((1, 7, 1_000, 60_000)) | st.integers(1, LONG_MS)

_names = itertools.count()


def chat_of(
    terms: tuple[int, int, int, IncrementDue],
    rate: int,
    active_ms: int,
    owed: int,
    status: ChatStatus = RUNNING,
) -> Chat:
    """A chat that runs, or so; terms are free time, minimum, increment and when it is due."""
    free_ms, min_ms, increment_ms, increment_due = terms
    chat = Chat(
        f"c{next(_names)}", "ann", "bob", status, T0 - active_ms, T0, T0, T0, rate, free_ms, min_ms,
        increment_ms, 0,
    )  # fmt: skip
    return chat._replace(active_ms=active_ms, owed_rate_ms=owed, increment_due=increment_due)


DUE: st.SearchStrategy[IncrementDue] = st.sampled_from((DUE_AT_BEGIN, DUE_AT_END))
TERMS = st.tuples(TERMS_MS, TERMS_MS, INCREMENTS_MS, DUE)
CHATS = st.builds(chat_of, TERMS, RATES, st.integers(0, LONG_MS), st.integers(0, 10**20))
SHORT_MS = st.integers(0, 300)
SHORT_TERMS = st.tuples(SHORT_MS, SHORT_MS, st.integers(1, 300), DUE)
SHORT = st.builds(
    chat_of, SHORT_TERMS, st.integers(0, 10**8), st.integers(0, 500), st.integers(0, 60_000 * 100),
    st.sampled_from((RUNNING, RUNNING, PAUSED)),
)  # fmt: skip


def account_of(chats: list[Chat], credit: int) -> Account:
    """An account that can pay for what its chats have cost, and has so many micro-credits more."""
    settled = sum(billing.charge(chat, T0) for chat in chats) + credit
    account = Account("ann", settled, as_of_ms=T0, chats={chat.chat_id: chat for chat in chats})
    return account._replace(zero_at_ms=zero_at(account, T0))
