"""What is answered, against the rules: over any account that a stream of commands makes."""

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.chat.rows import chat_of_record, record_row
from daemon.gateway import views
from daemon.gateway.views import (
    account_of_records,
    join,
    never_started,
    pack,
    record_snapshot,
    wallet_json,
    wallet_object,
    what_if,
)
from meterd.rules.billing import available
from meterd.rules.model import Account, Chat, Policy, Tariff
from meterd.rules.snapshots import chat_snapshot, no_wallet, wallet_snapshot
from persistence.redis.commit import pack_state
from tests.rules.strategies import (
    ANY,
    HALF,
    ROOM,
    SMALL,
    T0,
    Entry,
    Stream,
    accounts,
    as_sent,
    flat,
    fold,
    settled,
    streams,
)
from tests.world import World

MICRO = 10**6
MINUTE_MS = 60_000
SHARP = SMALL._replace(rates=st.sampled_from([0, 10**7]) | st.integers(10**7, 10**8))
"""Where a millisecond too many or too few costs far more than rounding does."""
LATER_MS = st.integers(0, 10**7) | st.integers(0, 100)


def _accounts_of(stream: Stream) -> Iterator[Account]:
    for entries in (stream.entries, settled(stream).entries):
        yield from fold(stream.policy, entries).world.accounts.values()


def _chats_of(stream: Stream) -> Iterator[Chat]:
    world = fold(stream.policy, settled(stream).entries).world
    yield from world.ended.values()
    for account in world.accounts.values():
        yield from account.chats.values()


def _read(account: Account) -> Any:
    """The wallet as the gateway tells it out of what Redis keeps of an account."""
    wallet = pack(wallet_snapshot(account, account.as_of_ms))
    return json.loads(wallet_json(wallet, pack_state("1-0", account).encode(), account.user_id))


def _billed_ms(burner: Any, at: int) -> int:
    """As docs/protocol.md says."""
    counted_ms = burner["active_ms"] + at - burner["as_of"] - burner["free_ms"]
    if burner["increment_due"] == "begin":
        counted_ms += burner["increment_ms"] - 1 if counted_ms > 0 else 0
    whole_ms = counted_ms // burner["increment_ms"] * burner["increment_ms"]
    return max(burner["min_ms"], whole_ms) if counted_ms > 0 else 0


def _drawn(wallet: Any, at: int) -> Fraction:
    """The balance as a page draws it: docs/http.md, and nothing else."""
    balance = Fraction(wallet["balance"])
    for burner in wallet["running"]:
        more_ms = _billed_ms(burner, at) - _billed_ms(burner, wallet["as_of"])
        balance -= Fraction(burner["rate"]) * more_ms / MINUTE_MS
    return balance


def _check_drawing(account: Account, later_ms: int) -> None:
    wallet = _read(account)
    at = account.as_of_ms + later_ms
    if account.zero_at_ms is not None:
        at = max(account.as_of_ms, min(at, account.zero_at_ms))
    off = abs(_drawn(wallet, at) * MICRO - available(account, at))
    assert off <= len(wallet["running"]), (wallet, at)


@HALF
@given(streams(), LATER_MS)
def test_a_balance_can_be_drawn_from_one_wallet(stream: Stream, later_ms: int) -> None:
    """At any moment up to zero_at, within a micro-credit for each running chat."""
    for account in _accounts_of(stream):
        _check_drawing(account, later_ms)


@given(accounts(ANY) | accounts(SHARP), LATER_MS)
def test_a_balance_can_be_drawn_from_any_affordable_account(
    account: Account, later_ms: int
) -> None:
    _check_drawing(account._replace(as_of_ms=T0), later_ms)


@HALF
@given(streams())
def test_what_is_read_is_what_the_rules_make(stream: Stream) -> None:
    for account in _accounts_of(stream):
        assert _read(account) == wallet_object(account, account.as_of_ms)


def test_of_very_many_running_chats_some_are_listed() -> None:
    chat = Chat("c", "u", "v", "running", T0, T0, T0, T0, MICRO, 0, 0, 1, 0)
    chats = {f"c{n:03}": chat._replace(chat_id=f"c{n:03}") for n in range(150)}
    listed = _read(Account("u", MICRO, as_of_ms=T0, chats=chats))["running"]
    assert [burner["chat_id"] for burner in listed] == sorted(chats)[: views.RUNNING_MAX]


def test_an_account_that_never_was_is_an_answer() -> None:
    assert json.loads(wallet_json(None, None, "u")) == {**no_wallet("u"), "running": []}


