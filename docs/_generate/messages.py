"""The reference of commands, replies, events and snapshots: from docs/asyncapi.json."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from docs._generate.markdown import block, code, page, prose, table
from docs._generate.schemas import JsonSchema, fields_table

_ABOUT: Final = """\
This page is for developers who write a client in another language. It lists every message that
goes through Redis. [The contract](../docs/protocol.md) describes what each one does."""


def messages_page(document: JsonSchema) -> str:
    """Make the page: each key of Redis, with the messages in it.

    Args:
        document: the AsyncAPI description.
    """
    parts = ["# Commands and events", _ABOUT, prose(document["info"]["description"])]
    for name, channel in document["channels"].items():
        parts += [f"## {name.capitalize()}", *_channel(channel)]
        for message in channel["messages"]:
            parts += _message(message, document["components"])
    return page(*parts)


def _channel(channel: Mapping[str, Any]) -> Iterator[str]:
    yield prose(channel["description"])
    yield f"Key: {code(channel['address'])}, a {channel['x-redis-type']}."
    yield table(
        ("part of the key", "meaning"),
        ((code(name), prose(each["description"])) for name, each in channel["parameters"].items()),
    )


def _message(name: str, components: Mapping[str, Any]) -> Iterator[str]:
    message = components["messages"][name]
    payload: JsonSchema = message["payload"]
    if "$ref" in payload:
        payload = components["schemas"][payload["$ref"].rpartition("/")[2]]
    yield f"### {code(name)}"
    yield prose(message["summary"])
    yield prose(message.get("description", ""))
    yield fields_table(payload)
    for example in message.get("examples", ())[-1:]:  # the last one has the most fields
        yield block(json.dumps(example["payload"], indent=2, ensure_ascii=False), "json")
