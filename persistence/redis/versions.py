"""Which versions of meterd may work on one Redis at a time: pure decisions, tested over all cases.

A version here is that of the function library. Daemons of a version and of the one before it may
run side by side, which is what an upgrade without a pause needs. Whatever is older has to go.
"""

from collections.abc import Collection, Iterable
from typing import Final

VERSION: Final = 10
"""The version of this meterd's function library, raised by one for each release that changes it."""

UNVERSIONED: Final = 9
"""Up to this version the library was called ``meterd``, and its functions ``meterd_<name>``."""

FORMAT: Final = 2
"""The version of what is kept in Redis. 1 had no number; it is read as it is."""

READABLE: Final = (1, 2)
"""The formats that this meterd reads: its own and that of the version before it, at least."""


def why_versions_refused(
    own: int, loaded: Iterable[int], *, formats: Collection[int], found_format: int
) -> str:
    """Why a meterd may not work on a Redis; empty if it may.

    Args:
        own: version of its function library.
        loaded: versions of the libraries that are in this Redis.
        formats: those that it reads.
        found_format: that of what is kept there.
    """
    newest = max(loaded, default=own)
    if newest > own + 1:
        return (
            f"Redis holds the function library in version {newest}, this meterd has {own}, more "
            "than one version before it: upgrade this one too"
        )
    if found_format not in formats:
        read = ", ".join(map(str, sorted(formats)))
        return (
            f"what is in this Redis was written in format {found_format}; this meterd reads "
            f"{read}: install the meterd that wrote it"
        )
    return ""


def obsolete_versions(own: int, loaded: Iterable[int]) -> set[int]:
    """The libraries that nobody may use any more once ``own`` is loaded."""
    return {version for version in loaded if version < own - 1}
