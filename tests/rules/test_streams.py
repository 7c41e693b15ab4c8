"""What holds for every stream of commands, whoever sends it."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from meterd.rules import outcomes
from meterd.rules.commands import Command, InvalidCommand, parse_entry
from meterd.rules.fold import apply
from meterd.rules.free_time import shares
from meterd.rules.model import Account, Chat, Event, LedgerEntry, Policy
from tests.rules.strategies import (
    ANY,
    HALF,
    ROOM,
    T0,
    Entry,
    Run,
    Stream,
    accounts,
    flat,
    fold,
    settle,
    settled,
    streams,
)
from tests.world import World


@given(streams(), st.data())
def test_a_settle_put_in_anywhere_changes_nothing(stream: Stream, data: st.DataObject) -> None:
    """Lateness and earliness of the daemon leave no trace: not one event, not one micro-credit."""
    stream = settled(stream)
    more = list(stream.entries)
    for _ in range(data.draw(st.integers(1, 5), "settles")):
        place = data.draw(st.integers(1, len(stream.entries) - 1), "place")
        before, after = stream.entries[place - 1], stream.entries[place]
        at = data.draw(st.integers(before.at, after.at), "at")
        number = place * ROOM - 5 if at < after.at else _number(after) - 1
        user_id = data.draw(st.sampled_from(["u1", "u2", "u3", "u9"]), "user")
        more.append(settle(user_id, f"{at}-{number}"))
    _check_same(fold(stream.policy, stream.entries), fold(stream.policy, _in_order(more)))


@given(streams(), st.data())
def test_a_repeated_command_changes_nothing_and_gets_the_first_outcome(
    stream: Stream, data: st.DataObject
) -> None:
    """Whatever has happened since, and whoever is to have the reply."""
    stream = settled(stream)
    number = data.draw(st.integers(0, len(stream.entries) - 1), "which")
    repeat, later, run = _repeated(stream, number, data, [])
    plain = fold(stream.policy, stream.entries)
    first = _first_outcome(stream, plain, number)
    _check_same(plain, run)
    result = next(r for r in run.results if r.entry == later.id)
    assert result.outcome == first
    assert all(line.command_id is None for line in result.ledger)  # what was due, at most
    settles = "id" not in repeat.fields
    assert result.replayed == (
        not settles and first not in (outcomes.INVALID_COMMAND, outcomes.ID_CONFLICT)
    )


@HALF
@given(streams(), st.data())
def test_an_id_with_other_content_is_refused_and_changes_nothing(
    stream: Stream, data: st.DataObject
) -> None:
    """Even if the other content would be fine under a new id; the first content stays."""
    stream = settled(stream)
    number = data.draw(st.integers(0, len(stream.entries) - 1), "which")
    original = stream.entries[number]
    if "id" not in original.fields or isinstance(parse_entry(*original), InvalidCommand):
        return
    other = {"type": "top_up", "id": original.fields["id"], "user_id": "u1", "amount": "77.7"}
    _repeat, later, run = _repeated(stream, number, data, [other])
    plain = fold(stream.policy, stream.entries)
    _check_same(plain, run)
    result = next(r for r in run.results if r.entry == later.id)
    assert (result.outcome, result.replayed) == (outcomes.ID_CONFLICT, False)
    again = run.world.feed(f"{stream.end}-{10**9}", original.flat)
    assert again.outcome == plain.results[number].outcome


@given(streams(others=False))
def test_users_never_touch_each_other(stream: Stream) -> None:
    """Each user's commands folded alone give that user what all of them together give."""
    stream = settled(stream)
    together = fold(stream.policy, stream.entries)
    for user_id in stream.users:
        run = fold(stream.policy, [e for e in stream.entries if _sender(e) == user_id])
        assert _account(run.world, user_id) == _account(together.world, user_id)
        assert _events(run)[user_id] == _events(together)[user_id]
        assert _ledger(run)[user_id] == _ledger(together)[user_id]
        for chat_id in _chat_ids(stream, user_id):
            assert run.world.chat(chat_id) == together.world.chat(chat_id)


