"""JSON Schemas of stream entries: flat maps of names to texts, their forms taken from the rules."""

from collections.abc import Iterable
from typing import Any, Final

from daemon.asyncapi import words
from meterd.rules import events, outcomes
from meterd.rules.commands import ALWAYS, SHAPES
from meterd.rules.field_formats import FIELD_FORMATS, NAME, FieldFormat, format_of
from meterd.rules.model import (
    ABANDONED,
    BY_COMMAND,
    BY_IDLE,
    CREDITS_EXHAUSTED,
    ENDED,
    LIMIT_REACHED,
)

Schema = dict[str, Any]

ENTRY_ID: Final = "^[0-9]+-[0-9]+$"
_DIGITS: Final = {"type": "string", "pattern": "^[0-9]+$"}
_OWN_END_REASONS: Final = (ENDED, CREDITS_EXHAUSTED, ABANDONED, LIMIT_REACHED)


def text(form: FieldFormat) -> Schema:
    """A text of a form: as ECMA-262 reads patterns, where ``$`` is the very end."""
    whole = f"^{form.pattern.pattern}$"
    if form.is_above_0:
        return {"type": "string", "allOf": [{"pattern": whole}, {"pattern": "[1-9]"}]}
    return {"type": "string", "pattern": whole}


def command(type_: str) -> Schema:
    """What ``parse_entry`` takes for a command of this type, as far as a schema can say it."""
    shape = SHAPES[type_]
    names = dict.fromkeys((*ALWAYS, *shape.needs, *shape.may_have))
    properties = {
        name: _described(name, text(format_of(type_, name))) for name in names if name != "type"
    }
    return {
        **_entry({"type": _described("type", {"const": type_}), **properties}),
        "required": ["type", *shape.needs],
        "additionalProperties": False,
    }


def event(name: str) -> Schema:
    """An event, with the fields that it has beside those of all."""
    own = events.EVENTS[name]
    properties = {
        "event": {"const": name},
        "at": _DIGITS,
        "user_id": text(FIELD_FORMATS["user_id"]),
        "seq": _DIGITS,
        **{field: _of_event(name, field) for field in own},
    }
    described = {field: _described(field, schema) for field, schema in properties.items()}
    return {**_entry(described), "required": list(described)}


def reply() -> Schema:
    """The answer to a command, valid or not."""
    properties: dict[str, Schema] = {
        "id": {"type": "string"},
        "outcome": {"type": "string", "enum": list(outcomes.MESSAGES)},
        "message": {"type": "string"},
        "entry": {"type": "string", "pattern": ENTRY_ID},
        "replayed": {"type": "string", "enum": ["0", "1"]},
        "snapshot": _json_text("chat", "wallet"),
    }
    described = {field: _described(field, schema) for field, schema in properties.items()}
    required = [name for name in described if name != "snapshot"]
    return {**_entry(described), "required": required}


def dead_letter() -> Schema:
    """An entry that was set aside."""
    refused = [outcomes.INVALID_COMMAND, outcomes.INTERNAL_ERROR]
    properties: dict[str, Schema] = {
        "entry": {"type": "string", "pattern": ENTRY_ID},
        "outcome": {"type": "string", "enum": refused},
        "reason": {"type": "string"},
        "fields": {"type": "string", "contentMediaType": "application/json"},
    }
    described = {field: _described(field, schema) for field, schema in properties.items()}
    return {**_entry(described), "required": list(described)}


def _of_event(name: str, field: str) -> Schema:
    if field == "chat_id":
        return text(FIELD_FORMATS["chat_id"])
    if field != "reason":
        return _DIGITS
    if name == events.CHAT_PAUSED:
        return {"type": "string", "enum": [BY_COMMAND, BY_IDLE]}
    # The command may have given one of its own.
    return {"type": "string", "anyOf": [{"enum": [*_OWN_END_REASONS]}, text(NAME)]}


def _json_text(*schemas: str) -> Schema:
    references = [{"$ref": f"#/components/schemas/{name}"} for name in schemas]
    media = "application/json"
    return {"type": "string", "contentMediaType": media, "x-contentSchema": {"oneOf": references}}


def _described(field: str, schema: Schema) -> Schema:
    return {"description": words.FIELDS[field], **schema}


def _entry(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def outcomes_as_text(names: Iterable[str] = outcomes.MESSAGES) -> str:
    """The outcomes with what each means, as a list for people."""
    return "\n".join(f"- `{name}`: {outcomes.MESSAGES[name]}" for name in names)
