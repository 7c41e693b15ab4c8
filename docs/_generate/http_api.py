"""The reference of the routes over HTTP: from docs/openapi.json."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from docs._generate.markdown import block, code, page, prose, table
from docs._generate.schemas import JsonSchema, fields_table, type_in_words

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_PROBLEM: Final = "application/problem+json"
OBJECTS_PAGE: Final = "http-objects.md"

_ABOUT_ROUTES: Final = f"""\
This page is for backend and frontend developers who call the gateway. It lists every route with
its parameters and answers. [The gateway](../docs/http.md) describes tokens, roles and streams, and
[HTTP objects]({OBJECTS_PAGE}) the fields of every body."""


def _to_object(name: str) -> str:
    return f"[{name}]({OBJECTS_PAGE}#{name.lower()})"


def _within(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def routes_page(document: JsonSchema) -> str:
    """Make the page of the routes.

    Args:
        document: the OpenAPI description.
    """
    parts = ["# HTTP routes", _ABOUT_ROUTES]
    for tag in document["tags"]:
        parts += [f"## {tag['name'].capitalize()}", prose(tag["description"])]
        for path, methods in document["paths"].items():
            for method in _METHODS:
                operation = methods.get(method)
                if operation and tag["name"] in operation["tags"]:
                    parts += _route(f"{method.upper()} {path}", operation, document)
    return page(*parts)


def _route(title: str, operation: JsonSchema, document: JsonSchema) -> Iterator[str]:
    # Braces in a heading would be an attribute to some renderers; in code they are text.
    yield f"### {code(title)}"
    yield prose(operation["description"])
    yield f"Token: {_token(operation)}."
    yield _parameters(operation)
    if body := operation.get("requestBody"):
        yield f"Body: {_content(body['content'])}."
    yield _answers(operation["responses"])
    yield from _example(operation["responses"])
    yield _headers(operation["responses"], document)


def _token(operation: JsonSchema) -> str:
    security = operation.get("security", [])
    if not security or {} in security:
        return "none is needed" if not any(security) else "optional"
    return "required"


def _parameters(operation: JsonSchema) -> str:
    return table(
        ("parameter", "in", "type", "required", "meaning"),
        (
            (
                code(each["name"]),
                each["in"],
                _with_default(each["schema"]),
                "yes" if each.get("required") else "",
                prose(each.get("description", "")),
            )
            for each in operation.get("parameters", ())
        ),
    )


def _with_default(schema: JsonSchema) -> str:
    default = schema.get("default")
    words = type_in_words(schema, _to_object)
    return words if default in (None, "") else f"{words}; default {code(json.dumps(default))}"


def _content(content: Mapping[str, Any]) -> str:
    return " or ".join(
        f"{type_in_words(body['schema'], _to_object)} ({code(kind)})"
        if "schema" in body
        else code(kind)
        for kind, body in content.items()
    )


def _answers(responses: Mapping[str, Any]) -> str:
    return table(
        ("status", "body", "meaning"),
        (
            (status, _content(each.get("content", {})), prose(each["description"]))
            for status, each in responses.items()
        ),
    )


def _example(responses: Mapping[str, Any]) -> Iterator[str]:
    for kind, body in responses.get("200", {}).get("content", {}).items():
        if example := body.get("example"):
            if isinstance(example, str):
                yield block(example, "text")
            else:
                yield block(json.dumps(example, indent=2, ensure_ascii=False), "json")
            assert kind != _PROBLEM, "200 is no problem"
            return


def _headers(responses: Mapping[str, Any], document: JsonSchema) -> str:
    names = dict.fromkeys(name for each in responses.values() for name in each.get("headers", ()))
    described = document["components"]["headers"]
    assert set(names) <= set(described), "each header is described once"
    return f"Headers of answers: {', '.join(map(_header_link, names))}." if names else ""


def _header_link(name: str) -> str:
    return f"[{code(name)}]({OBJECTS_PAGE}#headers)"


def objects_page(document: JsonSchema) -> str:
    """Make the page of the bodies and headers.

    Args:
        document: the OpenAPI description.
    """
    components = document["components"]
    headers = (
        (code(name), prose(each["description"]), code(each["example"]))
        for name, each in components["headers"].items()
    )
    objects = (part for name, each in components["schemas"].items() for part in _object(name, each))
    return page(
        "# HTTP objects",
        "This page is for backend and frontend developers who call the gateway. It lists the "
        "fields of every body. [HTTP routes](http-routes.md) has the routes.",
        "## Headers",
        table(("header", "meaning", "example"), headers),
        "## Bodies",
        *objects,
    )


def _object(name: str, schema: JsonSchema) -> Iterator[str]:
    yield f"### {name}"
    yield prose(schema.get("description", ""))
    fields = fields_table(schema, _within)
    yield fields or f"Type: {type_in_words(schema, _within)}."
