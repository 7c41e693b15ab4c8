"""Snapshots: enough to draw a clock and a balance without asking again (PROTOCOL 4)."""

import json

from hypothesis import given
from hypothesis import strategies as st

from meterd.rules.billing import available, cost
from meterd.rules.commands import Command, parse_entry
from meterd.rules.deadlines import next_due
from meterd.rules.fold import apply
from meterd.rules.model import PAUSED, RUNNING, Account, Chat
from meterd.rules.money import format_micro
from meterd.rules.snapshots import (
    chat_from_snapshot,
    chat_snapshot,
    no_wallet,
    not_started,
    wallet_snapshot,
)
from tests.rules.strategies import HALF, Entry, Stream, flat, fold, settled, streams
from tests.world import World

CHAT = (
    "chat_id", "user_id", "advisor_id", "status", "as_of", "started_at", "ended_at", "end_reason",
    "pause_reason", "active_ms", "paused_ms", "billed_ms", "cost", "refunded", "rate", "free_ms",
    "free_scope", "min_ms", "increment_ms", "increment_due", "idle_ms", "abandon_ms", "max_ms",
    "seq",
)  # fmt: skip
WALLET = ("user_id", "as_of", "balance", "burn_rate", "zero_at", "open_chats", "seq")


@HALF
@given(streams(), st.integers(0, 10**7))
def test_a_running_clock_can_be_drawn_from_one_snapshot(stream: Stream, later_ms: int) -> None:
    """``active_ms + (now − as_of)``, up to what falls due next; any other clock stands still."""
    world = fold(stream.policy, settled(stream).entries).world
    for account in world.accounts.values():
        now = max(settled(stream).end, account.as_of_ms)
        due = next_due(account, stream.policy)
        later = now + later_ms if due is None else min(now + later_ms, max(due.at_ms, now))
        for chat in account.chats.values():
            first, second = chat_snapshot(chat, now), chat_snapshot(chat, later)
            running = first["status"] == "running"
            drawn_ms = first["active_ms"] + (later - first["as_of"] if running else 0)
            assert second["active_ms"] == drawn_ms
            assert second["seq"] == first["seq"]


@HALF
@given(streams())
def test_a_snapshot_shows_time_without_gaps(stream: Stream) -> None:
    """Active and paused time add up to what has passed since the start, or up to the end."""
    world = fold(stream.policy, settled(stream).entries).world
    for chat in _chats(world):
        shown = chat_snapshot(chat, settled(stream).end)
        until = shown["as_of"] if shown["ended_at"] is None else shown["ended_at"]
        assert until - shown["started_at"] == shown["active_ms"] + shown["paused_ms"]
        assert min(shown["active_ms"], shown["paused_ms"], shown["billed_ms"]) >= 0
        assert tuple(n for n in shown if n != "carried_cost") == CHAT
        carried = chat.carried_cost_micro and format_micro(chat.carried_cost_micro)
        assert shown.get("carried_cost", 0) == carried


@HALF
@given(streams(), st.integers(0, 10**12))
def test_an_ended_chat_looks_the_same_for_ever(stream: Stream, at: int) -> None:
    """Whenever it is asked for."""
    world = fold(stream.policy, settled(stream).entries).world
    for chat in world.ended.values():
        assert chat_snapshot(chat, at) == chat_snapshot(chat, chat.as_of_ms)
        assert chat_snapshot(chat, at)["as_of"] == chat.as_of_ms >= (chat.ended_at_ms or 0)


@HALF
@given(streams(), st.integers(1, 10**9))
def test_a_chat_read_from_its_snapshot_is_refunded_like_the_chat_itself(
    stream: Stream, amount: int
) -> None:
    """Same outcome, same ledger, same snapshot afterwards: the snapshot is all that is kept."""
    world = fold(stream.policy, settled(stream).entries).world
    for chat in world.ended.values():
        shown = chat_snapshot(chat, chat.as_of_ms)
        read = chat_from_snapshot(json.loads(json.dumps(shown)))
        assert chat_snapshot(read, 0) == shown
        left = cost(chat, chat.as_of_ms) - chat.refunded_micro
        for micro in {amount, left, left + 1} - {0}:
            _check_refund(stream, world.accounts[chat.user_id], (chat, read), micro)


