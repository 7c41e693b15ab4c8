"""Free time that chats share: by its definition, millisecond by millisecond; conserved; linear."""

from typing import NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd.rules import billing, free_time
from meterd.rules.commands import Command, parse_entry
from meterd.rules.fold import Decision, apply
from meterd.rules.model import Account, Chat, Policy, Tariff
from meterd.rules.snapshots import chat_snapshot
from tests.rules.strategies import HALF, SMALL, T0, Stream, flat, settled, streams
from tests.world import World

MINUTE = 60_000


class Sharing(NamedTuple):
    """A chat of one scope, as it is at T0."""

    chat_id: str
    is_running: bool
    limit_ms: int
    free_used_ms: int
    paid_ms: int


sharings = st.lists(
    st.builds(
        Sharing,
        chat_id=st.sampled_from("abcdefgh"),
        is_running=st.sampled_from([True, True, True, False]),
        limit_ms=st.sampled_from([0, 20, 20, 40]) | st.integers(0, 60),
        free_used_ms=st.integers(0, 20),
        paid_ms=st.sampled_from([0, 0, 0, 5]),
    ),
    max_size=6,
    unique_by=lambda sharing: sharing.chat_id,
)


def gains_by_definition(chats: list[Sharing], used_ms: int) -> dict[str, int]:
    """What each will still get, by letting them take turns."""
    gains = {chat.chat_id: 0 for chat in chats if chat.is_running and not chat.paid_ms}
    limits = {chat.chat_id: chat.limit_ms for chat in chats}
    for turn in range(10_000):
        takers = [k for k in sorted(gains) if gains[k] == turn]  # time so far was all free
        if not takers:
            return gains
        for chat_id in takers:
            if limits[chat_id] > used_ms:
                used_ms += 1
                gains[chat_id] += 1
    raise AssertionError("free time ends")


@given(sharings, st.integers(0, 60))
def test_a_share_is_what_taking_turns_gives(chats: list[Sharing], used_ms: int) -> None:
    """In any order of limits, whatever the scope has used; who has paid or waits gets nothing."""
    found = free_time.free_ms_of(map(_chat, chats), {"user": used_ms}, T0)
    expected = gains_by_definition(chats, used_ms)
    used_before = {chat.chat_id: chat.free_used_ms for chat in chats}
    assert found == {k: used_before[k] + gain for k, gain in expected.items()}


@HALF
@given(streams(SMALL, users=("u1",)))
def test_a_scope_uses_what_its_chats_use_and_forgets_nothing(stream: Stream) -> None:
    """Each millisecond of free time counts once, across chats; adopting only sets a least."""
    world = World(stream.policy)
    used: dict[str, int] = {}
    before: dict[str, int] = {}
    for entry in settled(stream).entries:
        adopted = entry.fields.get("type") == "adopt"
        world.feed(entry.id, entry.flat)
        # A command about nobody's chat leaves what was due before it to be done.
        seq = int(entry.id.partition("-")[2])
        world.feed(f"{entry.at}-{seq + 1}", flat({"type": "settle", "user_id": "u1"}))
        account = world.accounts.get("u1", Account("u1"))
        after = free_time.used_ms(account, max(entry.at, account.as_of_ms))
        by_chats = _used_by_chats(world, entry.at)
        for key, used_ms in after.items():
            grown = by_chats.get(key, 0) - before.get(key, 0)
            assert used_ms >= used.get(key, 0)
            if not adopted:
                assert used_ms == used.get(key, 0) + grown
        used, before = {**used, **after}, by_chats


@HALF
@given(streams(SMALL, users=("u1",)), st.integers(0, 40))
def test_a_settle_between_moves_no_free_time(stream: Stream, wait_ms: int) -> None:
    """Counting what was used at any millisecond changes no chat's share and no zero_at."""
    world, other = World(stream.policy), World(stream.policy)
    for n, entry in enumerate(stream.entries):
        world.feed(entry.id, entry.flat)
        other.feed(entry.id, entry.flat)
        between = entry.at + wait_ms
        if n + 1 < len(stream.entries) and between < stream.entries[n + 1].at:
            other.feed(f"{between}-{10**9}", flat({"type": "settle", "user_id": "u1"}))
    at = stream.end + 100
    for one in (world, other):
        one.feed(f"{at}-{10**9}", flat({"type": "settle", "user_id": "u1"}))
    assert world.accounts == other.accounts