@HALF
@given(streams())
def test_a_users_events_are_in_order_of_their_milliseconds(stream: Stream) -> None:
    """And none is later than the entry that made it known."""
    run = fold(stream.policy, settled(stream).entries)
    for events in _events(run).values():
        assert [e.at_ms for e in events] == sorted(e.at_ms for e in events)
    for result in run.results:
        assert all(e.at_ms <= int(result.entry.partition("-")[0]) for e in result.events)


@given(streams(), streams())
def test_events_stay_in_order_when_the_operator_changes_the_policy(
    stream: Stream, other: Stream
) -> None:
    """New warnings and a shorter grace reach back to no millisecond that is settled."""
    world = World(stream.policy)
    last_at: dict[str, int] = defaultdict(int)
    entries = settled(stream).entries
    for number, entry in enumerate(entries):
        world.policy = stream.policy if number < len(entries) // 2 else other.policy
        for event in world.feed(entry.id, entry.flat).events:
            assert event.at_ms >= last_at[event.user_id]
            last_at[event.user_id] = event.at_ms


@HALF
@given(streams())
def test_a_chats_seq_counts_its_changes_without_gaps(stream: Stream) -> None:
    """From 1, one for each event of the chat, and the snapshot has that of the last event.

    Of a chat that shares free time also one for each move of it, which has no event.
    """
    world = World(stream.policy)
    seqs: dict[str, int] = defaultdict(int)
    for entry in settled(stream).entries:
        for event in world.feed(entry.id, entry.flat).events:
            if event.chat_id is not None:
                seqs[event.chat_id] += 1
                is_shared = shares(_chat(world, event.chat_id))
                assert event.seq == seqs[event.chat_id] or (
                    is_shared and event.seq > seqs[event.chat_id]
                )
                seqs[event.chat_id] = event.seq
        for chat in (_chat(world, k) for k in world.owner):
            assert chat.seq == seqs[chat.chat_id] or (
                shares(chat) and chat.seq > seqs[chat.chat_id]
            )
            seqs[chat.chat_id] = chat.seq


@HALF
@given(streams())
def test_a_chats_seq_grows_when_what_its_snapshot_shows_changes(stream: Stream) -> None:
    """And only then; what time alone moves while a chat runs is no change."""
    world = World(stream.policy)
    for entry in settled(stream).entries:
        before = {k: _chat(world, k)._replace(alive_at_ms=0) for k in world.owner}
        world.feed(entry.id, entry.flat)
        for chat_id, old in before.items():
            new = _chat(world, chat_id)._replace(alive_at_ms=0)
            assert new.seq >= old.seq
            assert (new == old) == (new.seq == old.seq)


@HALF
@given(streams())
def test_a_wallets_seq_grows_with_every_change_and_only_then(stream: Stream) -> None:
    """Its events carry numbers between that before and that after; a refusal makes none."""
    world = World(stream.policy)
    for entry in settled(stream).entries:
        before = dict(world.accounts)
        result = world.feed(entry.id, entry.flat)
        for user_id, account in world.accounts.items():
            old = before.get(user_id, Account(user_id))
            mine = [e for e in result.events if e.user_id == user_id]
            told = [e.seq for e in mine if e.chat_id is None]
            now = [e.seq for e in mine if e.chat_id is None and e.at_ms == entry.at]
            assert now in ([], [account.seq] * len(now))
            assert told == sorted(told)
            assert all(old.seq < seq <= account.seq for seq in told)
            assert (account.seq > old.seq) == bool(mine)
            assert _same_but_seq(old, account) == (not mine)


