"""The checker notices: of a run without a fault it says nothing; each thing broken, it names."""

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from actors.chat.rows import command_row, record_row
from meterd.rules import outcomes
from meterd.rules.commands import Command, InvalidCommand, entry_ms, parse_entry
from meterd.rules.snapshots import chat_snapshot, not_started, wallet_snapshot
from persistence.postgres.rows import JournalRow
from persistence.redis.commit import event_fields, ledger_row
from tests.chaos.checker import Fold, check, fold, wrong
from tests.chaos.environment import POLICY
from tests.chaos.evidence import Evidence
from tests.chaos.queue_log import QueueLog, whole_stream
from tests.load import Entry

SENT = (
    {"type": "top_up", "user_id": "u", "amount": "10"},
    {"type": "start", "chat_id": "c", "user_id": "u", "advisor_id": "v", "rate": "60"},
    {"type": "pause", "chat_id": "c"},
    {"type": "resume", "chat_id": "c"},
    {"type": "pause", "chat_id": "c", "colour": "red"},
    {"type": "end", "chat_id": "c"},
    {"type": "heartbeat", "chat_id": "nobody"},
    {"type": "refund", "chat_id": "c", "amount": "1"},
)


USED_UP = (
    {"type": "top_up", "user_id": "u", "amount": "1"},
    {"type": "start", "chat_id": "c", "user_id": "u", "advisor_id": "v", "rate": "60"},
    {"type": "heartbeat", "chat_id": "nobody"},
    {"type": "end", "chat_id": "c"},
)
"""Credits last until 3 s, and the ``settle`` at 3.5 s is the first command after that."""


def a_good_run(sent: tuple[dict[str, str], ...] = SENT) -> Evidence:
    """What a daemon without a fault would leave."""
    stream: list[Entry] = [
        (f"{1_000 * n}-0", {"id": f"k{n}", "reply_to": "me", **fields})
        for n, fields in enumerate(sent, 1)
    ]
    stream.insert(3, ("3500-0", {"type": "settle", "user_id": "u"}))
    evidence = Evidence(POLICY, stream)
    evidence.log = [each for each in stream if each[1]["type"] != "settle"]
    evidence.unfinished = {"pending": 0, "outbox": 0, "refused": 0}
    _tell(evidence, fold(stream, POLICY))
    return evidence


def _tell(evidence: Evidence, folded: Fold) -> None:
    world, results = folded.world, folded.results
    for entry, fields in evidence.stream:
        result = results[entry]
        evidence.journal.append(_row(entry, fields, result.outcome))
        evidence.ledger += [ledger_row(each) for each in result.ledger]
        evidence.events += [event_fields(event) for event in result.events]
        if "reply_to" in fields:
            reply = {"id": fields["id"], "outcome": result.outcome, "entry": entry}
            evidence.replies.append({**reply, "replayed": "0"})
    chat = world.chat("c")
    assert chat is not None
    evidence.records = {"c": record_row(chat)}
    evidence.dead = [e for e, r in results.items() if r.outcome == outcomes.INVALID_COMMAND]
    account = world.accounts["u"]
    evidence.wallets = {"u": wallet_snapshot(account, account.as_of_ms)}
    full = {"c": chat_snapshot(chat, chat.as_of_ms), "nobody": not_started("nobody")}
    names = ("status", "active_ms", "cost", "seq")
    evidence.snapshots = {k: {name: s[name] for name in names} for k, s in full.items()}


def _at_ms(words: list[str]) -> int:
    return int(words[words.index("at") + 1])


def _row(entry: str, fields: dict[str, str], outcome: str) -> JournalRow:
    parsed = parse_entry(entry, [part.encode() for pair in fields.items() for part in pair])
    if isinstance(parsed, Command):
        return command_row(parsed, "u", outcome, replayed=False, policy="p")
    assert isinstance(parsed, InvalidCommand)
    return JournalRow(entry, None, None, fields, outcome, False, "p")


def test_a_good_run_is_good() -> None:
    """Nothing is wrong, and something was there to be wrong."""
    evidence = a_good_run()
    assert wrong(check(evidence)) == {}
    assert evidence.records
    assert evidence.ledger
    assert evidence.events
    assert evidence.dead


class Break(NamedTuple):
    """What is done to the evidence, and which checks have to notice."""

    do: Callable[[Evidence], object]
    noticed_by: tuple[str, ...]


def _change_record(**changes: Any) -> Callable[[Evidence], None]:
    def do(evidence: Evidence) -> None:
        evidence.records["c"] = evidence.records["c"]._replace(**changes)

    return do


def _charge_again(evidence: Evidence) -> None:
    charge = next(row for row in evidence.ledger if row.kind == "charge")
    evidence.ledger.append(charge._replace(entry_id="another"))


def _change_outcome(evidence: Evidence) -> None:
    evidence.journal[2] = evidence.journal[2]._replace(outcome="not_running")


