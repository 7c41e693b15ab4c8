"""The route of the read that is asked for most, without FastAPI's solving of dependencies."""

from collections.abc import Awaitable, Callable

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from daemon.gateway.dependencies import bearer, reader_of

Handler = Callable[[Request], Awaitable[Response]]


class DirectRoute(APIRoute):
    """A route whose function takes parameters of the path, ``caller``, ``parts``, and a query.

    It is described like any other. A request without a query is passed on straight away: FastAPI
    takes a quarter of the time of a read to find out what the function wants, which never changes
    (docs/performance.md). One with a query goes FastAPI's way.
    """

    def get_route_handler(self) -> Handler:  # type: ignore[override]  # Awaitable is all it needs
        """The function that answers a request.

        Raises ValueError if the route's function wants more than it would be given.
        """
        dependant = self.dependant
        if dependant.header_params or dependant.cookie_params or dependant.body_params:
            raise ValueError(f"{self.path}: a direct route takes path and query only")
        if any(field.field_info.is_required() for field in dependant.query_params):
            raise ValueError(f"{self.path}: a direct route's query can be left out")
        read, solve = self.endpoint, super().get_route_handler()

        async def handle(request: Request) -> Response:
            if request.scope["query_string"]:
                return await solve(request)
            caller = await reader_of(request, await bearer(request))
            parts = request.app.state.parts
            answer: Response = await read(**request.path_params, caller=caller, parts=parts)
            return answer

        return handle
