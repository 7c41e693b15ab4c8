"""Something that is broken in Redis, and the differences that have to be named."""

from collections.abc import Callable
from typing import NamedTuple

from tests.audit.conftest import System

LATER = "99999999999999-0"
Told = tuple[str, str | None, str | None]
"""Kind, user and chat of a difference."""


class Forgery(NamedTuple):
    """Something that is broken, and the differences that have to be named."""

    breaks: Callable[[System], object]
    told: list[Told]
    is_alone: bool = True
    """Whether nothing else differs because of it."""


POSITION: list[Told] = [("position", None, None)]
KEY: list[Told] = [("key", None, None)]


def copy(key: str, to: str) -> Callable[[System], object]:
    """A key is there a second time, under a name of its kind."""
    return lambda s: s.client.copy(key, to)


def other_type(key: str) -> Callable[[System], object]:
    """A key holds a value of a type that it never has."""
    return lambda s: (s.client.delete(key), s.client.hset(key, "a", "b"))
