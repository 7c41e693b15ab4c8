"""Two databases: the old system's, and meterd's own."""

from collections.abc import Iterator

import pytest

from daemon.legacy.diff import Databases
from daemon.legacy.store.shape import LegacyShape
from persistence.postgres.engine import make_engine
from tests.legacy.old_data import create_tables


@pytest.fixture
def sides(empty_url: str, url: str) -> Iterator[Databases]:
    """Both, the old one with no tables yet."""
    old, own = make_engine(empty_url), make_engine(url)
    yield Databases(old, own, LegacyShape())
    old.dispose()
    own.dispose()


@pytest.fixture
def empty(sides: Databases) -> Databases:
    with sides.old.begin() as connection:
        create_tables(connection)
    return sides