@HALF
@given(streams(SMALL, users=("u1",)))
def test_a_snapshot_shows_where_free_time_ends(stream: Stream) -> None:
    """If nothing else changes: a running chat is billed nothing up to its ``free_ms``."""
    world = World(stream.policy)
    for entry in stream.entries:
        world.feed(entry.id, entry.flat)
    for account in world.accounts.values():
        for chat in account.chats.values():
            left_ms = chat.free_ms - billing.active_ms(chat, account.as_of_ms)
            if chat.status == "running" and free_time.shares(chat) and left_ms >= 0:
                free_until = account.as_of_ms + left_ms
                assert chat_snapshot(chat, free_until)["billed_ms"] == 0
                assert billing.begun_ms(chat, chat.free_ms + 1) > 0


def _used_by_chats(world: World, at: int) -> dict[str, int]:
    """What the chats of each scope have used by ``at``, ended ones included."""
    used: dict[str, int] = {}
    for chat in map(world.chat, world.owner):
        if chat is not None and free_time.shares(chat):
            key = free_time.scope_key(chat.free_scope, chat.advisor_id)
            moment = max(at, chat.since_ms)
            used_ms = min(chat.free_ms, billing.active_ms(chat, moment))
            used[key] = used.get(key, 0) + used_ms
    return used


def _chat(sharing: Sharing) -> Chat:
    active_ms = sharing.free_used_ms + sharing.paid_ms
    return Chat(
        chat_id=sharing.chat_id,
        user_id="u1",
        advisor_id="v",
        status="running" if sharing.is_running else "paused",
        started_at_ms=T0 - active_ms,
        since_ms=T0,
        as_of_ms=T0,
        alive_at_ms=T0,
        rate_micro=1,
        free_ms=sharing.free_used_ms,
        min_ms=0,
        increment_ms=1,
        idle_ms=0,
        active_ms=active_ms,
        free_scope="user",
        free_limit_ms=sharing.limit_ms,
    )


# What a change of a big account costs: counted, not timed.

SUSPENDING = Policy(at_zero="suspend", grace_ms=1_000, warn_ms=(), open_chats_max=0)
LINEAR = Tariff(rate_micro=1_000_000)
SHARED = LINEAR._replace(free_ms=MINUTE, free_scope="advisor")
SILENT = LINEAR._replace(abandon_ms=1_000)


def _run(account: Account, policy: Policy, at: int, **fields: str) -> tuple[Decision, int]:
    """Apply one command; with how often time was billed and what it cost."""
    command = parse_entry(f"{at}-0", flat({"user_id": "u", **fields}))
    assert isinstance(command, Command), command
    with (
        patch.object(billing, "billed_ms", wraps=billing.billed_ms) as billed,
        patch.object(billing, "begun_ms", wraps=billing.begun_ms) as begun,
    ):
        decision = apply(account, command, policy)
    return decision, billed.call_count + begun.call_count


def _opened(count: int, tariff: Tariff, credits_: str) -> Account:
    """An account with so many chats that run at once, as starts would have opened them."""
    policy = SUSPENDING._replace(tariff=tariff)
    account, _ = _run(Account("u"), policy, T0, type="top_up", id="i", amount=credits_)
    chats = {}
    one, _ = _run(
        account.account, policy, T0 + 1, type="start", id="i", chat_id="c", advisor_id="v"
    )
    (chat,) = one.account.chats.values()
    for number in range(count):
        chats[f"c{number}"] = chat._replace(chat_id=f"c{number}", free_ms=0)
    opened = one.account._replace(chats=chats)
    moved, _ = _run(opened, policy, T0 + 1, type="top_up", id="i", amount="0.000001")
    return moved.account


def _cost_of_life(count: int, tariff: Tariff) -> tuple[int, int, int]:
    """What exhausting, waking and ending so many chats costs."""
    policy = SUSPENDING._replace(tariff=tariff)
    account = _opened(count, tariff, str(count))
    free_ms = MINUTE if tariff.free_ms else 0
    zero = account.zero_at_ms or T0 + MINUTE + free_ms
    stopped, exhausting = _run(account, policy, zero + 1, type="settle")
    woken, waking = _run(
        stopped.account, policy, zero + 500, type="top_up", id="i", amount=str(count)
    )
    statuses = {chat.status for chat in woken.account.chats.values()}
    assert statuses <= {"running"}
    later = zero + 500 + 10 * MINUTE
    ended, ending = _run(woken.account, policy, later, type="top_up", id="i", amount="1")
    assert not ended.account.chats or tariff is not SILENT
    return exhausting, waking, ending


@pytest.mark.parametrize("tariff", [LINEAR, SHARED, SILENT])
def test_a_change_of_many_chats_costs_in_proportion_to_them(tariff: Tariff) -> None:
    """Four times the chats cost about four times as much to stop, to wake and to end."""
    few, many = _cost_of_life(50, tariff), _cost_of_life(200, tariff)
    for cost_of_few, cost_of_many in zip(few, many, strict=True):
        assert cost_of_many <= 5 * cost_of_few
