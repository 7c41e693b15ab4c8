"""Around every request: an id, its logs and counts, a bound on its size, headers that protect."""

import itertools
import re
import secrets
import time
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.gateway.errors import ProblemError, problem_response
from daemon.gateway.metrics import Metrics

BODY_BYTES_MAX: Final = 64 * 1024

RATE_LIMIT: Final = "meterd.rate_limit"
"""In a request's scope: what RateLimit-Policy and RateLimit say of its caller."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.:@/+=-]{1,64}")
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
_NO_STORE: Final = (b"cache-control", b"no-store")
_QUIET: Final = ("/healthz", "/readyz", "/metrics")

_process_id: Final = secrets.token_hex(8)
_numbers: Final = itertools.count(1)

log = structlog.get_logger()


class Observed:
    """Gives every request an id, counts it, and logs what went wrong."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Pass every request on to ``app``."""
        self._app = app
        self._metrics = metrics
        self._log = log.bind()  # otherwise each call makes a logger first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, receive, send)
        try:
            await self._app(scope, request.receive, request.send)
        except _TooLargeError:
            await request.refuse()
        except Exception:
            log.exception("gateway.failed", request_id=request.id, path=scope["path"])
            await request.fail()
        finally:
            self._observe(scope, request)

    def _observe(self, scope: Scope, request: "_Request") -> None:
        seconds = time.perf_counter() - request.began_s
        route = getattr(scope.get("route"), "path_format", "unknown")
        self._metrics.count(route, _method(scope), request.status, seconds)
        level = self._log.warning if request.status >= 500 else self._log.debug  # noqa: PLR2004 - server errors
        if route not in _QUIET:
            level(
                "gateway.request",
                request_id=request.id,
                method=scope["method"],
                route=route,
                status=request.status,
                ms=round(seconds * 1000, 1),
            )


class _TooLargeError(Exception):
    """The body has more bytes than anything we take."""


class _Request:
    """One request on its way."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.began_s = time.perf_counter()
        self.status = 499  # gone before the answer, until there is one
        self.id = _request_id(scope)
        scope["meterd.request_id"] = self.id
        self._scope, self._receive, self._send = scope, receive, send
        self._bytes = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes > BODY_BYTES_MAX:
            raise _TooLargeError
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append(_NO_STORE)
            headers += [*_HEADERS, (b"x-request-id", self.id.encode())]
            policy, left = self._scope.get(RATE_LIMIT, ("", ""))
            if policy:  # nobody counts backends, pages and probes
                headers += [
                    (b"ratelimit-policy", policy.encode()),
                    (b"ratelimit", left.encode()),
                ]
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(self) -> None:
        detail = f"the body has more than {BODY_BYTES_MAX} bytes; send only what the route needs"
        await self._tell(ProblemError(413, "too_large", detail, {"Connection": "close"}))

    async def fail(self) -> None:
        detail = f"the gateway failed; its log has the cause under request {self.id}"
        await self._tell(ProblemError(500, "internal_error", detail))

    async def _tell(self, problem: ProblemError) -> None:
        if self.status == 499:  # noqa: PLR2004 - nothing has been sent
            answer = problem_response(problem, self.id)
            await answer(self._scope, self._receive, self.send)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return f"{_process_id}{next(_numbers):016x}"  # as unique as a UUID, at a tenth of the time


_METHODS: Final = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})


def _method(scope: Scope) -> str:
    """As a label: anybody can make methods up."""
    return scope["method"] if scope["method"] in _METHODS else "other"
