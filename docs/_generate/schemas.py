"""JSON schemas in words and tables, as OpenAPI, AsyncAPI and the settings have them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from docs._generate.markdown import code, prose, table

JsonSchema: TypeAlias = Mapping[str, Any]
LinkTo = Callable[[str], str]
"""From the name of a schema that is referred to, to Markdown."""

_BOUNDS: Final = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "less than {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} of them"),
    ("maxItems", "at most {} of them"),
)
_CHOICES: Final = ("anyOf", "oneOf")


def type_in_words(schema: JsonSchema, link: LinkTo = code) -> str:
    """Describe which values a schema takes, in one line of Markdown.

    Args:
        schema: the schema.
        link: makes the link to a schema that this one refers to.
    """
    if "$ref" in schema:
        return link(str(schema["$ref"]).rpartition("/")[2])
    for key in _CHOICES:
        if key in schema:
            return " or ".join(_unique(type_in_words(each, link) for each in schema[key]))
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return ", ".join(code(each) for each in schema["enum"])
    return ", ".join([_plain_type(schema, link), *_limits(schema)])


def _plain_type(schema: JsonSchema, link: LinkTo) -> str:
    type_ = schema.get("type", "any value")
    if type_ == "array" and "items" in schema:
        return f"array of {type_in_words(schema['items'], link)}"
    if type_ == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {type_in_words(schema['additionalProperties'], link)}"
    return " or ".join(type_) if isinstance(type_, list) else str(type_)


def _limits(schema: JsonSchema) -> list[str]:
    limits = [words.format(_number(schema[key])) for key, words in _BOUNDS if key in schema]
    parts = [schema, *schema.get("allOf", ())]
    limits += [f"pattern {code(part['pattern'])}" for part in parts if "pattern" in part]
    if "contentMediaType" in schema:
        limits.append(f"holds {code(schema['contentMediaType'])}")
    return limits


def _number(value: float) -> str:
    """Write a bound without the `.0` that the settings of some have."""
    return str(int(value)) if value == int(value) else str(value)


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def fields_table(schema: JsonSchema, link: LinkTo = code) -> str:
    """Make a table of an object's fields; empty if the schema has none.

    Args:
        schema: the schema of the object.
        link: makes the link to a schema that a field refers to.
    """
    required = set(schema.get("required", ()))
    return table(
        ("field", "type", "required", "meaning"),
        (
            (
                code(name),
                type_in_words(field, link),
                "yes" if name in required else "",
                prose(str(field.get("description", ""))),
            )
            for name, field in schema.get("properties", {}).items()
        ),
    )
