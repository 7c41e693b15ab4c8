"""Which folder holds a daemon's data and secrets: METERD_HOME, or one that is found."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_LOCAL = Path(".meterd")
_CHECKOUT_MARKS = ("pyproject.toml", "daemon/process/daemon.py", "persistence/redis/functions.lua")


class Home(NamedTuple):
    """The folder, absolute, and why it is this one."""

    path: Path
    source: str


def choose_home(variables: Mapping[str, str]) -> Home:
    """METERD_HOME; else ./.meterd where it exists or in a checkout; else the XDG state folder.

    Args:
        variables: the environment.
    """
    named = variables.get("METERD_HOME")
    if named:
        return Home(Path(named).expanduser().absolute(), "METERD_HOME")
    if _LOCAL.is_dir():
        return Home(_LOCAL.absolute(), "./.meterd exists")
    if all(Path(mark).is_file() for mark in _CHECKOUT_MARKS):
        return Home(_LOCAL.absolute(), "a checkout of meterd")
    return Home(_state_folder(variables) / "meterd", "XDG state folder")


def elsewhere_hint(variables: Mapping[str, str]) -> str:
    """The end of a next step where no daemon was found; empty if METERD_HOME names the place.

    Args:
        variables: the environment.
    """
    is_named = variables.get("METERD_HOME")
    return "" if is_named else "; if one runs elsewhere, set METERD_HOME to its home"


def _state_folder(variables: Mapping[str, str]) -> Path:
    """XDG_STATE_HOME, which has to be absolute, or its default."""
    named = Path(variables.get("XDG_STATE_HOME", ""))
    if named.is_absolute():
        return named
    user = variables.get("HOME")
    return (Path(user) if user else Path.home()) / ".local" / "state"
