"""Pairs as the owner's tables hold them, with everything ugly that such tables hold."""

from typing import Any

from hypothesis import strategies as st

from daemon.legacy.rules.rows import UNKNOWN, OldChat, OldRecord, Pair
from meterd.rules.model import ENDED, RUNNING

T = 1_763_632_800_000
"""2025-11-20 10:00 UTC."""
WORDS = {"true": RUNNING, "TRUE": RUNNING, "false": ENDED, "False": ENDED, "maybe": UNKNOWN}
_SECONDS = st.one_of(st.integers(0, 90), st.integers(0, 4_000))
_MOMENTS = st.integers(0, 5_000).map(lambda seconds: T + seconds * 1_000)
"""So few that sessions overlap, and some moments are the same."""


@st.composite
def owner_pairs(
    draw: st.DrawFn, user: str = "u1", advisor: str = "a1", *, is_clean: bool = False
) -> Pair:
    """A user and an advisor.

    Clean: no row is faulty; sums may disagree all the same, and chats may be gone.
    """
    numbers = draw(st.lists(st.integers(1, 6), unique=True, max_size=4))
    chats = [
        draw(_chats(f"{user}-{advisor}-c{number}", user, advisor, is_clean)) for number in numbers
    ]
    ids = [chat.chat_id for chat in chats] + [f"{user}-{advisor}-gone{n}" for n in (1, 2)]
    records = [
        draw(_records(str(number), user, advisor, ids, is_clean))
        for number in range(1, draw(st.integers(0, 5)) + 1)
    ]
    does_agree: bool = draw(st.booleans())
    if records and does_agree:
        records[-1] = _agreeing(records, chats)
    return Pair(user, advisor, records, chats)


def _agreeing(records: list[OldRecord], chats: list[OldChat]) -> OldRecord:
    """The last record, such that the sums agree if they can."""
    before_ms = sum(record.total_ms or 0 for record in records[:-1])
    missing_ms = sum(chat.duration_ms or 0 for chat in chats) - before_ms
    return records[-1]._replace(total_ms=max(0, missing_ms))


def _amounts(usual: st.SearchStrategy[int], is_clean: bool) -> st.SearchStrategy[Any]:
    return usual if is_clean else st.one_of(usual, usual, usual, st.sampled_from([-1_000, 10**16]))


def _chats(chat_id: str, user: str, advisor: str, is_clean: bool) -> st.SearchStrategy[OldChat]:
    return st.builds(
        OldChat,
        chat_id=st.just(chat_id),
        user_id=st.just(user),
        advisor_id=st.just(advisor),
        created_at=_MOMENTS,
        ended_at=st.none(),
        duration_ms=_amounts(_SECONDS.map(lambda s: s * 1_000), is_clean),
    )


def _records(
    key: str, user: str, advisor: str, chat_ids: list[str], is_clean: bool
) -> st.SearchStrategy[OldRecord]:
    words = [word for word, status in WORDS.items() if not is_clean or status != UNKNOWN]
    return st.builds(
        lambda word, **row: OldRecord(word=word, status=WORDS[word], **row),
        word=st.sampled_from(words),
        key=st.just(key),
        user_id=st.just(user),
        advisor_id=st.just(advisor),
        chat_id=st.sampled_from(chat_ids),
        started_at=_MOMENTS,
        ended_at=st.none(),
        last_resumed_at=st.none(),
        total_ms=_amounts(_SECONDS.map(lambda s: s * 1_000), is_clean),
        cost_micro=_amounts(st.integers(0, 2_000).map(lambda n: n * 10_000), is_clean),
        updated_at=_MOMENTS,
        free_ms=_amounts(st.integers(0, 60).map(lambda s: s * 1_000), is_clean),
    )
