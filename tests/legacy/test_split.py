"""How a pair's time is divided: nothing is lost, nothing is there twice."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.legacy.rules.rows import (
    CHAT,
    DUPLICATE,
    LATEST,
    PROPORTIONAL,
    RECORD,
    TRUST_CHATS,
    Division,
    OldChat,
    OldRecord,
    Pair,
    Quarantined,
    Split,
)
from daemon.legacy.rules.shares import largest_remainder
from daemon.legacy.rules.split import split
from meterd.rules.model import ENDED, RUNNING
from persistence.postgres.convert import MOMENT_MS_MAX
from tests.legacy.strategies import divisions, pairs

DEFAULTS = (Division(LATEST), Division(PROPORTIONAL))


def amounts(done: Split) -> tuple[int, int]:
    ms = [b.active_ms for b in done.imported] + [r.carried_ms for r in done.running]
    micro = [b.cost_micro for b in done.imported] + [r.carried_cost_micro for r in done.running]
    ms += [a.total_ms for a in done.quarantined]
    micro += [a.cost_micro for a in done.quarantined]
    return sum(ms), sum(micro)


@given(pairs(), divisions())
def test_what_comes_out_is_what_went_in(pair: Pair, division: Division) -> None:
    """Milliseconds and micro-credits, exactly; but for time that trusted chats have beyond."""
    total_ms = sum(record.total_ms or 0 for record in pair.records)
    total_micro = sum(record.cost_micro or 0 for record in pair.records)
    done = split(pair, division)
    assert amounts(done) == (total_ms + done.surplus_ms, total_micro)
    assert not done.surplus_ms or pair.trusted == TRUST_CHATS


@given(pairs(), divisions())
def test_every_chat_and_every_record_comes_out_once(pair: Pair, division: Division) -> None:
    """A chat is imported, runs or is set aside; one that only a record names may be set aside."""
    done = split(pair, division)
    imported = [one.chat_id for one in done.imported]
    running = [one.chat_id for one in done.running]
    aside = [one.key for one in done.quarantined if one.kind == CHAT]
    once = imported + running + aside
    assert len(once) == len(set(once))
    assert {chat.chat_id for chat in pair.chats} <= set(once)
    records = [one.key for one in done.quarantined if one.kind == RECORD]
    assert len(records) == len(set(records))
    usable = [record for record in pair.records if record.key not in records]
    assert {record.chat_id for record in usable if record.chat_id is not None} <= set(once)


@given(pairs(), divisions())
def test_a_chat_can_be_stored(pair: Pair, division: Division) -> None:
    """Its times add up and are times; nothing is negative."""
    for one in split(pair, division).imported:
        assert 0 <= one.started_at <= one.ended_at <= MOMENT_MS_MAX
        assert one.active_ms >= 0
        assert one.paused_ms >= 0
        assert one.cost_micro >= 0
        assert one.active_ms + one.paused_ms == one.ended_at - one.started_at


@given(pairs(), divisions(), st.randoms())
def test_the_order_of_rows_does_not_matter(pair: Pair, division: Division, random: object) -> None:
    """Tables have none."""
    records, chats = list(pair.records), list(pair.chats)
    random.shuffle(records)  # type: ignore[attr-defined]
    random.shuffle(chats)  # type: ignore[attr-defined]
    first = split(pair, division)
    second = split(pair._replace(records=records, chats=chats), division)
    assert [sorted(part, key=repr) for part in first[:3]] == [
        sorted(part, key=repr) for part in second[:3]
    ]


def test_of_two_rows_of_a_chat_the_one_with_a_start_counts() -> None:
    """In whatever order they come, also where the other one starts at 0."""
    for start in (0, 5):
        rows = [OldChat("c1", "u", "a", start, None), OldChat("c1", "u", "a", None, None)]
        for chats in (rows, rows[::-1]):
            done = split(Pair("u", "a", [], chats), Division(LATEST))
            assert [one.started_at for one in done.imported] == [start]


@given(pairs())
def test_latest_gives_nothing_to_chats_that_no_record_points_to(pair: Pair) -> None:
    """Except the newest, if a record points nowhere."""
    done = split(pair, Division(LATEST))
    pointed = {record.chat_id for record in pair.records}
    if None not in pointed:
        left = [one for one in done.imported if one.chat_id not in pointed]
        assert all(one.active_ms == one.cost_micro == 0 for one in left)


@given(
    st.integers(0, 10**18),
    st.lists(st.integers(0, 10**13), min_size=1, max_size=20).filter(any),
)
def test_the_largest_remainder_is_within_one_of_exact(total: int, weights: list[int]) -> None:
    """And the shares add up; no weight, no share."""
    shares = largest_remainder(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - Fraction(total * weight, sum(weights))) < 1
        assert weight or not share


def _record(key: str, chat_id: str | None, status: str, total_ms: int, cost: int) -> OldRecord:
    return OldRecord(key, "u", "a", chat_id, status, 0, None, 500, total_ms, cost, 1_000)


def test_an_example_of_each_policy() -> None:
    """Two chats of 600 and 300 ms, and a record that points to the second."""
    pair = Pair(
        "u", "a", [_record("1", "c2", ENDED, 100, 10)],
        [OldChat("c1", "u", "a", 0, 600), OldChat("c2", "u", "a", 700, 1_000)],
    )  # fmt: skip
    latest, proportional = (split(pair, division).imported for division in DEFAULTS)
    assert [(one.chat_id, one.active_ms, one.cost_micro) for one in latest] == [
        ("c1", 0, 0),
        ("c2", 100, 10),
    ]
    assert [(one.chat_id, one.active_ms, one.cost_micro) for one in proportional] == [
        ("c1", 67, 7),
        ("c2", 33, 3),
    ]


def test_a_chat_that_runs_is_left_for_its_adoption() -> None:
    """With all that is counted for it, and up to when."""
    pair = Pair(
        "u", "a", [_record("1", "c1", RUNNING, 100, 10)], [OldChat("c1", "u", "a", 0, None)]
    )  # fmt: skip
    done = split(pair, Division(LATEST))
    assert not done.imported
    assert done.running[0][3:8] == (RUNNING, 0, 500, 100, 10)


def test_a_pair_without_any_chat_that_can_be_stored() -> None:
    """What was counted is set aside."""
    pair = Pair("u", "a", [_record("1", None, ENDED, 100, 10)], [])
    assert [one.reason for one in split(pair, Division(LATEST)).quarantined] == [
        "record_without_chat"
    ]


def test_more_time_than_there_was_since_1970() -> None:
    """The chat begins then, and ends later."""
    pair = Pair(
        "u", "a", [_record("1", "c1", ENDED, 5_000, 0)], [OldChat("c1", "u", "a", 7, 9)]
    )  # fmt: skip
    (one,) = split(pair, Division(LATEST)).imported
    assert (one.started_at, one.ended_at, one.paused_ms) == (0, 5_000, 0)


def test_of_two_records_of_one_chat_the_later_one_counts() -> None:
    """The one that was written last, of the same moment the one with the higher key; the other is
    set aside as a duplicate, with what it had counted."""
    rows = [("3", 10, 300, 30), ("1", 20, 100, 10), ("2", 20, 200, 20)]
    older, later, same_moment = (
        _record(key, "c1", ENDED, total_ms, cost)._replace(updated_at=updated_at)
        for key, updated_at, total_ms, cost in rows
    )
    chat = OldChat("c1", "u", "a", 0, 600)
    for division in DEFAULTS:
        done = split(Pair("u", "a", [later, older], [chat]), division)
        assert [(one.active_ms, one.cost_micro) for one in done.imported] == [(100, 10)]
        assert done.quarantined == [Quarantined(RECORD, "3", DUPLICATE, 300, 30)]
        done = split(Pair("u", "a", [same_moment, later], [chat]), division)
        assert [(one.active_ms, one.cost_micro) for one in done.imported] == [(200, 20)]
        assert done.quarantined == [Quarantined(RECORD, "1", DUPLICATE, 100, 10)]


def test_of_two_rows_of_one_chat_the_earlier_one_counts() -> None:
    """The one that began first, of the same beginning the one that ended first."""
    first, second, longer = (
        OldChat("c1", "u", "a", started_at, ended_at)
        for started_at, ended_at in [(0, 600), (100, 400), (0, 900)]
    )
    for rows in ([first, second, longer], [longer, second, first]):
        (one,) = split(Pair("u", "a", [], rows), Division(LATEST)).imported
        assert (one.started_at, one.ended_at) == (0, 600)


@pytest.mark.parametrize(
    ("total", "weights", "shares"),
    [
        (1, [1, 1], [1, 0]),
        (2, [1, 1, 1], [1, 1, 0]),
        (5, [1, 2, 1], [1, 3, 1]),  # the largest remainder first, whatever its place
        (3, [1, 0, 1], [2, 0, 1]),
    ],
)
def test_the_earlier_one_gets_the_tie(total: int, weights: list[int], shares: list[int]) -> None:
    """Of equal remainders: what does not divide goes to the chats that began first."""
    assert largest_remainder(total, weights) == shares


def test_the_older_chat_gets_the_tie() -> None:
    """Two chats of the same span, and one millisecond and one micro-credit to divide."""
    chats = [OldChat("c2", "u", "a", 700, 1_000), OldChat("c1", "u", "a", 0, 300)]
    done = split(Pair("u", "a", [_record("1", "c2", ENDED, 1, 1)], chats), Division(PROPORTIONAL))
    assert [(one.chat_id, one.active_ms, one.cost_micro) for one in done.imported] == [
        ("c1", 1, 1),
        ("c2", 0, 0),
    ]


@pytest.mark.parametrize(
    ("points_to", "gets_all"), [("c1", "c1"), ("c2", "c2"), ("c3", "c3"), (None, "c3")]
)
def test_chats_without_a_span_share_nothing(points_to: str | None, gets_all: str) -> None:
    """All goes to the chat that the record points to; if it points nowhere, to the newest."""
    chats = [OldChat(f"c{n}", "u", "a", n * 100, n * 100) for n in (1, 2, 3)]
    record = _record("1", points_to, ENDED, 90, 9)
    done = split(Pair("u", "a", [record], chats), Division(PROPORTIONAL))
    counted = {one.chat_id: (one.active_ms, one.cost_micro) for one in done.imported}
    assert counted == {**dict.fromkeys(["c1", "c2", "c3"], (0, 0)), gets_all: (90, 9)}
