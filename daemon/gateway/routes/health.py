"""For whoever watches over the gateway: is it alive, can it answer, and how is everything."""

from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import PlainTextResponse, Response

from daemon.gateway.dependencies import AllParts, Credentials, operator_of
from daemon.gateway.key_source import metrics_are_open
from daemon.gateway.metrics import CONTENT_TYPE
from daemon.gateway.routes.operators import service_of
from daemon.gateway.schemas.health import Liveness, Readiness
from daemon.gateway.schemas.responses import problems
from daemon.gateway.views import pack

router = APIRouter(tags=["health"])


_OF_PROXIES: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers that a proxy adds: then somebody else may be asking, though the connection is ours."""

_OPEN: Final[dict[str, Any]] = {"security": []}
"""For everybody: whoever watches over the process has no token."""


async def may_scrape(
    request: Request,
    parts: AllParts,
    credentials: Credentials,
) -> None:
    """Let everybody scrape if a setting opens the metrics, or if only this machine can ask.

    Elsewhere, and through a proxy, the role ops or admin may.
    """
    is_proxied = any(name in request.headers for name in _OF_PROXIES)
    if not metrics_are_open(parts.settings.http, is_proxied):
        await operator_of(request, credentials)


@router.get("/healthz", response_model=Liveness, openapi_extra=_OPEN)
async def healthz() -> Response:
    """Say that the process lives."""
    return _answer(200, {"status": "ok"})


@router.get(
    "/readyz",
    response_model=Readiness,
    openapi_extra=_OPEN,
    responses={503: {"model": Readiness, "description": "Redis does not answer"}},
)
async def readyz(request: Request) -> Response:
    """Say whether snapshots can be read and commands taken: whether Redis answers."""
    service = service_of(request)
    is_redis_up = await service.is_redis_up()
    is_postgres_up = await service.is_postgres_up()
    up = {"redis": _word(is_redis_up), "postgres": _word(is_postgres_up)}
    status = "ok" if is_redis_up else "redis is away"
    return _answer(200 if is_redis_up else 503, {"status": status, **up})


@router.get(
    "/metrics",
    dependencies=[Depends(may_scrape)],
    response_class=PlainTextResponse,
    responses=problems(401, 403, 429),
    openapi_extra={"security": [{}]},  # or none: on loopback
)
async def read_metrics(request: Request, parts: AllParts) -> Response:
    """Give all figures in the form that Prometheus reads."""
    scraped = await service_of(request).scrape()
    return Response(parts.metrics.page(scraped), media_type=CONTENT_TYPE)


def _answer(status: int, document: dict[str, str]) -> Response:
    return Response(pack(document), status, media_type="application/json")


def _word(is_up: bool) -> str:
    return "up" if is_up else "away"