@HALF
@given(streams())
def test_nothing_happens_twice(stream: Stream) -> None:
    """One start and one end a chat, one ledger entry a cause, one charge a chat."""
    run = fold(stream.policy, settled(stream).entries)
    events = [event for result in run.results for event in result.events]
    assert len(set(events)) == len(events)
    for name in ("chat.started", "chat.ended"):
        chats = [event.chat_id for event in events if event.event == name]
        assert len(set(chats)) == len(chats)
    entry_ids = [entry.entry_id for result in run.results for entry in result.ledger]
    assert len(set(entry_ids)) == len(entry_ids)


@given(accounts(ANY), st.integers(0, 10**6))
def test_a_sign_of_life_shows_nowhere(account: Account, later_ms: int) -> None:
    """No event, no new snapshot; only the idle pause comes later."""
    at = T0 + later_ms if account.zero_at_ms is None else T0
    for chat_id, chat in account.chats.items():
        fields = {"type": "heartbeat", "id": "h", "chat_id": chat_id, "user_id": "u"}
        command = parse_entry(f"{at}-1", flat(fields))
        assert isinstance(command, Command)
        chats = {k: c._replace(idle_ms=0) for k, c in account.chats.items()}
        before = account._replace(chats=chats, as_of_ms=at)
        decision = apply(before, command, Policy())
        assert (decision.outcome, decision.events, decision.touched) == (outcomes.OK, [], {})
        alive = chats[chat_id]._replace(alive_at_ms=at)
        assert decision.account == before._replace(chats=chats | {chat_id: alive})
        assert chat.alive_at_ms <= at


def test_two_top_ups_of_one_millisecond_are_two() -> None:
    """Each has its own ledger entry, named after its stream entry."""
    world = World(Policy())
    for number in (1, 2):
        fields = {"type": "top_up", "id": f"t{number}", "user_id": "u", "amount": "1"}
        ledger = world.feed(f"{T0}-{number}", flat(fields)).ledger
        assert [line.entry_id for line in ledger] == [f"top_up:{T0}-{number}"]


def _repeated(
    stream: Stream, number: int, data: st.DataObject, other: list[dict[str, str]]
) -> tuple[Entry, Entry, Run]:
    """The stream with one of its entries (or other content) again somewhere later."""
    repeat = stream.entries[number]
    fields = other[0] if other else repeat.fields
    again = flat(fields) if other else repeat.flat
    if data.draw(st.booleans(), "other reply_to") and "reply_to" not in fields:
        again += (b"reply_to", b"r9")
    place = data.draw(st.integers(number, len(stream.entries) - 1), "place")
    before = stream.entries[place]
    later = Entry(f"{before.at}-{_number(before) + 1}", again)
    entries = [*stream.entries[: place + 1], later, *stream.entries[place + 1 :]]
    return repeat, later, fold(stream.policy, entries)


def _first_outcome(stream: Stream, run: Run, number: int) -> str:
    """What the id of this entry stands for, as the contract has it."""
    entry, outcome = stream.entries[number], run.results[number].outcome
    return outcome if "id" in entry.fields else outcomes.OK


def _check_same(plain: Run, more: Run) -> None:
    """The same events, ledger, outcomes of the same entries, accounts and chats."""
    assert _events(more) == _events(plain)
    assert _ledger(more) == _ledger(plain)
    told = {r.entry: r.outcome for r in more.results}
    assert {r.entry: told[r.entry] for r in plain.results} == {
        r.entry: r.outcome for r in plain.results
    }
    for user_id in plain.world.accounts | more.world.accounts:
        assert _account(more.world, user_id) == _account(plain.world, user_id)
    assert more.world.ended == plain.world.ended
    assert more.world.owner == plain.world.owner


def _sender(entry: Entry) -> str:
    """Whose entry it is; where ids are each user's own, they say so."""
    return entry.fields.get("id", "").partition("-")[0] or entry.fields["user_id"]


def _in_order(entries: list[Entry]) -> list[Entry]:
    unique = {entry.id: entry for entry in entries}
    return sorted(unique.values(), key=lambda entry: (entry.at, _number(entry)))


