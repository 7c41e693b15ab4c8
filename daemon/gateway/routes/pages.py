"""The pages: static files, and what browsers may do with them."""

from importlib import resources
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

FOLDER: Final = Path(str(resources.files("daemon.gateway"))) / "static"
_HEADERS: Final = {
    # Nothing from elsewhere, nothing inline: what an attacker brings into a page does not run.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; frame-ancestors 'none';"
        " base-uri 'none'; form-action 'none'"
    ),
    "Cache-Control": "no-cache",
}


@router.get("/")
async def operations_page() -> Response:
    """The operations page."""
    return FileResponse(FOLDER / "index.html", headers=_HEADERS)


@router.get("/demo")
async def demo_page() -> Response:
    """The demo page."""
    return FileResponse(FOLDER / "demo.html", headers=_HEADERS)


@router.get("/docs")
async def docs_page() -> Response:
    """The OpenAPI description, to read and to try."""
    return FileResponse(FOLDER / "docs.html", headers=_HEADERS)


class Static(StaticFiles):
    """Scripts and styles: fresh after an upgrade, and the clock for pages of any origin."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """Add what browsers have to know."""
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(_HEADERS)
        response.headers["Access-Control-Allow-Origin"] = "*"  # modules of other origins want it
        return response
