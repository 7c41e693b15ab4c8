"""Each chat's own duration, and its cost by the time paid for, against the rules in words."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.legacy.rules.rows import (
    CHAT,
    CHAT_DURATION,
    CHATS_EXCEED,
    TRUST_CHATS,
    TRUST_RECORDS,
    UNKNOWN,
    Division,
    OldRecord,
    Pair,
    Split,
)
from daemon.legacy.rules.split import split
from meterd.rules.model import ENDED, RUNNING
from tests.legacy.owner_pairs import owner_pairs

DIVISION = Division(CHAT_DURATION, are_sessions=True, has_ends=False, has_free_time=True)


def times(done: Split) -> dict[str, int]:
    """What each chat has, ended or running."""
    return {one.chat_id: one.active_ms for one in done.imported} | {
        one.chat_id: one.carried_ms for one in done.running
    }


def costs(done: Split) -> dict[str, int]:
    return {one.chat_id: one.cost_micro for one in done.imported} | {
        one.chat_id: one.carried_cost_micro for one in done.running
    }


def _newest(pair: Pair) -> OldRecord:
    return max(pair.records, key=lambda r: (r.started_at or 0, r.updated_at, int(r.key)))


def _walk(pair: Pair) -> list[str]:
    """The chats in the order in which they began; one that is gone began with its first row."""
    starts = {chat.chat_id: chat.created_at or 0 for chat in pair.chats}
    for record in pair.records:
        if record.chat_id is not None and record.chat_id not in {c.chat_id for c in pair.chats}:
            began = min(starts.get(record.chat_id, 10**15), record.started_at or 0)
            starts[record.chat_id] = began
    return sorted(starts, key=lambda chat_id: (starts[chat_id], chat_id))


def expected_times(pair: Pair) -> dict[str, int] | None:
    """None: the chats say more than the records."""
    own = {chat.chat_id: chat.duration_ms or 0 for chat in pair.chats}
    rest = sum(r.total_ms or 0 for r in pair.records) - sum(own.values())
    if rest < 0:
        return None
    found = {chat_id: own.get(chat_id, 0) for chat_id in _walk(pair)}
    for chat_id in _walk(pair):
        if chat_id not in own:
            said = sum(r.total_ms or 0 for r in pair.records if r.chat_id == chat_id)
            found[chat_id] = min(rest, said)
            rest -= found[chat_id]
    if rest:
        found[str(_newest(pair).chat_id)] += rest
    return found


@given(owner_pairs(is_clean=True))
def test_a_chat_has_its_own_time_and_the_rest_goes_to_the_newest_record(pair: Pair) -> None:
    """Or all of the pair is set aside, with what its records have counted."""
    done, wanted = split(pair, DIVISION), expected_times(pair)
    if wanted is not None:
        assert (times(done), done.quarantined) == (wanted, [])
        return
    assert (done.imported, done.running, done.free_used_ms) == ([], [], 0)
    assert {(q.kind, q.key, q.reason) for q in done.quarantined} == {
        (CHAT, chat_id, CHATS_EXCEED) for chat_id in _walk(pair)
    }
    said = sum(record.total_ms or 0 for record in pair.records)
    assert sum(one.total_ms for one in done.quarantined) == said


@given(owner_pairs(is_clean=True))
def test_the_cost_goes_by_the_time_that_was_paid_for(pair: Pair) -> None:
    """Free time is used up from the first second on; no share is a micro-credit off."""
    done = split(pair, DIVISION)
    got, paid, left = times(done), dict[str, int](), sum(r.free_ms or 0 for r in pair.records)
    if not got:
        return
    for chat_id in _walk(pair):
        free = min(left, got[chat_id])
        left, paid[chat_id] = left - free, got[chat_id] - free
    cost, whole = sum(r.cost_micro or 0 for r in pair.records), sum(paid.values())
    assert sum(costs(done).values()) == cost
    for chat_id, share in costs(done).items():
        if whole:
            assert abs(share - Fraction(cost * paid[chat_id], whole)) < 1
    for one in done.running:
        assert one.free_ms == got[one.chat_id] - paid[one.chat_id]


@given(owner_pairs(is_clean=True))
def test_a_chat_runs_if_an_active_row_points_to_it(pair: Pair) -> None:
    """And the free time used is the greatest of the rows; every other chat keeps its beginning."""
    done = split(pair, DIVISION)
    active = {record.chat_id for record in pair.records if record.status == RUNNING}
    if expected_times(pair) is not None:
        assert {one.chat_id for one in done.running} == active
        assert done.free_used_ms == max((r.free_ms or 0 for r in pair.records), default=0)
    else:
        assert {one.chat_id for one in done.quarantined if one.status} == active
    created = {chat.chat_id: chat.created_at for chat in pair.chats}
    for one in done.imported:
        assert one.started_at == created.get(one.chat_id, one.started_at)


@given(owner_pairs())
def test_nothing_that_may_run_is_ended(pair: Pair) -> None:
    """Whatever its rows hold: a word that nobody knows, or amounts that can't be."""
    done = split(pair, DIVISION)
    open_ = {record.chat_id for record in pair.records if record.status != ENDED}
    assert open_.isdisjoint(one.chat_id for one in done.imported)
    unknown = {record.chat_id for record in pair.records if record.status == UNKNOWN}
    assert unknown.isdisjoint(one.chat_id for one in done.running)
    named = {one.chat_id for one in done.running} | {q.chat_id for q in done.quarantined}
    assert open_ <= named


@given(owner_pairs(is_clean=True), st.sampled_from([TRUST_CHATS, TRUST_RECORDS]))
@settings(max_examples=50)
def test_whoever_is_trusted_is_right(pair: Pair, whom: str) -> None:
    """Chats have their own time, with what the records lack counted; or the records' in all."""
    done = split(pair._replace(trusted=whom), DIVISION)
    said = sum(record.total_ms or 0 for record in pair.records)
    own = {chat.chat_id: chat.duration_ms or 0 for chat in pair.chats}
    assert done.quarantined == []
    assert sum(times(done).values()) == said + done.surplus_ms
    if sum(own.values()) > said:
        assert done.surplus_ms == (sum(own.values()) - said if whom == TRUST_CHATS else 0)
        assert whom == TRUST_RECORDS or times(done).items() >= own.items()
