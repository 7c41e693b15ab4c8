"""The shapes of commands as JSON, for the OpenAPI description: what docs/http.md says of them."""

from typing import Any, Final, get_args

from daemon.asyncapi import words
from meterd.rules import field_formats
from meterd.rules.commands import SHAPES
from meterd.rules.field_formats import FieldFormat
from meterd.rules.model import FreeScope, IncrementDue

Json = dict[str, Any]

IDENTIFIER: Final[Json] = {"pattern": f"^{field_formats.IDENTIFIER.pattern.pattern}$"}
STORABLE: Final[Json] = {"pattern": r"^[^\x00]*$"}
"""A text that PostgreSQL can hold."""
CREDITS: Final[Json] = {"pattern": f"^{field_formats.CREDITS.pattern.pattern}$"}

_OF_THE_DAEMON: Final = "settle"
_TYPES: Final = tuple(type_ for type_ in SHAPES if type_ != _OF_THE_DAEMON)


def known_fields(type_: str) -> frozenset[str]:
    """The fields that a command of a type may have over HTTP; empty for an unknown type."""
    if type_ not in _TYPES:
        return frozenset()
    needs, may_have = SHAPES[type_]
    return frozenset({"type", "id", "user_id", *needs, *may_have})


COMMANDS_MAX: Final = 100
"""Commands in one array."""


def request_body() -> Json:
    """One command, or an array of them, each with its id."""
    array = {"type": "array", "items": _ref("CommandWithId"), "minItems": 1}
    return {"anyOf": [_ref("Command"), {**array, "maxItems": COMMANDS_MAX}]}


def components() -> dict[str, Json]:
    """The shapes that ``request_body`` names, and one for each type of command."""
    about = "A command of any type"
    return {
        "Command": _any_command(f"{about}; without `id` one is made", needs_id=False),
        "CommandWithId": _any_command(f"{about} with its `id`", needs_id=True),
        **{
            component_name(type_, needs_id): _command(type_, needs_id)
            for type_ in _TYPES
            for needs_id in (False, True)
        },
    }


def component_name(type_: str, needs_id: bool = False) -> str:
    """What the shape of a command is called: generated clients name their types after it."""
    words_of_type = "".join(word.capitalize() for word in type_.split("_"))
    return f"{words_of_type}Command{'WithId' if needs_id else ''}"


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _any_command(about: str, needs_id: bool) -> Json:
    refs = {type_: _ref(component_name(type_, needs_id)) for type_ in _TYPES}
    return {
        "description": about,
        "oneOf": list(refs.values()),
        "discriminator": {
            "propertyName": "type",
            "mapping": {type_: ref["$ref"] for type_, ref in refs.items()},
        },
    }


def _command(type_: str, needs_id: bool) -> Json:
    needs = [name for name in SHAPES[type_].needs if name != "id" or needs_id]
    optional = sorted(known_fields(type_) - {"type", *needs})
    shapes = {
        "type": {"const": type_},
        **{name: field_shape(type_, name) for name in needs},
        **{name: _or_none(field_shape(type_, name)) for name in optional},
    }
    return {
        "type": "object",
        "description": words.COMMANDS[type_],
        "required": ["type", *needs],
        "properties": {
            name: {**shape, "description": words.FIELDS[name]} for name, shape in shapes.items()
        },
        "additionalProperties": False,
    }


def _or_none(shape: Json) -> Json:
    return {"anyOf": [*shape.get("anyOf", [shape]), {"type": "null"}]}


def _text(shape: Json) -> Json:
    return {"type": "string", **shape}


def _number(text: Json, least: int, most: int) -> Json:
    """As text, or as a whole number."""
    whole = {"type": "integer", "minimum": least, "maximum": most}
    return {"anyOf": [_text(text), whole]}


def _digits(most: int, least: int = 0) -> Json:
    some = "(?=0*[1-9])" if least else ""
    return _number({"pattern": rf"^{some}[0-9]{{1,{most}}}$"}, least, 10**most - 1)


def _credits(form: FieldFormat) -> Json:
    """As text, or as whole credits."""
    is_signed = form is field_formats.SIGNED_AMOUNT
    least = -_CREDITS_MAX if is_signed else int(form.is_above_0)
    return _number(_pattern(form), least, _CREDITS_MAX)


def _pattern(form: FieldFormat) -> Json:
    some = "(?=[^1-9]*[1-9])" if form.is_above_0 else ""
    return {"pattern": f"^{some}{form.pattern.pattern}$"}


_CREDITS_MAX: Final = 10**9 - 1
_OF_CREDITS: Final = (field_formats.CREDITS, field_formats.AMOUNT, field_formats.SIGNED_AMOUNT)
_DIGITS_MAX: Final = {
    field_formats.DURATION: 12,
    field_formats.INCREMENT: 12,
    field_formats.TIMESTAMP: 15,
}
_CHOICES: Final[dict[FieldFormat, tuple[str, ...]]] = {
    field_formats.FREE_SCOPE: get_args(FreeScope),
    field_formats.INCREMENT_DUE: get_args(IncrementDue),
}


def field_shape(type_: str, name: str) -> Json:
    """Give the shape of a field: numbers may come as such, and a flag as true or false."""
    form = field_formats.format_of(type_, name)
    if form in _OF_CREDITS:
        return _credits(form)
    if form in _DIGITS_MAX:
        return _digits(_DIGITS_MAX[form], least=int(form.is_above_0))
    if form in _CHOICES:
        return {"type": "string", "enum": list(_CHOICES[form])}
    if form is field_formats.FLAG:
        return {"anyOf": [_text(_pattern(form)), {"enum": [0, 1]}, {"type": "boolean"}]}
    return _text(_pattern(form))
