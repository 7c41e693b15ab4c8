"""The AsyncAPI document: channels, what goes through them, and who sends it."""

from collections.abc import Iterable
from importlib import metadata
from typing import Any, Final

from daemon.asyncapi import examples, schemas, snapshots, words
from meterd.rules.commands import ENTRY_BYTES_MAX, SHAPES
from meterd.rules.events import EVENTS
from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.commit import Limits

Json = dict[str, Any]

_KEYS: Final = Keys()
_LIMITS: Final = Limits()
_OWN: Final = "settle"
"""The command that the daemon sends to itself."""

_ABOUT: Final = """\
What backends, frontends and operators exchange with meterd through Redis or Valkey. The contract is
docs/protocol.md; this is its wire in a form that programs read.

A stream entry is a flat map of names to texts. It is described as a JSON object all of whose values
are strings. Patterns are those of ECMA-262. What the daemon sends may get more fields in a later
version: leave out those you don't know. Credits are decimals with at most 6 places, never floats;
times are whole milliseconds of the queue's clock."""

_COMMANDS: Final = f"""\
One XADD for each command, with `*` for its ID: it happens at the millisecond of that ID. The daemon
reads as the consumer group `{GROUP}`.

What these schemas can't say, and the daemon refuses all the same with `invalid_command`:

- a field that comes twice, even with the same value;
- names or values that are not UTF-8;
- `started_at` + `carried_ms` later than the command's own millisecond (`adopt`);
- an entry over {ENTRY_BYTES_MAX} bytes, names and values together (none that is valid here is)."""

_REPLY_TO: Final = {
    "description": "As the command's `reply_to` says.",
    "location": "$message.payload#/reply_to",
}
_PARTITION: Final = {
    "description": "The hash tag, braces included: all keys lie in one slot of a cluster.",
    "enum": ["{0}"],
    "default": "{0}",
}


def document() -> Json:
    """All of it."""
    return {
        "asyncapi": "3.0.0",
        "info": _info(),
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "schemas": {"chat": snapshots.chat(), "wallet": snapshots.wallet()},
            "messages": _messages(),
            "securitySchemes": {
                "user": {
                    "type": "userPassword",
                    "description": "A user of deploy/redis-users.acl.",
                }
            },
        },
    }


def _info() -> Json:
    return {
        "title": "meterd",
        "version": metadata.version("meterd"),
        "description": _ABOUT,
        "license": {
            "name": "Apache-2.0",
            "url": "https://www.apache.org/licenses/LICENSE-2.0",
        },
    }


def _servers() -> Json:
    variables = {"address": {"description": "Host and port.", "default": "localhost:6379"}}
    return {
        name: {
            "host": "{address}",
            "protocol": protocol,
            "description": about,
            "variables": variables,
            "security": [{"$ref": "#/components/securitySchemes/user"}],
        }
        for name, protocol, about in (
            ("plain", "redis", "Redis 7.0+ or Valkey 7.2+ on this machine."),
            ("secure", "rediss", "The same over TLS, on any other."),
        )
    }


