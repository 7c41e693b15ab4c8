"""Which versions may work on one Redis at a time: the decision over all cases."""

import itertools
from collections.abc import Iterator

import pytest

from persistence.redis.versions import (
    FORMAT,
    READABLE,
    UNVERSIONED,
    VERSION,
    obsolete_versions,
    why_versions_refused,
)

OWN = 20
NEAR = range(OWN - 3, OWN + 4)


def _sets_of_versions() -> Iterator[set[int]]:
    """All sets of versions near the own one, the empty one included."""
    for size in range(len(NEAR) + 1):
        yield from map(set, itertools.combinations(NEAR, size))


@pytest.mark.parametrize("found_format", [1, 2, 3, 4])
@pytest.mark.parametrize("formats", [(1, 2), (2, 3)])
def test_it_runs_beside_older_ones_and_the_next_and_on_formats_that_it_reads(
    formats: tuple[int, ...], found_format: int
) -> None:
    """Whatever else is loaded; the message names what is wrong, the version first."""
    for loaded in _sets_of_versions():
        why = why_versions_refused(OWN, loaded, formats=formats, found_format=found_format)
        too_new = loaded & {OWN + 2, OWN + 3}
        if too_new:
            assert f"in version {max(too_new)}, this meterd has {OWN}" in why
            assert "upgrade this one too" in why
        elif found_format not in formats:
            assert f"written in format {found_format}" in why
            assert f"reads {formats[0]}, {formats[1]}: install the meterd that wrote it" in why
        else:
            assert why == ""


def test_what_two_versions_load_never_takes_away_what_either_needs() -> None:
    """A version and the next one, in any order and as often as they like: both may go on."""
    for older in range(5, 30):
        loaded = {older, older + 1, older - 1}
        for own in (older, older + 1, older):
            loaded = (loaded | {own}) - obsolete_versions(own, loaded)
        assert loaded == {older, older + 1}
        for own in loaded:
            assert not why_versions_refused(own, loaded, formats=READABLE, found_format=FORMAT)


def test_only_those_before_the_one_before_are_obsolete() -> None:
    """A newer one is never taken away: that is for the newer one's daemon."""
    assert obsolete_versions(OWN, NEAR) == {OWN - 3, OWN - 2}


def test_the_versions_agree_with_each_other() -> None:
    """A daemon reads what it writes."""
    assert max(READABLE) == FORMAT
    assert VERSION > UNVERSIONED
