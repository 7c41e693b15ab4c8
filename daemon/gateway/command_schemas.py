"""The shapes of commands as JSON, for the OpenAPI description: what docs/http.md says of them."""

from typing import Any, Final

from meterd.rules.commands import SHAPES

Json = dict[str, Any]

IDENTIFIER: Final[Json] = {"pattern": r"^[A-Za-z0-9_.:@/+=-]{1,128}$"}
CREDITS: Final[Json] = {"pattern": r"^[0-9]{1,9}(\.[0-9]{1,6})?$"}
_MORE_THAN_NONE: Final[Json] = {"pattern": r"^(?=[0-9.]*[1-9])[0-9]{1,9}(\.[0-9]{1,6})?$"}

_OF_THE_DAEMON: Final = "settle"


def known_fields(type_: str) -> frozenset[str]:
    """The fields that a command of a type may have over HTTP; empty for an unknown type."""
    if type_ not in SHAPES or type_ == _OF_THE_DAEMON:
        return frozenset()
    needs, may_have = SHAPES[type_]
    return frozenset({"type", "id", "user_id", *needs, *may_have})


def body() -> Json:
    """One command of any type."""
    return {
        "oneOf": [_command(type_) for type_ in SHAPES if type_ != _OF_THE_DAEMON],
        "examples": [{"type": "top_up", "id": "t-1", "user_id": "ann", "amount": "10"}],
    }


def _command(type_: str) -> Json:
    needs = [name for name in SHAPES[type_].needs if name != "id"]  # one is made
    optional = sorted(known_fields(type_) - {"type", *needs})
    return {
        "title": type_,
        "type": "object",
        "required": ["type", *needs],
        "properties": {
            "type": {"const": type_},
            **{name: _FIELDS[name] for name in needs},
            **{name: _or_none(_FIELDS[name]) for name in optional},
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


_NAME: Final = _text({"pattern": r"^[A-Za-z0-9_.:@/+=-]{1,64}$"})
_CREDITS_MAX: Final = 10**9 - 1
_FIELDS: Final[dict[str, Json]] = {
    "id": _text(IDENTIFIER),
    "chat_id": _text(IDENTIFIER),
    "user_id": _text(IDENTIFIER),
    "advisor_id": _text(IDENTIFIER),
    "reason": _NAME,
    "rate": _number(CREDITS, 0, _CREDITS_MAX),
    "amount": _number(_MORE_THAN_NONE, 1, _CREDITS_MAX),
    "carried_cost": _number(CREDITS, 0, _CREDITS_MAX),
    "free_ms": _digits(12),
    "min_ms": _digits(12),
    "increment_ms": _digits(12, least=1),
    "idle_ms": _digits(12),
    "carried_ms": _digits(12),
    "started_at": _digits(15),
}
