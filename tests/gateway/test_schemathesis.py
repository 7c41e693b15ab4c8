"""The gateway keeps to its own description, whatever is asked of it."""

import os
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, seed, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.pytest.lazy import get_all_tests
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from daemon.gateway.app import describe
from daemon.gateway.cursors import pack_cursor
from tests.gateway.conftest import Gateway

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]

SEED: Final = int(os.environ.get("SCHEMATHESIS_SEED", "20261125"))
MAX_EXAMPLES: Final = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "10"))
CURSORS: Final = {
    "/v1/chats": pack_cursor(1_700_000_000_000, "c"),
    "/v1/chats/{chat_id}/history": pack_cursor(5),
    "/v1/users/{user_id}/ledger": pack_cursor(1_700_000_000_000, "e"),
    "/v1/dead": pack_cursor("1700000000000-0"),
    "/v1/operations": pack_cursor(1_700_000_000_000, "o"),
    "/v1/events": "0",
    "/v1/usage": pack_cursor("k"),
}

# Of a stream, its first message: it would go on until its token ends.
CONFIG: Final = SchemathesisConfig.from_dict({"max-stream-events": 1})
DESCRIBED: Final = describe().openapi()
schema: Any = schemathesis.openapi.from_dict(DESCRIBED, config=CONFIG)
OPERATIONS: Final = [(method, path) for path, of in DESCRIBED["paths"].items() for method in of]


@schema.hook("map_case")
def _say_what_a_description_can_not(_: Any, case: Any) -> Any:
    """In what is meant to be accepted, what holds between fields, or of what a list gave."""
    if not case.meta.generation.mode.is_positive:
        return case
    query = case.query or {}
    commands = case.body if isinstance(case.body, list) else [case.body]
    _relate_query(query, case.operation.path)
    if case.operation.path == "/v1/chats":
        case.query = _listed(query)
    if case.headers and any(isinstance(one, dict) and one.get("id") for one in commands):
        case.headers.pop("idempotency-key", None)  # one id is enough
    if case.headers and case.operation.path == "/v1/events":
        case.headers.pop("last-event-id", None)  # events after it may be gone
    for one in commands:
        if isinstance(one, dict):
            _relate_fields(one)
    return case


def _listed(query: dict[str, Any]) -> dict[str, Any]:
    """What can be listed: one of four is needed, and a search or a cursor goes with one order."""
    without = {"sort", "order"} if {"after", "search"} & query.keys() else set()
    without |= {"search"} if "after" in query else set()
    return {k: v for k, v in {**query, "status": "open"}.items() if k not in without}


def _relate_query(query: dict[str, Any], path: str) -> None:
    if "after" in query:
        query["after"] = CURSORS[path]
    if "wait_ms" in query:
        query["wait_ms"] = 0  # nothing more will happen
    if "from" in query:  # without ``to``, a period ends now
        query["from"], query["to"] = sorted((query["from"], query.get("to", query["from"])))


def _relate_fields(fields: dict[str, Any]) -> None:
    if int(fields.get("carried_free_ms") or 0) > int(fields.get("carried_ms") or 0):
        del fields["carried_free_ms"]  # it is part of that
    for name, value in fields.items():
        if isinstance(value, float) and value.is_integer():
            fields[name] = int(value)  # to a schema 5.0 is whole; to an account it is a float


def _is_about_the_token(case: Any) -> bool:
    """Whether what is wrong is that there is none: then none is sent."""
    mutations = getattr(case.meta.phase.data, "mutations", ())
    return any("Authorization" in repr(one) for one in mutations)


def _has_refused_results(answer: Any) -> bool:
    is_json = answer.headers.get("content-type", [""])[0] == "application/json"
    results = answer.json().get("results", []) if is_json else []
    return any(one["status"] >= 400 for one in results)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_as_described(method: str, path: str, gateway: Gateway) -> None:
    """To what the description allows and to what it does not; with and without a token.

    The cases are made here and not by ``schema.parametrize``, which makes those of all operations
    in each process that collects tests: that takes 7 s.
    """
    print(f"SCHEMATHESIS_SEED={SEED}")
    tests: Any = get_all_tests(
        schema=schema.include(method=method.upper(), path=path),
        test_func=_is_answered_as_described,
        settings=None,
        given_kwargs={},
    )
    ((_, play),) = (test.ok() for test in tests)
    play(gateway=gateway)


@seed(SEED)
@settings(
    max_examples=MAX_EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
def _is_answered_as_described(case: Any, gateway: Gateway) -> None:
    roles = "user", "advisor", "ops", "admin", "backend"
    headers = {} if _is_about_the_token(case) else gateway.bearer("schema", *roles)
    answer = case.call(base_url=gateway.url, headers=headers)
    # What the daemon refuses was a command: which chats and credits there are, or what time it is,
    # no description can say.
    is_decided = answer.status_code in (402, 422) and "entry" in answer.json()
    excluded = [positive_data_acceptance] if is_decided else []
    if _has_refused_results(answer):  # of an array each command is accepted or refused alone
        excluded.append(negative_data_rejection)
    case.validate_response(
        answer,
        excluded_checks=excluded,
        transport_kwargs={"base_url": gateway.url, "headers": headers},
    )
