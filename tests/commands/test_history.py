"""A history tells what the fold did: nothing else, nothing less, and at the same cost."""

import re
from collections.abc import Iterator

import pytest

from daemon.audit.history import FREE_TIME_MOVED, ChatHistory, HistoryLine
from daemon.errors import HistoryError
from daemon.settings.derived import policy_of as policy_of_settings
from daemon.settings.settings import Settings
from meterd.rules.money import read_micro
from persistence.postgres.rows import JournalRow
from persistence.redis.commit import policy_document, read_policy
from tests.conformance import EXAMPLES, Example, flat_fields, policy_of
from tests.world import World

POLICY = "p"
Journal = dict[str, list[JournalRow]]


def played(example: Example) -> tuple[World, Journal, dict[str, list[tuple[str, int]]]]:
    """An example's world, its users' journals, and its chats' events."""
    world, journal = World(policy_of(example)), Journal()
    events: dict[str, list[tuple[str, int]]] = {}
    for entry, fields in _entries(example):
        result = world.feed(entry, flat_fields(fields))
        chat_id = fields.get("chat_id", "")
        user = fields.get("user_id") or world.owner.get(chat_id, "")
        journal.setdefault(user, []).append(
            JournalRow(
                entry, user, chat_id or None, fields, result.outcome, result.replayed, POLICY
            )
        )
        for event in result.events:
            events.setdefault(event.chat_id or "", []).append((event.event, event.at_ms))
    return world, journal, events


def _entries(example: Example) -> Iterator[tuple[str, dict[str, str]]]:
    entries = [*example["entries"]]
    users = sorted(example["expect"]["wallets"])
    entries += [(example["as_of"], {"type": "settle", "user_id": user}) for user in users]
    at, number = 0, 0
    for ms, fields in entries:
        number = number + 1 if ms == at else 0
        at = ms
        yield f"{ms}-{number}", fields


def told(example: Example, world: World, journal: Journal, chat_id: str) -> list[HistoryLine]:
    """The history of one chat."""
    user = world.owner[chat_id]
    history = ChatHistory(chat_id, user, {POLICY: policy_of(example)})
    return list(history.lines(journal[user]))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e["name"])
def test_every_event_of_a_chat_is_told_once(example: Example) -> None:
    """In the order and at the milliseconds of the fold; costs never fall, and end at the record."""
    world, journal, events = played(example)
    for chat_id in world.owner:
        history = told(example, world, journal, chat_id)
        chat = [(line.event, line.at) for line in history if line.event.startswith("chat.")]
        assert chat == events[chat_id]
        costs = [read_micro(line.cost) for line in history]
        assert costs == sorted(costs)
        record = example["expect"]["records"][chat_id]
        if record["status"] == "ended":
            assert (history[-1].cost, history[-1].active_ms) == (
                record["cost"],
                record["active_ms"],
            )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e["name"])
def test_every_refusal_is_told(example: Example) -> None:
    """Of commands that named the chat and belong to its user."""
    world, journal, _ = played(example)
    for chat_id, user in world.owner.items():
        refused = [
            row.stream_id
            for row in journal[user]
            if row.chat_id == chat_id and row.outcome not in ("ok", "invalid_command")
        ]
        history = told(example, world, journal, chat_id)
        assert [line.entry for line in history if line.outcome not in ("ok", None)] == refused


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e["name"])
def test_every_change_of_a_snapshot_is_told(example: Example) -> None:
    """By an event of the chat, or else as free time that another chat has moved."""
    world, journal, _ = played(example)
    for chat_id, user in world.owner.items():
        history = told(example, world, journal, chat_id)
        changes = [line for line in history if line.event.startswith(("chat.", FREE_TIME_MOVED))]
        chat = world.ended.get(chat_id) or world.accounts[user].chats[chat_id]
        assert len(changes) == chat.seq


ENDS = {
    "abandoned": r"abandoned: no sign of life from the user for \d+(\.\d+)? s",
    "limit_reached": r"it has been active for \d+(\.\d+)? s, its limit",
    "credits_exhausted": "the credits are used up",
}


def test_time_alone_says_why_it_ends_a_chat() -> None:
    """Each reason of its own comes up in the examples, and is told in its own words."""
    told_of = set()
    for example in EXAMPLES:
        world, journal, _ = played(example)
        for chat_id, chat in world.ended.items():
            last = told(example, world, journal, chat_id)[-1]
            if last.event == "chat.ended" and last.entry is None:
                assert chat.end_reason is not None
                assert re.fullmatch(ENDS[chat.end_reason], last.why)
                told_of.add(chat.end_reason)
    assert told_of == ENDS.keys()


def test_an_adjustment_is_told_with_what_it_did() -> None:
    """Not with what was asked for, which may have been more than was there."""
    asked = {"type": "adjust", "id": "a", "user_id": "u", "amount": "-7", "partial": "1"}
    start = {"type": "start", "id": "s", "chat_id": "c", "user_id": "u", "advisor_id": "a"}
    rows = [
        JournalRow("100-0", "u", None, {**asked, "amount": "5", "id": "t"}, "ok", False, POLICY),
        JournalRow("200-0", "u", "c", {**start, "rate": "0"}, "ok", False, POLICY),
        JournalRow("300-0", "u", None, {**asked, "reason": "typo"}, "ok", False, POLICY),
    ]
    policy = policy_of(EXAMPLES[0])
    (line,) = [
        line
        for line in ChatHistory("c", "u", {POLICY: policy}).lines(rows)
        if line.event == "wallet.adjusted"
    ]
    expected = "adjust a amount=-7 reason=typo partial=1: 5.000000 credits taken by hand"
    assert (line.at, line.why, line.id) == (300, expected, "a")


@pytest.mark.parametrize("outcome", ["id_conflict", "at_capacity", "internal_error"])
def test_what_had_no_effect_has_none_here(outcome: str) -> None:
    """Whatever the rules alone would make of it; what was due before it has happened."""
    fields = {"type": "start", "id": "s", "chat_id": "c", "user_id": "u", "advisor_id": "a"}
    free = {**fields, "rate": "0", "idle_ms": "10"}
    rows = [
        JournalRow("100-0", "u", "c", free, outcome, False, POLICY),
        JournalRow("200-0", "u", "c", {**free, "id": "t"}, "ok", False, POLICY),
        JournalRow("300-0", "u", "c", {"type": "end", "chat_id": "c"}, outcome, False, POLICY),
    ]
    policy = policy_of(EXAMPLES[0])
    history = [
        (line.event, line.at) for line in ChatHistory("c", "u", {POLICY: policy}).lines(rows)
    ]
    expected = [("refused", 100), ("chat.started", 200), ("chat.paused", 210), ("refused", 300)]
    assert history == expected


def test_a_policy_comes_back_as_it_was() -> None:
    """From the document that the ``policies`` table keeps, in which tuples are lists."""
    policy = policy_of_settings(Settings())
    document = {**policy_document(policy), "warn_ms": list(policy.warn_ms)}
    assert read_policy(document) == policy


def test_a_policy_that_is_missing_is_an_error() -> None:
    """A history under a guessed policy would be wrong."""
    row = JournalRow("1-0", "u", None, {"type": "settle", "user_id": "u"}, "ok", False, "gone")
    with pytest.raises(HistoryError, match="gone"):
        list(ChatHistory("c", "u", {}).lines([row]))
