"""Without the right to make machines, these tests are skipped, and say so."""

import os
from collections.abc import Iterator

import pytest

from tests.hosts.machines import Network, missing_right, network
from tests.hosts.site import Site, site_on


@pytest.fixture(scope="session")
def _may_make_machines() -> None:
    why = missing_right()
    if why and os.environ.get("METERD_TEST_REQUIRE_HOSTS"):
        pytest.fail(f"machines are required here (METERD_TEST_REQUIRE_HOSTS): {why}")
    if why:
        pytest.skip(f"no machines: {why}")


@pytest.fixture
def net(_may_make_machines: None) -> Iterator[Network]:
    """A network without machines yet."""
    with network() as made:
        yield made


@pytest.fixture
def site(net: Network, url: str) -> Iterator[Site]:
    """Servers that all machines of the network reach, and a fresh database."""
    with site_on(net, url) as made:
        yield made
