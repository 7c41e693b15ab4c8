"""The shapes of what the gateway says of itself: it lives, and what it can reach."""

from typing import Annotated, Literal

from daemon.gateway.schemas.base import Shape, about


class Liveness(Shape):
    """The process lives."""

    status: Annotated[Literal["ok"], about("`ok`")]


class Readiness(Shape):
    """What can be reached."""

    status: Annotated[str, about("`ok`, or what is away")]
    redis: Annotated[Literal["up", "away"], about("Whether Redis answers")]
    postgres: Annotated[Literal["up", "away"], about("Whether PostgreSQL answers")]