@pytest.mark.parametrize("kept", [b"", b"1-0|", b"1-0|{}", b"\xff", b'1-0|["somebody-else"]'])
def test_a_wallet_is_told_without_a_readable_account(kept: bytes) -> None:
    """The snapshot is the daemon's word; what the balance falls by is not known then."""
    wallet = wallet_snapshot(Account("u", 5, as_of_ms=T0), T0)
    assert json.loads(wallet_json(pack(wallet), kept, "u")) == {**wallet, "running": []}


@HALF
@given(streams())
def test_a_record_shows_what_the_snapshot_did(stream: Stream) -> None:
    """Of the same chat as of the same change, whatever its status."""
    for chat in _chats_of(stream):
        shown = record_snapshot(chat_of_record(record_row(chat)))
        assert shown == chat_snapshot(chat, chat.as_of_ms)


def test_a_record_of_another_system_may_have_no_tariff() -> None:
    chat = Chat("c", "u", "v", "ended", T0, T0 + 5, T0 + 5, T0, 0, 0, 0, 0, 0, ended_at_ms=T0 + 5)
    shown = record_snapshot(chat._replace(carried_cost_micro=MICRO, active_ms=5))
    assert (shown["increment_ms"], shown["cost"], shown["active_ms"]) == (0, "1.000000", 5)


@HALF
@given(streams(others=False))
def test_an_account_of_records_is_the_account(stream: Stream) -> None:
    """As of its last change, within a micro-credit for each of its chats."""
    for account in _accounts_of(stream):
        chats = [chat_of_record(record_row(chat)) for chat in account.chats.values()]
        made = account_of_records(account.user_id, account.settled_micro, chats, account.as_of_ms)
        off = available(made, account.as_of_ms) - available(account, account.as_of_ms)
        assert abs(off) <= len(chats)
        assert (made.zero_at_ms is None) == (account.zero_at_ms is None)


@HALF
@given(streams(), ANY.rates | SMALL.rates, LATER_MS)
def test_what_if_is_what_a_start_would_give(stream: Stream, rate: int, later_ms: int) -> None:
    at = stream.end + later_ms
    world = fold(stream.policy, stream.entries).world
    for user_id in stream.users:
        account = world.accounts.get(user_id, Account(user_id))
        told = what_if(account, as_sent(rate), stream.policy, at)
        started = _started(fold(stream.policy, stream.entries).world, user_id, rate, at)
        assert Fraction(told["rate"]) * MICRO == rate
        if started is None:
            assert (told["zero_at"], told["left_ms"]) == (at, 0)
        else:
            left_ms = None if started.zero_at_ms is None else started.zero_at_ms - at
            assert (told["zero_at"], told["left_ms"]) == (started.zero_at_ms, left_ms)


def _started(world: World, user_id: str, rate: int, at: int) -> Account | None:
    """The account once one more chat has started; None if it is refused."""
    start = {"type": "start", "id": "what-if", "chat_id": "what-if-0", "user_id": user_id}
    start |= {"advisor_id": "what-if", "rate": as_sent(rate)}
    entry = Entry(f"{at}-{10**9 * ROOM}", flat(start))
    is_ok = world.feed(entry.id, entry.flat).outcome == "ok"
    return world.accounts[user_id] if is_ok else None


@given(accounts(SMALL), st.text() | st.from_regex(r"-?[0-9.eE+]{1,12}", fullmatch=True))
def test_any_text_is_a_rate_or_refused(account: Account, text: str) -> None:
    policy = Policy(Tariff(MICRO))
    refused, told = "", {}
    try:
        told = what_if(account, text, policy, T0)
    except ValueError as error:
        refused = str(error)
    if told:
        assert Fraction(told["rate"]) == Fraction(text)
    else:
        assert "rate" in refused


@HALF
@given(streams(), st.integers(0, 2**53))
def test_an_answer_joined_of_parts_is_the_whole(stream: Stream, now_ms: int) -> None:
    for chat in _chats_of(stream):
        snapshot = chat_snapshot(chat, chat.as_of_ms)
        for wallet in (None, {"balance": "0.000000"}):
            joined = join(
                now_ms, "postgres", "migrated", pack(snapshot), pack(wallet) if wallet else None
            )
            origin = {"source": "record", "read_from": "postgres", "chat_source": "migrated"}
            whole = {"now": now_ms, **origin, **snapshot, "wallet": wallet}
            assert msgspec.json.decode(joined) == whole


@given(st.text())
def test_a_chat_that_never_started_is_named_as_it_was_asked_for(chat_id: str) -> None:
    told = json.loads(never_started(5, chat_id))
    assert (told["chat_id"], told["status"]) == (chat_id, "not_started")
    assert (told["source"], told["read_from"], told["chat_source"]) == ("none", "none", None)
    assert told["wallet"] is None
