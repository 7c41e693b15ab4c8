"""Everything that the daemon sends is as docs/asyncapi.json says."""

import pytest
from hypothesis import given, settings

from meterd.rules import outcomes
from persistence.redis.commit import Commit
from tests.asyncapi.checking import DOCUMENT, check, check_reply, check_snapshot, fields_of
from tests.asyncapi.house import House
from tests.conformance import EXAMPLES, Example, flat_fields, policy_of
from tests.rules.strategies import Stream, streams

Sent = set[str]
"""Outcomes and events that came up."""


def check_commit(commit: Commit) -> Sent:
    """Replies, dead letters, events and snapshots of one commit."""
    sent: Sent = set()
    for entry in commit.entries:
        if entry.reply:
            check_reply(entry.reply)
            sent.add(fields_of(entry.reply)["outcome"])
        if entry.dead:
            check("dead_letter", fields_of(entry.dead))
    for event in map(fields_of, commit.events):
        check(event["event"], event)
        sent.add(event["event"])
    for _, snapshot, _ in commit.chats:
        check_snapshot(snapshot)
    if commit.wallet:
        check_snapshot(commit.wallet)
    return sent


def _played(example: Example) -> Sent:
    house, sent = House(policy_of(example)), Sent()
    for number, (ms, fields) in enumerate(example["entries"]):
        asking = {**fields, "reply_to": "me"}
        sent |= check_commit(house.feed(f"{ms}-{number}", flat_fields(asking)))
    for number, user in enumerate(example["expect"]["wallets"]):
        settle = {"type": "settle", "user_id": user, "reply_to": "me"}
        entry = f"{example['as_of']}-{number}"
        sent |= check_commit(house.feed(entry, flat_fields(settle)))
    return sent


def test_what_the_worked_examples_bring_is_as_described() -> None:
    """Every reply, event, dead letter and snapshot; every event there is and nearly every
    outcome come up."""
    sent = set[str]().union(*map(_played, EXAMPLES))
    messages = DOCUMENT["components"]["messages"]
    events = {name for name in messages if "." in name}
    told = set(messages["reply"]["payload"]["properties"]["outcome"]["enum"])
    assert events <= sent
    assert told - sent <= {outcomes.AT_CAPACITY, outcomes.WRONG_PARTITION, outcomes.INTERNAL_ERROR}


@settings(max_examples=60)
@given(streams())
def test_what_any_stream_brings_is_as_described(stream: Stream) -> None:
    """Whatever users do to each other, and whatever else is in the queue."""
    house = House(stream.policy)
    for entry, flat in stream.entries:
        check_commit(house.feed(entry, flat))


@pytest.mark.parametrize("outcome", [outcomes.AT_CAPACITY, outcomes.INTERNAL_ERROR])
def test_outcomes_that_depend_on_more_than_the_stream_are_as_described(outcome: str) -> None:
    """A full house, and an entry that nobody can decide."""
    house = House(policy_of(EXAMPLES[0]))
    top_up = {"type": "top_up", "id": "t", "user_id": "u", "amount": "9"}
    start = {"type": "start", "id": "s", "chat_id": "c", "user_id": "u", "advisor_id": "v"}
    house.feed("1-0", flat_fields(top_up))
    asking = flat_fields({**start, "reply_to": "me"})
    if outcome == outcomes.AT_CAPACITY:
        commit = house.feed("2-0", asking, refuse=outcomes.AT_CAPACITY)
    else:
        commit = house.set_aside("2-0", asking)
    assert check_commit(commit) == {outcome}
