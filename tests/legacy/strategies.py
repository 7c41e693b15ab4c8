"""Pairs as ugly as they come."""

from typing import Any

from hypothesis import strategies as st

from daemon.legacy.rules.rows import (
    AMOUNT_MAX,
    DURATION_MS_MAX,
    POLICIES,
    TRUST_CHATS,
    TRUST_RECORDS,
    UNKNOWN,
    Division,
    OldChat,
    OldRecord,
    Pair,
)
from meterd.rules.model import ENDED, PAUSED, RUNNING

_TIMES = st.one_of(st.none(), st.integers(0, 50), st.integers(0, 253_402_300_799_999))
_IDS = st.sampled_from(["c1", "c2", "c3", "c4", "not an id", ""])


def divisions() -> st.SearchStrategy[Division]:
    """Every way to read and divide a pair."""
    truth = st.booleans()
    return st.builds(Division, st.sampled_from(POLICIES), truth, truth, truth, truth)


def _amounts(most: int) -> st.SearchStrategy[int | None]:
    return st.one_of(
        st.none(), st.integers(0, 100), st.integers(0, most), st.integers(-5, -1),
        st.just(most + 1), st.just(10**40),
    )  # fmt: skip


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """A user and an advisor with up to four records and five chats."""
    user = draw(st.sampled_from(["u1", "u1", "u1", "no user"]))
    advisor = draw(st.sampled_from(["a1", "a1", "a1", ""]))
    records = draw(st.lists(_records(user, advisor), max_size=4, unique_by=lambda r: r.key))
    chats = draw(st.lists(_chats(user, advisor), max_size=5))
    trusted = draw(st.sampled_from(["", "", TRUST_CHATS, TRUST_RECORDS]))
    return Pair(user, advisor, records, chats, trusted)


def _records(user: str, advisor: str) -> st.SearchStrategy[Any]:
    return st.builds(
        OldRecord,
        key=st.integers(1, 9).map(str),
        user_id=st.just(user),
        advisor_id=st.just(advisor),
        chat_id=st.one_of(st.none(), _IDS, st.sampled_from(["gone1", "gone2"])),
        status=st.sampled_from([RUNNING, PAUSED, ENDED, ENDED, UNKNOWN]),
        started_at=_TIMES,
        ended_at=_TIMES,
        last_resumed_at=_TIMES,
        total_ms=_amounts(DURATION_MS_MAX),
        cost_micro=_amounts(AMOUNT_MAX),
        updated_at=st.integers(0, 100),
        points_elsewhere=st.sampled_from([False, False, False, True]),
        free_ms=st.one_of(st.integers(0, 100), _amounts(DURATION_MS_MAX)),
        rate_micro=st.sampled_from([None, None, 0, 10**6, AMOUNT_MAX + 1, -1]),
    )


def _chats(user: str, advisor: str) -> st.SearchStrategy[Any]:
    return st.builds(
        OldChat,
        chat_id=_IDS,
        user_id=st.just(user),
        advisor_id=st.just(advisor),
        created_at=_TIMES,
        ended_at=_TIMES,
        duration_ms=st.one_of(st.integers(0, 100), _amounts(DURATION_MS_MAX)),
    )
