"""What holds for money and time, at every millisecond of every stream."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given

from meterd.rules.billing import available, charge, cost
from meterd.rules.commands import Command, parse_entry
from meterd.rules.deadlines import next_due
from meterd.rules.fold import apply
from meterd.rules.model import Account, Chat, Policy
from meterd.rules.snapshots import chat_snapshot
from tests.rules.strategies import HALF, Run, Stream, fold, settle, settled, streams
from tests.world import World


@given(streams())
def test_no_account_is_ever_negative(stream: Stream) -> None:
    """Around every command and every due change, and at zero_at itself."""
    world = World(stream.policy)
    entries = settled(stream).entries
    for entry, following in pairwise(entries):
        world.feed(entry.id, entry.flat)
        for account in world.accounts.values():
            for at, then in _interesting(account, stream.policy, entry.at, following.at):
                assert available(then, at) >= 0


@given(streams())
def test_credits_last_up_to_zero_at_and_not_a_millisecond_longer(stream: Stream) -> None:
    """If nothing else happens; and without a zero_at nothing ever burns."""
    world = World(stream.policy)
    for entry in stream.entries:
        world.feed(entry.id, entry.flat)
        for account in world.accounts.values():
            if account.zero_at_ms is None:
                assert available(account, entry.at) == available(account, entry.at + 10**15)
            elif account.zero_at_ms >= entry.at:
                assert available(account, account.zero_at_ms) >= 0
                assert available(account, account.zero_at_ms + 1) < 0


@HALF
@given(streams())
def test_active_and_paused_time_are_what_the_events_tell(stream: Stream) -> None:
    """``ended_at − started_at = active_ms + paused_ms``, counted from the events alone."""
    run = fold(stream.policy, settled(stream).entries)
    for chat_id, (active_ms, paused_ms) in _times(run, settled(stream).end).items():
        chat = _chat(run.world, chat_id)
        shown = chat_snapshot(chat, settled(stream).end)
        carried_ms, before_ms = _carried(stream, run, chat)
        assert shown["active_ms"] == active_ms + carried_ms
        assert shown["paused_ms"] == paused_ms + before_ms - carried_ms
        if chat.ended_at_ms is not None:
            assert chat.ended_at_ms - chat.started_at_ms == shown["active_ms"] + shown["paused_ms"]


@HALF
@given(streams())
def test_no_credit_appears_or_gets_lost(stream: Stream) -> None:
    """Top-ups + refunds + adjustments = charges + open cost + available, by the ledger alone."""
    world = World(stream.policy)
    sums: dict[str, int] = defaultdict(int)
    for entry in settled(stream).entries:
        for line in world.feed(entry.id, entry.flat).ledger:
            sums[line.user_id] += line.amount_micro
            assert line.kind == "adjustment" or (line.amount_micro < 0) == (line.kind == "charge")
        for user_id, account in world.accounts.items():
            at = max(entry.at, account.as_of_ms)
            open_cost = sum(charge(chat, at) for chat in account.chats.values())
            assert sums[user_id] == open_cost + available(account, at)


@HALF
@given(streams())
def test_the_ledger_has_what_the_records_say(stream: Stream) -> None:
    """A chat is charged its cost less what it carried, when it ends; refunds likewise."""
    run = fold(stream.policy, settled(stream).entries)
    charged: dict[str, list[tuple[int, int]]] = defaultdict(list)
    refunded: dict[str, int] = defaultdict(int)
    for line in (line for result in run.results for line in result.ledger):
        if line.kind == "charge":
            charged[line.chat_id or ""].append((line.amount_micro, line.at_ms))
        if line.kind == "refund":
            refunded[line.chat_id or ""] += line.amount_micro
    for chat_id in run.world.owner:
        chat = _chat(run.world, chat_id)
        paid = cost(chat, chat.as_of_ms) - chat.carried_cost_micro
        due = [(-paid, chat.ended_at_ms)] if paid and chat.ended_at_ms is not None else []
        assert charged[chat_id] == due
        assert chat.refunded_micro == refunded[chat_id] <= cost(chat, chat.as_of_ms)


def _interesting(
    account: Account, policy: Policy, start: int, end: int
) -> Iterator[tuple[int, Account]]:
    """Milliseconds around what falls due, each with the account as it then is."""
    account = _later(account, policy, start)
    yield start, account
    for _ in range(50):
        due = next_due(account, policy)
        if due is None or due.at_ms >= end:
            break
        # What falls due at a millisecond happens after it was lived through: both can be seen.
        yield due.at_ms, account
        for at in (due.at_ms - 1, due.at_ms, due.at_ms + 1):
            if start <= at <= end:
                yield at, _later(account, policy, at)
        start, account = due.at_ms + 1, _later(account, policy, due.at_ms + 1)
    yield end, _later(account, policy, end)


def _later(account: Account, policy: Policy, at: int) -> Account:
    command = parse_entry(f"{at}-0", settle(account.user_id, "0-1").flat)
    assert isinstance(command, Command)
    return apply(account, command, policy).account


def _times(run: Run, end: int) -> dict[str, tuple[int, int]]:
    """Of each chat, the time between events: running, and not."""
    spans: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for event in (event for result in run.results for event in result.events):
        if event.chat_id is not None and event.event not in ("chat.rate_changed", "chat.refunded"):
            spans[event.chat_id].append((event.event, event.at_ms))
    times = {}
    for chat_id, changes in spans.items():
        last = [] if changes[-1][0] == "chat.ended" else [("now", end)]
        sums = [0, 0]
        for (name, at), (_, until) in zip(changes, [*changes[1:], *last], strict=False):
            sums[name not in ("chat.started", "chat.resumed")] += until - at
        times[chat_id] = (sums[0], sums[1])
    return times


def _carried(stream: Stream, run: Run, chat: Chat) -> tuple[int, int]:
    """What an adopted chat imported: active time, and all time since it started elsewhere."""
    for result in run.results:
        if any((e.event, e.chat_id) == ("chat.started", chat.chat_id) for e in result.events):
            entry = next(e for e in stream.entries if e.id == result.entry)
            began = int(entry.fields.get("started_at", entry.at))
            assert chat.started_at_ms == began
            return int(entry.fields.get("carried_ms", 0)), entry.at - began
    raise AssertionError("every chat starts")


def _chat(world: World, chat_id: str) -> Chat:
    chat = world.chat(chat_id)
    assert chat is not None
    return chat
