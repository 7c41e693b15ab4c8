"""The function library in Redis: each version has its own, beside that of the version before it."""

import re
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, Final, Literal, NamedTuple

import redis
import redis.asyncio

from meterd.rules.redis_keys import Keys
from persistence.errors import FunctionsError
from persistence.redis.versions import (
    FORMAT,
    READABLE,
    UNVERSIONED,
    VERSION,
    obsolete_versions,
    why_versions_refused,
)

FunctionName = Literal[
    "acquire_lease", "confirm_integrity", "renew_lease", "resign", "issue_epoch", "read", "late",
    "commit_all", "settle", "ack_outbox", "doubt", "resolve_dead_letter", "clear_hold",
    "drop_ahead", "open_accounts", "trim", "status", "publish",
]  # fmt: skip
"""What the library can do."""

MISSING: Final = (
    f"Redis holds no function library of version {VERSION}, which this meterd calls: use the "
    "daemon's version of meterd, or start a daemon of this one"
)

_PATTERN: Final = "meterd*"
_UNVERSIONED_NAME: Final = "meterd"
_NAME: Final = re.compile(r"^meterd_([0-9]+)$")
_VERSION_LINE: Final = re.compile(r"^-- meterd version ([0-9]+)$", re.MULTILINE)

_RETIRED: Final = """#!lua name=meterd
-- meterd version {version}
-- Daemons of versions that have to go look for their functions here. They find a newer version,
-- end, and do not load theirs again.
redis.register_function{{function_name = 'meterd_version', flags = {{'no-writes', 'allow-stale'}},
  callback = function() return '{version}' end}}
"""


def function_name(name: FunctionName, version: int = VERSION) -> str:
    """The name by which a function of a version is called."""
    if version <= UNVERSIONED:
        return f"meterd_{name}"
    return f"{library_name(version)}_{name}"


def library_name(version: int = VERSION) -> str:
    """The name of a version's library."""
    return f"meterd_{version}"


def source(version: int = VERSION) -> str:
    """The library's Lua text. Another ``version`` than that of this meterd is for tests."""
    text = resources.files("persistence.redis").joinpath("functions.lua").read_text()
    head = f"#!lua name={library_name(version)}\nlocal VERSION, FORMAT = '{version}', {FORMAT}\n"
    return head + text


def call_function(client: redis.Redis, name: FunctionName, keys: Keys, *args: Any) -> Any:
    """Call a function for an operator, whose meterd may be of another version than the daemon's.

    Raises:
        FunctionsError: no daemon of this version has been started on this Redis.
        redis.RedisError: Redis does not do it.
    """
    try:
        return client.fcall(function_name(name), 1, keys.commands, *args)
    except redis.ResponseError as error:
        if is_missing(error):
            raise FunctionsError(MISSING) from error
        raise


def is_missing(error: redis.RedisError) -> bool:
    """Whether a call failed because the library is not loaded; then nothing was done."""
    return isinstance(error, redis.ResponseError) and "Function not found" in str(error)


async def loaded_versions(client: redis.asyncio.Redis) -> set[int]:
    """The versions of the libraries that are loaded; without those that had no version yet."""
    found: Any = await client.function_list(library=_PATTERN)
    return {one.version for one in _libraries(found) if one.name != _UNVERSIONED_NAME}


def load_functions(client: redis.Redis) -> int:
    """Load the library unless it is there, and delete those nobody may use; returns its version.

    That of the version before this one stays: daemons go on with it until they are upgraded.

    Raises:
        FunctionsError: a library is loaded that is newer by more than one version, or the server
            has no functions (needs 7.0).
    """
    try:
        loaded, code = _loaded(client), source()
        _check_versions(loaded)
        if _Library(library_name(), VERSION, code) not in loaded:
            client.function_load(code, replace=True)
        obsolete = obsolete_versions(VERSION, (one.version for one in loaded))
        for library in loaded:
            if library.version in obsolete:
                _retire(client, library.name)
    except redis.ResponseError as error:
        raise FunctionsError(
            f"Redis refuses the function library: {error}; meterd needs Redis 7.0 or Valkey 7.2 "
            "and a user that may call FUNCTION and FCALL"
        ) from error
    return VERSION


def check_functions(client: redis.Redis) -> None:
    """Make sure that this meterd may work beside whoever works here; nothing is written.

    Raises:
        FunctionsError: as ``load_functions``.
    """
    try:
        loaded = _loaded(client)
    except redis.ResponseError:
        return  # ``load_functions`` says what is wrong
    _check_versions(loaded)


def _check_versions(loaded: Sequence["_Library"]) -> None:
    versions = [one.version for one in loaded]
    why = why_versions_refused(VERSION, versions, formats=READABLE, found_format=FORMAT)
    if why:
        raise FunctionsError(why)


def _retire(client: redis.Redis, name: str) -> None:
    """Take away a library that nobody may use.

    A daemon from before libraries had versions would load its own again; it finds a newer version.
    """
    if name == _UNVERSIONED_NAME:
        client.function_load(_RETIRED.format(version=VERSION), replace=True)
        return
    try:
        client.function_delete(name)
    except redis.exceptions.NoPermissionError:
        pass  # users of an earlier version may not; what is left does no harm
    except redis.ResponseError as error:
        if "Library not found" not in str(error):  # another daemon was faster
            raise


class _Library(NamedTuple):
    """A library of meterd's that is loaded."""

    name: str
    version: int
    code: str
    """Empty where it was not asked for."""


def _loaded(client: redis.Redis) -> Sequence[_Library]:
    return list(_libraries(client.function_list(library=_PATTERN, withcode=True)))


def _libraries(found: Any) -> Iterator[_Library]:
    for flat in found:
        described = dict(zip(flat[::2], flat[1::2], strict=True))
        name = described[b"library_name"].decode()
        code = described.get(b"library_code", b"").decode()
        numbered = _NAME.match(name)
        if numbered:
            yield _Library(name, int(numbered[1]), code)
        elif name == _UNVERSIONED_NAME:
            yield _Library(name, min(_version_in(code), UNVERSIONED), code)


def _version_in(code: str) -> int:
    found = _VERSION_LINE.search(code)
    return int(found[1]) if found else 0