def _number(entry: Entry) -> int:
    return int(entry.id.partition("-")[2])


def _account(world: World, user_id: str) -> Account:
    return world.accounts.get(user_id, Account(user_id))


def _chat(world: World, chat_id: str) -> Chat:
    chat = world.chat(chat_id)
    assert chat is not None
    return chat


def _chat_ids(stream: Stream, user_id: str) -> list[str]:
    named = {entry.fields.get("chat_id", "") for entry in stream.entries}
    return sorted(chat_id for chat_id in named if chat_id.startswith(f"{user_id}."))


def _same_but_seq(old: Account, new: Account) -> bool:
    """Whether nothing shows that anything happened (a sign of life does not show)."""
    quiet = [
        a._replace(chats={k: c._replace(alive_at_ms=0) for k, c in a.chats.items()})
        for a in (old, new)
    ]
    return quiet[0] == quiet[1]


def _events(run: Run) -> dict[str, list[Event]]:
    events: dict[str, list[Event]] = defaultdict(list)
    for result in run.results:
        for event in result.events:
            events[event.user_id].append(event)
    return events


def _ledger(run: Run) -> dict[str, list[LedgerEntry]]:
    ledger: dict[str, list[LedgerEntry]] = defaultdict(list)
    for result in run.results:
        for entry in result.ledger:
            ledger[entry.user_id].append(entry)
    return ledger


def test_by_the_rules_of_version_0_1_any_rate_is_set() -> None:
    """What its journals say happened: the chat ends in that millisecond, and nobody was refused."""
    start = {"type": "start", "id": "1", "user_id": "u1", "chat_id": "a", "advisor_id": "v"}
    entries = [
        Entry(f"{T0}-0", flat(start | {"rate": "0"})),
        Entry(f"{T0 + 5}-0", flat({"type": "set_rate", "id": "2", "chat_id": "a", "rate": "1"})),
        settle("u1", f"{T0 + 100}-0"),
    ]
    old = fold(Policy(rules_version=1), entries)
    assert [result.outcome for result in old.results] == ["ok", "ok", "ok"]
    assert _chat(old.world, "a").ended_at_ms == T0 + 5
    new = fold(Policy(), entries)
    assert [result.outcome for result in new.results] == ["ok", "insufficient_credits", "ok"]
    assert _chat(new.world, "a").status == "running"
    assert _chat(new.world, "a").rate_micro == 0


def test_version_0_1_had_no_limit_of_open_chats() -> None:
    """Its policies name none, which is read as 0."""
    start = {"type": "start", "user_id": "u1", "advisor_id": "v", "rate": "0"}
    entries = [
        Entry(f"{T0}-{n}", flat(start | {"id": f"i{n}", "chat_id": f"c{n}"})) for n in range(150)
    ]
    run = fold(Policy(open_chats_max=0, rules_version=1), entries)
    assert {result.outcome for result in run.results} == {"ok"}
    limited = [result.outcome for result in fold(Policy(), entries).results]
    assert limited == ["ok"] * 100 + ["at_capacity"] * 50


def test_changes_of_one_millisecond_are_numbered_one_by_one() -> None:
    """Three chats are paused as idle at once: three changes of the wallet, as version 0.1 said."""
    start = {"type": "start", "user_id": "u1", "advisor_id": "v", "rate": "0", "idle_ms": "5"}
    entries = [
        Entry(f"{T0}-{n}", flat(start | {"id": f"{n}", "chat_id": f"c{n}"})) for n in range(3)
    ]
    before = fold(Policy(), entries).world.accounts["u1"]
    after = fold(Policy(), [*entries, settle("u1", f"{T0 + 10}-0")]).world.accounts["u1"]
    assert {chat.status for chat in after.chats.values()} == {"paused"}
    assert after.seq == before.seq + 3