def _change_entry(evidence: Evidence) -> None:
    entry, fields = evidence.log[0]
    evidence.log[0] = entry, {**fields, "amount": "11"}


def _sent_and_not_told(evidence: Evidence) -> None:
    """Of what is in the stream, the client does not know one: it may not be there once more."""
    evidence.uncertain.append(evidence.log.pop()[1])


def _lose_from_stream(evidence: Evidence) -> None:
    """As if Redis had lost the end of its file: everything else agrees with what is left."""
    lost = evidence.stream.pop()
    left = Evidence(POLICY, evidence.stream)
    _tell(left, fold(left.stream, POLICY))
    for name in ("replies", "journal", "records", "ledger", "wallets", "events", "dead"):
        setattr(evidence, name, getattr(left, name))
    evidence.snapshots = left.snapshots
    assert lost in evidence.log


BREAKS = {
    "an accepted entry gone": Break(_lose_from_stream, ("1 clients' log",)),
    "a foreign entry": Break(lambda e: e.log.pop(), ("1 clients' log",)),
    "an entry changed": Break(_change_entry, ("1 clients' log",)),
    "a journal row gone": Break(
        lambda e: e.journal.pop(), ("1 one effect, one outcome, one journal row",)
    ),
    "a journal row twice": Break(
        lambda e: e.journal.append(e.journal[0]), ("1 one effect, one outcome, one journal row",)
    ),
    "another outcome": Break(_change_outcome, ("1 one effect, one outcome, one journal row",)),
    "something pending": Break(
        lambda e: e.unfinished.update(pending=1), ("1 one effect, one outcome, one journal row",)
    ),
    "something refused": Break(
        lambda e: e.unfinished.update(refused=1), ("1 one effect, one outcome, one journal row",)
    ),
    "a reply gone": Break(lambda e: e.replies.pop(), ("1 one reply each",)),
    "a reply twice": Break(lambda e: e.replies.append(e.replies[0]), ("1 one reply each",)),
    "another reply": Break(lambda e: e.replies[1].update(outcome="no"), ("1 one reply each",)),
    "a dead letter gone": Break(lambda e: e.dead.clear(), ("1 dead letters",)),
    "a dead letter twice": Break(lambda e: e.dead.append(e.dead[0]), ("1 dead letters",)),
    "a record gone": Break(lambda e: e.records.clear(), ("2 records", "4 charges")),
    "a millisecond forgotten": Break(
        _change_record(active_ms=1_999), ("2 records", "3 times add up")
    ),
    "a cost changed": Break(_change_record(cost_micro=1), ("2 records", "4 charges")),
    "a charge gone": Break(
        lambda e: e.ledger.remove(next(r for r in e.ledger if r.kind == "charge")),
        ("2 ledger and wallets", "4 charges"),
    ),
    "a second charge": Break(_charge_again, ("2 ledger and wallets", "4 charges")),
    "a ledger entry twice": Break(
        lambda e: e.ledger.append(e.ledger[0]), ("2 ledger and wallets",)
    ),
    "another balance": Break(
        lambda e: e.wallets["u"].update(balance="1.000000"), ("2 ledger and wallets",)
    ),
    "an event gone": Break(lambda e: e.events.pop(1), ("3 events and seq",)),
    "an event twice": Break(lambda e: e.events.append(e.events[1]), ("3 events and seq",)),
    "events in another order": Break(lambda e: e.events.reverse(), ("3 events and seq",)),
    "an old epoch that writes": Break(lambda e: e.stale_writers.append("chat-1 3"), ("5 fencing",)),
    "another answer": Break(lambda e: e.snapshots["c"].update(status="running"), ("6 queries",)),
    "no answer": Break(lambda e: e.snapshots.pop("c"), ("6 queries",)),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_noticed(name: str) -> None:
    """By the checks that are there for it."""
    evidence = copy.deepcopy(a_good_run())
    BREAKS[name].do(evidence)
    assert set(BREAKS[name].noticed_by) <= set(wrong(check(evidence)))


def test_what_was_never_answered_may_be_there_once() -> None:
    """An attempt whose answer was lost counts for one entry of the stream, and for none too."""
    evidence = a_good_run()
    _sent_and_not_told(evidence)
    assert wrong(check(evidence)) == {}
    evidence.uncertain.append({"type": "pause", "id": "never", "chat_id": "c"})
    assert wrong(check(evidence)) == {}


ENTRY = "3000-0"
"""A pause that was answered, and is in the middle of the stream."""


def _without(entry: str) -> Evidence:
    """As if a producer had deleted the entry before anybody read it."""
    evidence, stream = a_good_run(), [each for each in a_good_run().stream if each[0] != entry]
    left = Evidence(POLICY, stream, log=evidence.log, unfinished=evidence.unfinished)
    _tell(left, fold(stream, POLICY))
    return left


def test_what_was_taken_away_unread_may_be_missing_if_somebody_noticed() -> None:
    """It was accepted and has no effect; the daemon has counted that something is missing."""
    evidence = _without(ENTRY)
    assert set(wrong(check(evidence))) == {"1 clients' log"}
    evidence.lost = {ENTRY}
    assert set(wrong(check(evidence))) == {"7 losses are noticed"}
    evidence.noticed = 1
    assert wrong(check(evidence)) == {}


def test_what_was_taken_away_unread_is_never_answered() -> None:
    """A reply without the entry's effect is one that nobody asked for."""
    evidence = _without(ENTRY)
    evidence.lost, evidence.noticed = {ENTRY}, 1
    evidence.replies.append({"id": "k3", "outcome": "ok", "entry": ENTRY, "replayed": "0"})
    assert set(wrong(check(evidence))) == {"1 one reply each"}


def test_what_got_another_id_has_to_be_there_once() -> None:
    """Behind an entry from the future, a command was accepted under an ID that is dropped."""
    evidence = a_good_run()
    number = next(n for n, (entry, _) in enumerate(evidence.log) if entry == ENTRY)
    fields = evidence.log[number][1]
    evidence.log[number] = ("9999-0", fields)
    assert set(wrong(check(evidence))) == {"1 clients' log"}
    evidence.moved = {"9999-0": fields}
    assert wrong(check(evidence)) == {}
    evidence.moved["9998-0"] = {"type": "pause", "id": "gone", "chat_id": "c"}
    evidence.log.append(("9998-0", evidence.moved["9998-0"]))
    assert set(wrong(check(evidence))) == {"1 clients' log"}


def test_only_what_has_no_account_may_be_answered_again_by_a_new_group() -> None:
    """Invalid, or about a chat of nobody's: as often as the group was destroyed, no more."""
    evidence = a_good_run()
    evidence.journal = [
        row._replace(user_id=None) if row.chat_id == "nobody" else row for row in evidence.journal
    ]
    nobodys = [row.stream_id for row in evidence.journal if row.user_id is None]
    assert len(nobodys) == 2
    evidence.replies += [r for r in evidence.replies if r["entry"] in nobodys]
    evidence.dead *= 2
    assert set(wrong(check(evidence))) == {"1 one reply each", "1 dead letters"}
    evidence.read_again = Counter(entry for entry, _ in evidence.stream)
    assert wrong(check(evidence)) == {}
    evidence.replies.append(evidence.replies[0])
    assert set(wrong(check(evidence))) == {"1 one reply each"}


def test_only_what_postgres_had_forgotten_may_be_told_again_and_once() -> None:
    """Its command was handled again: its answer and its events are there twice, not more often."""
    evidence = a_good_run()
    told = next(words for words in evidence.events if "chat.started" in words)
    at_ms = _at_ms(told)
    entry = next(e for e, _ in evidence.stream if entry_ms(e) == at_ms)
    reply = next((r for r in evidence.replies if r["entry"] == entry), None)
    evidence.events.append(told)
    if reply is not None:
        evidence.replies.append(reply)
    assert "3 events and seq" in wrong(check(evidence))
    evidence.handled_again = Counter({entry: 1})
    assert wrong(check(evidence)) == {}
    evidence.events.append(told)
    assert set(wrong(check(evidence))) == {"3 events and seq"}
    evidence.handled_again[entry] += 1
    assert "3 events and seq" not in wrong(check(evidence))
    other = next(words for words in evidence.events if _at_ms(words) != at_ms)
    evidence.events.append(other)
    assert "3 events and seq" in wrong(check(evidence))


def test_a_repeated_event_may_be_older_than_its_command() -> None:
    """A chat is suspended when the credits are used up; the command that finds it comes later."""
    evidence = a_good_run(USED_UP)
    suspended = next(words for words in evidence.events if "chat.suspended" in words)
    assert _at_ms(suspended) == 3_000
    evidence.events += [words for words in evidence.events if _at_ms(words) == 3_000]
    evidence.handled_again = Counter(["3000-0"])
    assert set(wrong(check(evidence))) == {"3 events and seq"}
    evidence.handled_again = Counter(["3500-0"])
    assert wrong(check(evidence)) == {}


def test_a_doubtful_entry_is_in_the_stream_if_it_had_its_effect() -> None:
    """One that nobody handled is lost; one that was gone when it was read has no fields."""
    evidence = a_good_run()
    fields = dict(evidence.stream)
    gone = JournalRow("4000-0", None, None, {}, outcomes.INVALID_COMMAND, False, "p")
    journal = [row for row in evidence.journal if row.stream_id not in ("1000-0", "4000-0")]
    log = QueueLog(archive=fields, doubtful={"1000-0", "2000-0", "4000-0"})
    stream, lost = whole_stream(log, [], [*journal, gone])
    assert lost == {"1000-0", "4000-0"}
    assert dict(stream) == {**{k: v for k, v in fields.items() if k != "1000-0"}, "4000-0": {}}