def _channels() -> Json:
    replies = f"capped at about {_LIMITS.reply_entries_max} entries, {_LIMITS.reply_ttl_ms} ms"
    return {
        "commands": _channel(_KEYS.commands, "stream", _COMMANDS, SHAPES),
        "replies": _channel(
            _KEYS.reply("{reply_to}"),
            "stream",
            f"Replies to whoever asked for them; {replies} after the last one it is gone. At most "
            f"{_LIMITS.reply_streams_max} of these streams at once: beyond, no new one is made, "
            "and the same command once more, with a `reply_to` that has a stream, is told its "
            "outcome.",
            ["reply"],
            {"reply_to": _REPLY_TO},
        ),
        "events": _channel(
            _KEYS.events,
            "stream",
            "What happened, each thing once; a user's events are in order of `at`. Capped at about "
            f"{_LIMITS.event_entries_max} entries.",
            EVENTS,
        ),
        "dead": _channel(
            _KEYS.dead,
            "stream",
            "Entries that can't be a command, or that made the daemon fail again and again. Capped "
            f"at about {_LIMITS.dead_entries_max} entries and {_LIMITS.dead_bytes_max} bytes.",
            ["dead_letter"],
        ),
        "chat": _channel(
            _KEYS.chat("{chat_id}"),
            "string",
            "A chat's snapshot, replaced with every change. A day after the end the key goes; "
            "Postgres has the record for ever.",
            ["chat"],
            {"chat_id": {"description": words.FIELDS["chat_id"]}},
        ),
        "wallet": _channel(
            _KEYS.wallet("{user_id}"),
            "string",
            "An account's snapshot, replaced with every change.",
            ["wallet"],
            {"user_id": {"description": words.FIELDS["user_id"]}},
        ),
    }


def _channel(
    key: str, kind: str, about: str, messages: Iterable[str], parameters: Json | None = None
) -> Json:
    return {
        "address": key.replace("{0}", "{partition}"),
        "description": about,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "parameters": {"partition": _PARTITION, **(parameters or {})},
        "x-redis-type": kind,
    }


def _operations() -> Json:
    """As the daemon sees it: it receives commands, and sends everything else."""
    asked = [type_ for type_ in SHAPES if type_ != _OWN]
    reply = {"channel": _in("replies"), "messages": [_in("replies", "reply")]}
    return {
        "handleCommand": {
            **_operation("receive", "commands", "A command is decided and answered.", asked),
            "reply": reply,
        },
        "settle": _operation("send", "commands", words.COMMANDS[_OWN], [_OWN]),
        "tell": _operation("send", "events", "Something happened.", EVENTS),
        "setAside": _operation("send", "dead", "An entry is no command.", ["dead_letter"]),
        "showChat": _operation("send", "chat", "A chat has changed.", ["chat"]),
        "showWallet": _operation("send", "wallet", "An account has changed.", ["wallet"]),
    }


def _operation(action: str, channel: str, summary: str, messages: Iterable[str]) -> Json:
    return {
        "action": action,
        "channel": _in(channel),
        "summary": summary,
        "messages": [_in(channel, name) for name in messages],
    }


def _in(channel: str, message: str = "") -> Json:
    inside = f"/messages/{message}" if message else ""
    return {"$ref": f"#/channels/{channel}{inside}"}


def _messages() -> Json:
    asked = {
        type_: _message(type_, words.COMMANDS[type_], schemas.command(type_))
        | _examples(examples.commands(type_))
        | {"correlationId": {"location": "$message.payload#/id"}}
        for type_ in SHAPES
    }
    happened = {
        name: _message(name, words.EVENTS[name], schemas.event(name))
        | _examples([examples.event(name)])
        for name in EVENTS
    }
    return {
        **asked,
        "reply": _reply(),
        **happened,
        "dead_letter": _message("dead_letter", "An entry that was set aside, and why.",
                                schemas.dead_letter())
        | _examples([examples.dead_letter()]),
        "chat": _message("chat", "A chat as of its last change.", _component("chat"))
        | _examples([examples.chat()]),
        "wallet": _message("wallet", "An account as of its last change.", _component("wallet"))
        | _examples([examples.wallet()]),
    }  # fmt: skip


def _reply() -> Json:
    return {
        **_message("reply", "The answer to a command.", schemas.reply()),
        "description": f"What the outcomes mean:\n\n{schemas.outcomes_as_text()}",
        "correlationId": {"location": "$message.payload#/id"},
        **_examples(examples.replies()),
    }


def _message(name: str, summary: str, payload: Json) -> Json:
    return {"name": name, "summary": summary, "payload": payload}


def _component(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _examples(payloads: Iterable[Json]) -> Json:
    return {"examples": [{"payload": payload} for payload in payloads]}