def test_a_chat_of_any_cost_can_be_read_from_its_snapshot() -> None:
    """Also one that cost more than a single command can carry."""
    chat = Chat(
        "c", "u", "v", "ended", 0, 9, 9, 0, 10**15 - 1, 0, 0, 1, 0,
        active_ms=9, owed_rate_ms=(10**15 + 7) * 60_000, carried_cost_micro=10**15 - 1,
        refunded_micro=10**15 + 1,
        ended_at_ms=9, end_reason="ended", seq=2,
    )  # fmt: skip
    read = chat_from_snapshot(chat_snapshot(chat, 9))
    assert read.carried_cost_micro == chat.carried_cost_micro
    assert cost(read, 9) == cost(chat, 9) == 2 * 10**15 + 6
    assert read.refunded_micro == chat.refunded_micro


@HALF
@given(streams())
def test_a_wallet_shows_what_is_available(stream: Stream) -> None:
    """Now, how fast it falls, when it is used up, and how many chats draw on it."""
    world = fold(stream.policy, settled(stream).entries).world
    for account in world.accounts.values():
        at = max(settled(stream).end, account.as_of_ms)
        shown = wallet_snapshot(account, at)
        assert tuple(shown) == WALLET
        assert int(shown["balance"].replace(".", "")) == available(account, at)
        assert shown["open_chats"] == len(account.chats)
        assert (shown["zero_at"] is None) == (
            not any(c.status == "running" and c.rate_micro for c in account.chats.values())
        )


def test_the_burn_rate_is_that_of_the_chats_that_cost_now() -> None:
    """Neither a free chat nor one that is paused, nor one in a minute already paid."""
    chats = {
        name: Chat(
            name, "u", "v", PAUSED if name == "is paused" else RUNNING, 0, 0, 0, 0,
            rate_micro=rate, free_ms=free_ms, min_ms=0, increment_ms=increment_ms, idle_ms=0,
        )
        for name, rate, free_ms, increment_ms in [
            ("burns", 1, 0, 1),
            ("burns too", 20, 0, 1),
            ("is free", 300, 99, 1),
            ("is paused", 4_000, 0, 1),
            ("was paid", 50_000, 0, 60_000),
        ]
    }  # fmt: skip
    account = Account("u", settled_micro=10**9, chats=chats)
    assert wallet_snapshot(account, 50)["burn_rate"] == "0.000021"
    assert wallet_snapshot(account, 99)["burn_rate"] == "0.000321"
    assert wallet_snapshot(account, 60_000)["burn_rate"] == "0.050321"


def test_a_chat_that_never_started_is_an_answer() -> None:
    """``status: not_started``, zeros, null times, and not the words of the old system."""
    shown = not_started("c9")
    assert tuple(shown) == CHAT
    assert (shown["chat_id"], shown["status"]) == ("c9", "not_started")
    assert shown["as_of"] is shown["started_at"] is shown["ended_at"] is None
    durations = {shown[name] for name in CHAT if name.endswith("_ms")}
    assert durations == {shown["seq"]} == {0}
    assert {shown[name] for name in ("cost", "refunded", "rate")} == {"0.000000"}
    assert "No active time" not in json.dumps(shown)


def test_an_account_without_credits_is_an_answer() -> None:
    """Zeros and null times."""
    assert no_wallet("u9") == {
        "user_id": "u9", "as_of": None, "balance": "0.000000", "burn_rate": "0.000000",
        "zero_at": None, "open_chats": 0, "seq": 0,
    }  # fmt: skip


def _chats(world: World) -> list[Chat]:
    chats = [world.chat(chat_id) for chat_id in world.owner]
    return [chat for chat in chats if chat is not None]


def _check_refund(
    stream: Stream, account: Account, chats: tuple[Chat, Chat], amount_micro: int
) -> None:
    at = max(settled(stream).end, account.as_of_ms)
    whole, micro = divmod(amount_micro, 10**6)
    if whole >= 10**9:
        return
    fields = {"type": "refund", "id": "r", "chat_id": chats[0].chat_id}
    fields["amount"] = f"{whole}.{micro:06d}"
    entry = Entry(f"{at}-{10**9}", flat(fields))
    command = parse_entry(*entry)
    assert isinstance(command, Command)
    one, other = (apply(account, command, stream.policy, known=chat) for chat in chats)
    assert (one.outcome, one.ledger, one.events) == (other.outcome, other.ledger, other.events)
    assert one.account == other.account
    snapshots = [[chat_snapshot(c, at) for c in d.touched.values()] for d in (one, other)]
    assert snapshots[0] == snapshots[1]
