"""Identifiers in paths: they may hold a slash, sent as %2F."""

from typing import Final
from urllib.parse import unquote

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

_SLASH: Final = "%2F"
_PERCENT: Final = "%25"


class _Segment(StringConvertor):
    """One segment of a path, whatever stands in it."""

    def convert(self, value: str) -> str:
        return value.replace(_SLASH, "/").replace(_PERCENT, "%")

    def to_string(self, value: str) -> str:
        return _in_segment(value)


register_url_convertor("id", _Segment())


class SlashesInSegments:
    """Keeps %2F apart from the slash between segments, which servers decode before routing."""

    def __init__(self, app: ASGIApp) -> None:
        """Pass everything on to ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the path again where an encoded slash or percent sign is in it."""
        raw = scope.get("raw_path") or b""
        if scope["type"] == "http" and b"%2" in raw:
            segments = raw.decode("ascii", "replace").split("/")
            path = "/".join(_in_segment(unquote(one)) for one in segments)
            scope = {**scope, "path": path}
        await self._app(scope, receive, send)


def _in_segment(text: str) -> str:
    return text.replace("%", _PERCENT).replace("/", _SLASH)
