"""Errors of embedded servers; every message names the next step."""

__all__ = ["EmbeddedServerError", "HomeError", "HomeInUseError"]


class EmbeddedServerError(Exception):
    """A server can't be started, reached or stopped."""


class HomeError(EmbeddedServerError):
    """METERD_HOME can't be used."""


class HomeInUseError(HomeError):
    """Another daemon runs in this METERD_HOME."""

    def __init__(self, home: object, pid: str) -> None:
        super().__init__(
            f"another meterd (process {pid or 'unknown'}) runs in {home}:"
            " stop it, or give this one another METERD_HOME"
        )
