"""Two machines, each with a Ray of its own: they have nothing in common but the servers."""

import pytest

from tests.hosts.daemons import MachineDaemon
from tests.hosts.site import Site, assert_taken_over

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(600)]


def _pair(site: Site) -> tuple[MachineDaemon, MachineDaemon]:
    """One that works and one that stands by with its actors started."""
    first = site.daemon(site.net.machine("first"))
    second = site.daemon(site.net.machine("second"))
    first.begin("ready")
    second.begin("standby")
    second.until(lambda: second.logged("supervisor").count("actor.warm") >= 2, 60)
    return first, second


def test_a_machine_that_is_switched_off_costs_seconds(site: Site) -> None:
    """Everything of the leader dies at once; the other machine answers."""
    assert_taken_over(site, *_pair(site), is_cut=False)


def test_a_leader_that_is_cut_off_costs_seconds_and_stands_by_when_it_is_back(site: Site) -> None:
    """It goes on believing that it leads, and can write nothing, neither then nor later."""
    assert_taken_over(site, *_pair(site), is_cut=True)
