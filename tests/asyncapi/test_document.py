"""docs/asyncapi.json is what the code makes, whole in itself, and its examples are right."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.asyncapi.__main__ import text
from daemon.asyncapi.snapshots import chat
from meterd.rules.events import EVENTS
from meterd.rules.money import format_micro
from meterd.rules.redis_keys import Keys
from tests.asyncapi.checking import DOCUMENT, FILE, check, faults

MESSAGES = DOCUMENT["components"]["messages"]


def test_the_committed_document_is_what_the_code_makes() -> None:
    """If not: python -m daemon.asyncapi > docs/asyncapi.json."""
    assert FILE.read_text("utf-8") == text()


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from _references(one)


def test_every_reference_leads_somewhere() -> None:
    """Inside the document; nothing has to be fetched."""
    found = set(_references(DOCUMENT))
    assert found
    for reference in found:
        part = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]


def test_every_message_goes_through_a_channel() -> None:
    """And each channel's messages are used by an operation."""
    in_channels = {
        name for channel in DOCUMENT["channels"].values() for name in channel["messages"]
    }
    assert in_channels == MESSAGES.keys()
    used = {
        message["$ref"].rpartition("/")[2]
        for operation in DOCUMENT["operations"].values()
        for message in [*operation["messages"], *operation.get("reply", {}).get("messages", [])]
    }
    assert used == MESSAGES.keys()


def test_addresses_are_the_keys() -> None:
    """With the partition's tag and the names put in, they are what the code reads and writes."""
    keys = Keys()
    expected = {
        "commands": keys.commands,
        "replies": keys.reply("r"),
        "events": keys.events,
        "dead": keys.dead,
        "chat": keys.chat("c"),
        "wallet": keys.wallet("u"),
    }
    given_names = {"partition": "{0}", "reply_to": "r", "chat_id": "c", "user_id": "u"}
    assert {
        name: channel["address"].format(**given_names)
        for name, channel in DOCUMENT["channels"].items()
    } == expected
    for channel in DOCUMENT["channels"].values():
        assert channel["parameters"]["partition"]["enum"] == ["{0}"]


@pytest.mark.parametrize("name", MESSAGES)
def test_an_example_is_as_described(name: str) -> None:
    """Every message has one; snapshots in replies are right, too."""
    assert MESSAGES[name]["examples"]
    for example in MESSAGES[name]["examples"]:
        check(name, example["payload"])
        if "snapshot" in example["payload"]:
            check("chat", json.loads(example["payload"]["snapshot"]))


@pytest.mark.parametrize("name", [*EVENTS, "reply", "dead_letter", "chat", "wallet"])
def test_a_field_that_is_always_there_may_not_be_missing(name: str) -> None:
    """The schemas refuse what lacks something, and what has a number for a text."""
    example = MESSAGES[name]["examples"][0]["payload"]
    for field in example.keys() - {"snapshot"}:
        assert faults(name, {key: example[key] for key in example if key != field})
        assert faults(name, {**example, field: [example[field]]})


@given(st.integers(0, 10**30))
def test_credits_of_snapshots_are_written_so(amount_micro: int) -> None:
    """However large: exactly six places."""
    schema = {**MESSAGES["chat"]["examples"][0]["payload"], "cost": format_micro(amount_micro)}
    assert faults("chat", schema) == []
    assert faults("chat", {**schema, "cost": format_micro(amount_micro)[:-1]})
    assert chat()["properties"]["cost"]["pattern"]
