"""The ASGI app: routes, errors, middleware. What it needs is handed in."""

import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from importlib import metadata
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from daemon.gateway import errors
from daemon.gateway.conditional import Conditional
from daemon.gateway.container import Dependencies, running
from daemon.gateway.description import SERVERS, TAGS, complete
from daemon.gateway.middleware import Observed
from daemon.gateway.paths import SlashesInSegments
from daemon.gateway.routes import (
    advisors,
    chats,
    commands,
    events,
    health,
    operations,
    operators,
    pages,
    streams,
    usage,
    users,
)
from daemon.gateway.service import Service

_ABOUT: Final = (
    "Time and bill pay-per-minute chats: snapshots, streams and commands over HTTP. "
    "docs/http.md describes it."
)
_ASKED_WITH: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "X-Request-Id",
)
_TOLD_WITH: Final = (
    "ETag",
    "Link",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
)
_ROUTERS: Final = (
    chats.direct_router,
    chats.router,
    streams.router,
    users.direct_router,
    users.router,
    advisors.router,
    usage.router,
    commands.router,
    events.router,
    operators.router,
    operations.router,
    health.router,
    pages.router,
)


def describe() -> FastAPI:
    """The routes alone, for the OpenAPI description."""
    app = FastAPIOffline(
        title="meterd",
        version=metadata.version("meterd"),
        description=_ABOUT,
        docs_url=None,  # its page has inline scripts; ours, in routes/pages.py, has none
        redoc_url=None,
        openapi_tags=TAGS,
        servers=SERVERS,
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        generate_unique_id_function=_operation_id,
    )
    for router in _ROUTERS:
        app.include_router(router)
    app.mount("/static", pages.Static(directory=pages.FOLDER))
    errors.install(app)
    app.openapi = _completed(app.openapi)  # type: ignore[method-assign]  # as FastAPI says
    return app


def _operation_id(route: APIRoute) -> str:
    """The name of the route's function, which is what a generated client calls it."""
    return route.name


def _completed(openapi: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Make the description once, and complete it."""
    return functools.cache(lambda: complete(openapi()))


def make_app(parts: Dependencies) -> FastAPI:
    """The gateway; it works while its lifespan does."""
    app = describe()
    app.router.lifespan_context = _lifespan
    app.state.parts = parts
    app.state.service = Service(parts)
    app.add_middleware(SlashesInSegments)
    app.add_middleware(Conditional)
    if parts.settings.http.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(parts.settings.http.cors_origins),
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=list(_ASKED_WITH),
            expose_headers=list(_TOLD_WITH),
            max_age=600,
        )
    app.add_middleware(Observed, metrics=parts.metrics)
    for route in app.routes:
        if isinstance(route, APIRoute):
            for method in route.methods or ():
                parts.metrics.expect(route.path_format, method, 200)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with running(app.state.parts):
        yield
