"""The OpenAPI description is valid, and says of everything what it is."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.gateway.conftest import Gateway

ROOT: Final = Path(__file__).parents[3]
DOCUMENT: Final[dict[str, Any]] = json.loads((ROOT / "docs" / "openapi.json").read_text("utf-8"))
OPERATIONS: Final[dict[str, dict[str, Any]]] = {
    operation["operationId"]: operation
    for path in DOCUMENT["paths"].values()
    for operation in path.values()
}
PARTS: Final[dict[str, dict[str, Any]]] = DOCUMENT["components"]
SHOWN: Final = re.compile(r"^`([^`]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHORT: Final = re.compile(r"[a-z]+(_[a-z]+){0,2}")

OF_EVERY_SERVER: Final = {
    "cache-control", "content-length", "content-type", "date", "referrer-policy", "server",
    "x-content-type-options", "x-frame-options",
}  # fmt: skip

Content = tuple[str, Any, Any]
"""Where it is, its schema, an example."""


def test_the_document_is_valid() -> None:
    """By the specification of OpenAPI 3.1."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_the_validator_refuses_what_openapi_has_not() -> None:
    """So that the test above says something."""
    wrong = copy.deepcopy(DOCUMENT)
    wrong["paths"]["/v1/chats"]["get"]["parameters"][0]["in"] = "nowhere"
    assert list(OpenAPIV31SpecValidator(wrong).iter_errors())


def test_nothing_is_without_a_description() -> None:
    """No operation, parameter, body, answer, header, shape or field."""
    bare = [
        place for place, part in _described(DOCUMENT) if not part.get("description", "").strip()
    ]
    assert bare == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_a_summary_and_a_short_id(name: str) -> None:
    """Generated clients name their functions after the id, which is there once."""
    summary = OPERATIONS[name]["summary"]
    assert SHORT.fullmatch(name)
    assert len([id_ for id_ in OPERATIONS if id_ == name]) == 1
    assert 10 <= len(summary) <= 100
    assert not summary.endswith(".")
    assert "\n" not in summary


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_examples_that_fit(name: str) -> None:
    """Of its body, and of what is answered with 200, in each form."""
    found = list(_examples(OPERATIONS[name]))
    assert found
    for place, schema, example in found:
        assert example is not None, f"{place} has no example"
        whole = {"components": PARTS, **(schema or {"type": "string"})}
        jsonschema.Draft202012Validator(whole).validate(example)


@pytest.mark.parametrize("name", ["program.ts", "program.py"])
def test_the_documents_show_a_program_as_it_is(name: str) -> None:
    """Each is compiled and run with the client that is generated for it."""
    shown = dict(SHOWN.findall((ROOT / "docs" / "http.md").read_text("utf-8")))
    assert shown[name] == (Path(__file__).parent / name).read_text("utf-8")


@pytest.mark.acceptance
@pytest.mark.ray
def test_every_header_that_is_sent_is_described(gateway: Gateway, name: str) -> None:
    """But for those that every server sends; of documents, tables, refusals and no change."""
    gateway.do("top_up", user_id=name, amount="1")
    wallet, usage = f"/v1/users/{name}/wallet", "/v1/usage"
    asked = {
        "read_wallet": gateway.get(wallet, name),
        "read_usage": gateway.get(usage, "an-operator", "ops", by="user", format="csv", limit=1),
        "read_events": gateway.get("/v1/events", name),
        "read_chat": gateway.http.get(f"/v1/chats/{name}"),
        "list_chats": gateway.get("/v1/chats", name, limit=0),
        "healthz": gateway.http.get("/healthz"),
        "read_metrics": gateway.http.get("/metrics"),
        "post_command": gateway.post({"type": "end", "chat_id": name}),
    }
    tag = {"If-None-Match": asked["read_wallet"].headers["ETag"]}
    again = gateway.http.get(wallet, headers={**gateway.bearer(name), **tag})
    answers = [*asked.items(), ("read_wallet", again)]
    assert [each.status_code for _, each in answers] == [
        200,
        200,
        403,
        401,
        422,
        200,
        200,
        404,
        304,
    ]
    seen = set()
    for operation, answer in answers:
        described = {*OPERATIONS[operation]["responses"][str(answer.status_code)]["headers"]}
        sent = {header.lower() for header in answer.headers} - OF_EVERY_SERVER
        assert sent <= {header.lower() for header in described}, operation
        seen |= sent
    assert {header.lower() for header in PARTS["headers"]} - seen <= {"link", "retry-after"}


def _examples(operation: dict[str, Any]) -> Iterator[Content]:
    """Each body and each 200 with its examples; None where there is none."""
    bodies = operation.get("requestBody", {}).get("content", {})
    for kind, content in bodies.items():
        for name, example in content.get("examples", {"": {"value": None}}).items():
            yield f"body {kind} {name}", content["schema"], example["value"]
    for kind, content in operation["responses"]["200"]["content"].items():
        yield f"200 {kind}", content.get("schema"), content.get("example")


def _described(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that has to have a description, with its place."""
    yield "info", document["info"]
    for part in ("tags", "servers"):
        yield from ((f"{part} {one}", one) for one in document[part])
    for name, operation in OPERATIONS.items():
        yield name, operation
        yield from ((f"{name} {one['name']}", one) for one in operation.get("parameters", ()))
        yield from ((f"{name} {code}", one) for code, one in operation["responses"].items())
        if "requestBody" in operation:
            yield f"{name} body", operation["requestBody"]
    for kind in ("headers", "schemas", "securitySchemes"):
        yield from ((f"{kind} {name}", one) for name, one in document["components"][kind].items())
    yield from _fields("", document)


def _fields(place: str, node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each field of each object, however deep; examples are no schemas."""
    if isinstance(node, list):
        for number, one in enumerate(node):
            yield from _fields(f"{place}/{number}", one)
    if not isinstance(node, dict):
        return
    for name, one in node.items():
        if name == "properties":
            yield from ((f"{place}/{field}", shape) for field, shape in one.items())
        if name not in ("example", "examples"):
            yield from _fields(f"{place}/{name}", one)
