"""What FastAPI does not put into the OpenAPI description: headers, examples, whole summaries."""

from collections.abc import Iterator
from typing import Any, Final

from daemon.gateway import examples
from daemon.gateway.command_schemas import components
from daemon.gateway.examples import CSV, JSON

Json = dict[str, Any]

TAGS: Final = [
    {"name": name, "description": text}
    for name, text in {
        "advisors": "An advisor's chats summed up.",
        "chats": "Chats as they are, as they were, and as they change.",
        "commands": "What a backend wants done.",
        "events": "Everything that happens, for backends.",
        "health": "For whoever watches over the gateway.",
        "operators": "The whole service, and what people do by hand.",
        "usage": "What a period came to.",
        "users": "A user's account: its wallet, its ledger, and its stream.",
    }.items()
]
SERVERS: Final = [{"url": "/", "description": "The gateway that has this description"}]


def _header(text: str, example: str | int, **more: Any) -> Json:
    kind = "integer" if isinstance(example, int) else "string"
    return {"description": text, "schema": {"type": kind}, "example": example, **more}


_HEADERS: Final = {
    "X-Request-Id": _header(
        "Names the request in the gateway's log; the one of the request, if it had one",
        "7d0b5f0e3c1a4f6f8f5f3a7f0a1b2c3d",
        required=True,
    ),
    "ETag": _header(
        "Of the document but for `now`: ask with it in `If-None-Match`",
        'W/"1f0a6c5e9d3b7a2c4e8f6051"',
    ),
    "RateLimit-Policy": _header(
        "So many requests (`q`) in so many seconds (`w`); not there where nobody counts",
        '"default";q=100;w=2',
    ),
    "RateLimit": _header(
        "So many requests are left (`r`), all of them in `t` seconds", '"default";r=99;t=1'
    ),
    "Retry-After": _header("Ask again after so many seconds", 1),
    "Link": _header("The next page, if there is one", '</v1/usage?after=eyJ>; rel="next"'),
    "Content-Disposition": _header("Its name as a file", 'attachment; filename="usage.csv"'),
    "WWW-Authenticate": _header("What is wanted", 'Bearer realm="meterd"'),
}
_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of what you have: 304 if nothing has changed since",
    "schema": {"type": "string"},
}
_NOT_MODIFIED: Final = {"description": "What you have is still so"}
_OF_STATUS: Final = {
    "304": ("ETag",), "401": ("WWW-Authenticate",), "429": ("Retry-After",),
    "503": ("Retry-After",),
}  # fmt: skip


def complete(document: Json) -> Json:
    """Add to what FastAPI has made of the routes, which is changed."""
    for part in ("paths", "components"):
        document[part] = _without_titles(document[part])
    shapes = document["components"]["schemas"]
    shapes |= components()
    shapes["Problem"]["examples"] = [examples.PROBLEM]
    document["components"]["headers"] = _HEADERS
    for operation in operations(document):
        _complete(operation)
    return document


def operations(document: Json) -> Iterator[Json]:
    """Every operation that is described."""
    for path in document["paths"].values():
        yield from path.values()


def _complete(operation: Json) -> None:
    operation["summary"] = operation["description"].partition("\n")[0].removesuffix(".")
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
        if parameter["schema"].get("type") == "array":
            parameter |= {"style": "form", "explode": True}  # once for each, as is usual
    if "requestBody" not in operation and JSON in _kinds(operation["responses"]["200"]):
        operation.setdefault("parameters", []).append(_IF_NONE_MATCH)
        operation["responses"]["304"] = dict(_NOT_MODIFIED)
    _add_headers(operation)
    _add_examples(operation)


def _add_headers(operation: Json) -> None:
    """Name the headers of each answer; ``security`` is empty where nobody is asked for a token."""
    answers = operation["responses"]
    common = ["X-Request-Id"]
    if operation["security"]:
        common += ["RateLimit-Policy", "RateLimit"]
    for status, answer in answers.items():
        names = [*common, *_OF_STATUS.get(status, ())]
        if status == "200" and "304" in answers:
            names.append("ETag")
        if CSV in _kinds(answer):
            names += ["Link", "Content-Disposition"]
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _add_examples(operation: Json) -> None:
    name = operation["operationId"]
    for kind, example in examples.ANSWERS[name].items():
        _kinds(operation["responses"]["200"])[kind]["example"] = example
    if name in examples.REQUESTS:
        named = {one: {"value": body} for one, body in examples.REQUESTS[name].items()}
        _kinds(operation["requestBody"])[JSON]["examples"] = named


def _kinds(part: Json) -> Json:
    """What it may come as."""
    content: Json = part.get("content", {})
    return content


def _without_null(schema: Json) -> Json:
    """Of a parameter that may be left out: null is what it is in Python then, and nothing else."""
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**{name: part for name, part in schema.items() if name != "anyOf"}, **kinds[0]}


def _without_titles(node: Any, are_fields: bool = False) -> Any:
    """Titles repeat names, and generated clients show them as if they said more."""
    if isinstance(node, list):
        return [_without_titles(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _without_titles(part, are_fields=name == "properties" and not are_fields)
        for name, part in node.items()
        if are_fields or name != "title"
    }
