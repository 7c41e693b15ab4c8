"""The route of the read that is asked for most, without FastAPI's solving of dependencies."""

from collections.abc import Awaitable, Callable

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from daemon.gateway.dependencies import bearer, reader_of

Handler = Callable[[Request], Awaitable[Response]]


class DirectRoute(APIRoute):
    """A route whose function takes parameters of the path, ``caller`` and ``parts``, and no others.

    It is described like any other. FastAPI takes a quarter of the time of a read to find out what
    the function wants, which never changes (docs/performance.md).
    """

    def get_route_handler(self) -> Handler:  # type: ignore[override]  # Awaitable is all it needs
        """The function that answers a request.

        Raises ValueError if the route's function wants more than it will be given.
        """
        dependant = self.dependant
        if dependant.query_params or dependant.header_params or dependant.body_params:
            raise ValueError(f"{self.path}: a direct route has no parameters but the path's")
        read = self.endpoint

        async def handle(request: Request) -> Response:
            caller = await reader_of(request, await bearer(request))
            parts = request.app.state.parts
            answer: Response = await read(**request.path_params, caller=caller, parts=parts)
            return answer

        return handle
