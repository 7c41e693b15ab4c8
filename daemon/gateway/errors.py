"""Errors as programs and people can use them: application/problem+json (RFC 9457)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"

log = structlog.get_logger()


class ProblemError(Exception):
    """A request that gets no answer, with the reason and the next step."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        """``code`` is for programs, ``detail`` for people; ``more`` is told as it is."""
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more


def unauthenticated(detail: str) -> ProblemError:
    """No token, or one that does not count."""
    return ProblemError(
        401, "unauthenticated", detail, {"WWW-Authenticate": 'Bearer realm="meterd"'}
    )


def forbidden(detail: str) -> ProblemError:
    """A token that may not do this."""
    return ProblemError(403, "forbidden", detail)


def invalid(field: str, why: str) -> ProblemError:
    """A parameter that is wrong."""
    errors = [{"field": field, "message": why}]
    return ProblemError(422, "invalid_request", f"{field}: {why}", errors=errors)


def redis_unavailable(cause: object) -> ProblemError:
    """Redis is needed for this answer and does not give it."""
    return unavailable("redis_away", f"Redis does not answer ({cause})")


def postgres_unavailable(cause: object) -> ProblemError:
    """Postgres is needed for this answer and does not give it."""
    return unavailable("postgres_away", f"PostgreSQL does not answer ({cause})")


def busy(what: str) -> ProblemError:
    """More is asked at once than can be answered."""
    return ProblemError(503, "busy", f"{what}; try again", {"Retry-After": "1"})


def unavailable(code: str, what: str) -> ProblemError:
    """What an answer needs does not answer itself; ``code`` is for programs."""
    return ProblemError(503, code, f"{what}; what needs it can't be told now", {"Retry-After": "1"})


def problem_document(problem: ProblemError, request_id: str) -> dict[str, Any]:
    """The problem as programs read it."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": request_id,
        **problem.more,
    }


def problem_response(problem: ProblemError, request_id: str) -> Response:
    """The problem as an answer."""
    body = msgspec.json.encode(problem_document(problem, request_id))
    return Response(body, problem.status, problem.headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every error of the app be told as a problem."""
    app.add_exception_handler(ProblemError, _tell)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.add_exception_handler(HTTPException, _tell_http)


async def _tell(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError), "it was registered for that"
    return problem_response(error, request_id_of(request))


async def _tell_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "it was registered for that"
    errors = [
        {"field": _field_of(one["loc"], one.get("ctx", {})), "message": one["msg"]}
        for one in error.errors()
    ]
    detail = "; ".join(f"{one['field']}: {one['message']}" for one in errors)
    problem = ProblemError(422, "invalid_request", detail, errors=errors)
    return problem_response(problem, request_id_of(request))


def _field_of(place: Sequence[Any], context: Mapping[str, Any]) -> str:
    """The name of what is wrong: where a body may be of several shapes, its shape is no part."""
    if "discriminator" in context:  # the field that says which shape it is
        return str(context["discriminator"]).strip("'")
    return ".".join(str(part) for part in place[1:] if "." not in str(part))


_ROUTING: Final = {404: "not_found", 405: "method_not_allowed"}


async def _tell_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "it was registered for that"
    problem = _problem_of(request, error)
    return problem_response(problem, request_id_of(request))


def _problem_of(request: Request, error: HTTPException) -> ProblemError:
    if error.status_code == HTTPStatus.BAD_REQUEST:  # what FastAPI says of a body that is no text
        return invalid("body", "send JSON in UTF-8")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods_of(request))) or headers.get("Allow", "")
    code = _ROUTING.get(error.status_code, "http_error")
    detail = f"{request.method} {request.url.path}: {error.detail}; see /docs"
    return ProblemError(error.status_code, code, detail, headers)


def _methods_of(request: Request) -> set[str]:
    """The methods that there are at a path, as described: each of its routes knows its own only."""
    path = getattr(request.scope.get("route"), "path_format", "")
    return {method.upper() for method in request.app.openapi()["paths"].get(path, ())}


def request_id_of(request: Request) -> str:
    """The request's id, which its answer and the logs name."""
    return str(request.scope.get("meterd.request_id", ""))


class BusyLoaderError(Exception):
    """Too much is waiting already."""


class BindError(Exception):
    """The gateway can't listen where it should; the message says why and what to do."""


class TokenError(Exception):
    """The token does not count; the message says why, and never repeats it."""


class KeysError(Exception):
    """The keys that tokens are checked with can't be used; the message says what to do."""
