"""Errors: every code is in the contract, and every problem has what programs and people need."""

import re
from pathlib import Path

import msgspec
import pytest

from daemon.gateway import errors
from daemon.gateway.errors import MEDIA_TYPE, ProblemError, problem_response
from meterd.rules import outcomes

ROOT = Path(__file__).parents[2]
RAISED = re.compile(r'(?:ProblemError\(\s*\d+,|\bunavailable\()\s*"([a-z_]+)"')


def _codes() -> set[str]:
    """Every code that stands in the gateway."""
    sources = (ROOT / "daemon" / "gateway").rglob("*.py")
    found = {code for path in sources for code in RAISED.findall(path.read_text())}
    return found | set(errors._ROUTING.values())


def test_every_code_is_in_the_contract() -> None:
    """In the table of errors, where programs look for it."""
    errors = (ROOT / "docs" / "http.md").read_text().partition("## Errors")[2]
    listed = set(re.findall("`([a-z_]+)`", errors))
    assert {"unauthenticated", "too_large", "busy", "redis_away"} <= _codes()
    assert _codes() <= listed
    assert listed & outcomes.MESSAGES.keys() == {"internal_error"}


@pytest.mark.parametrize(
    "problem",
    [
        errors.unauthenticated("because"),
        errors.forbidden("because"),
        errors.invalid("limit", "because"),
        errors.redis_unavailable("because"),
        errors.postgres_unavailable("because"),
        errors.busy("because"),
        ProblemError(404, "unknown_chat", "because", id="x", snapshot=None),
    ],
    ids=lambda problem: problem.code,
)
def test_a_problem_says_what_is_wrong(problem: ProblemError) -> None:
    """To programs by its code and status, to people by its detail, in logs by its request."""
    answer = problem_response(problem, "request-5")
    told = msgspec.json.decode(bytes(answer.body))
    assert (answer.status_code, answer.media_type) == (problem.status, MEDIA_TYPE)
    assert (told["status"], told["code"]) == (problem.status, problem.code)
    assert (told["type"], told["request_id"]) == ("about:blank", "request-5")
    assert "because" in told["detail"]
    assert told["title"]
    assert problem.more.items() <= told.items()
    assert ("retry-after" in answer.headers) == (problem.status == 503)
    assert ("www-authenticate" in answer.headers) == (problem.status == 401)
