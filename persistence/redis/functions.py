"""The function library in Redis: loaded if it is missing or older, refused if it is newer."""

import re
from importlib import resources
from typing import Any, Final

import redis
import redis.asyncio

from persistence.errors import FunctionsError

NAME: Final = "meterd"
_VERSION = re.compile(r"^-- meterd version ([0-9]+)$", re.MULTILINE)


def source() -> str:
    """The library's Lua text."""
    return resources.files("persistence.redis").joinpath("functions.lua").read_text()


def version_of(code: str) -> int:
    """The version that a library's text names; 0 if it names none."""
    found = _VERSION.search(code)
    return int(found[1]) if found else 0


async def loaded_version(client: redis.asyncio.Redis) -> int:
    """The version of the library that is loaded; 0 if none is."""
    try:
        answer: Any = await client.fcall("meterd_version", 0)
    except redis.ResponseError as error:
        if "Function not found" in str(error):
            return 0
        raise
    return int(answer)


def load_functions(client: redis.Redis) -> int:
    """Load the library unless it is there; returns its version.

    Raises:
        LibraryError: a newer library is loaded, or the server has no functions (needs 7.0).
    """
    code = source()
    try:
        loaded = _loaded_code(client)
        if loaded != code:
            _refuse_newer(version_of(loaded), version_of(code))
            client.function_load(code, replace=True)
    except redis.ResponseError as error:
        raise FunctionsError(
            f"Redis refuses the function library: {error}; meterd needs Redis 7.0 or Valkey 7.2 "
            "and a user that may call FUNCTION and FCALL"
        ) from error
    return version_of(code)


def _refuse_newer(loaded: int, own: int) -> None:
    if loaded > own:
        raise FunctionsError(
            f"Redis holds the function library in version {loaded}, this meterd has {own}; "
            "another daemon is newer: upgrade this one too"
        )


def _loaded_code(client: redis.Redis) -> str:
    found: Any = client.function_list(library=NAME, withcode=True)
    if not found:
        return ""
    flat = found[0]
    described = dict(zip(flat[::2], flat[1::2], strict=True))
    return str(described[b"library_code"].decode())
