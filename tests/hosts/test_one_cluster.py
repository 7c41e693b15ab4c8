"""Machines that are nodes of one Ray cluster, the head on a machine of its own."""

import time

import pytest

from loadtests.common.timeouts import scaled
from tests.hosts.cluster import RayCluster
from tests.hosts.daemons import MachineDaemon
from tests.hosts.site import ANSWER_S_MAX, Site, Traffic, assert_nothing_lost_or_twice

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(600)]


@pytest.fixture
def cluster(site: Site) -> RayCluster:
    """A head and two nodes; daemons of the site join it."""
    made = RayCluster(site.folder, site.net.machine("head"))
    for name in ("first", "second"):
        made.join(site.net.machine(name))
    site.env |= {**made.env, "METERD_RAY__ADDRESS": made.address}
    return made


@pytest.fixture
def pair(site: Site, cluster: RayCluster) -> tuple[MachineDaemon, MachineDaemon]:
    """One that works and one that stands by."""
    _, *nodes = site.net.machines
    first, second = (site.daemon(machine) for machine in nodes)
    first.begin("ready")
    second.begin("standby")
    second.until(lambda: len(cluster.actors_on(second.machine, "ChatActor")) >= 2, 60)
    return first, second


def test_whatever_a_daemon_starts_runs_on_its_own_node(
    cluster: RayCluster, pair: tuple[MachineDaemon, MachineDaemon]
) -> None:
    """Supervisor, recorder and chat actors, those of the one that stands by included."""
    first, second = pair
    for kind in ("ChatActor", "SupervisorActor"):
        assert cluster.actors_on(cluster.head, kind) == []
        assert cluster.actors_on(first.machine, kind)
        assert cluster.actors_on(second.machine, kind)
    assert len(cluster.actors_on(first.machine, "RecorderActor")) == 1


def test_a_node_that_is_switched_off_costs_seconds(
    site: Site, pair: tuple[MachineDaemon, MachineDaemon]
) -> None:
    """Ray hears of it a minute later; nobody waits for that."""
    first, second = pair
    with Traffic(site.client) as traffic:
        time.sleep(2)
        first.machine.kill()
        after_s = traffic.answered_after_s("killed")
        print(f"node killed: answered after {after_s:.1f} s")
        second.until(lambda: second.here()[0] == "ready")
    assert after_s <= scaled(ANSWER_S_MAX)
    assert_nothing_lost_or_twice(site, traffic)


def test_a_node_that_is_cut_off_costs_seconds_and_is_one_of_them_when_it_is_back(
    site: Site, pair: tuple[MachineDaemon, MachineDaemon]
) -> None:
    """Its actors live on, cut off from everything; none of them writes again."""
    first, second = pair
    with Traffic(site.client) as traffic:
        time.sleep(2)
        first.machine.cut()
        after_s = traffic.answered_after_s("cut")
        print(f"node cut: answered after {after_s:.1f} s")
        second.until(lambda: second.here()[0] == "ready")
        time.sleep(5)
        first.machine.heal()
        first.until(lambda: first.here()[0] == "standby", 120)
    assert after_s <= scaled(ANSWER_S_MAX)
    assert_nothing_lost_or_twice(site, traffic)
