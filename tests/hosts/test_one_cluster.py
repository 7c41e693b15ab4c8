"""Machines that are nodes of one Ray cluster, the head on a machine of its own."""

import time
from urllib.parse import urlsplit

import pytest

from loadtests.common.timeouts import scaled
from tests.hosts.cluster import RayCluster
from tests.hosts.daemons import MachineDaemon
from tests.hosts.site import (
    ANSWER_S_MAX,
    Site,
    Traffic,
    assert_nothing_lost_or_twice,
    assert_taken_over,
)
from tests.servers import VALKEY, server_in

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
    second.until(lambda: second.logged("supervisor").count("actor.warm") >= 2, 60)
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
    assert_taken_over(site, *pair, is_cut=False)


def test_a_node_that_is_cut_off_costs_seconds_and_is_one_of_them_when_it_is_back(
    site: Site, pair: tuple[MachineDaemon, MachineDaemon]
) -> None:
    """Its actors live on, cut off from everything; none of them writes again."""
    assert_taken_over(site, *pair, is_cut=True)


def test_while_the_head_is_away_what_runs_goes_on_and_who_starts_waits_for_it(
    site: Site, cluster: RayCluster
) -> None:
    """Both say so; when the head is back the one works on and the other stands by."""
    _, *nodes = site.net.machines
    first, second = (site.daemon(machine) for machine in nodes)
    first.begin("ready")
    with Traffic(site.client) as traffic:
        cluster.head.cut()
        assert traffic.answered_after_s("without-a-head") <= scaled(2)
        second.launch()
        second.until(lambda: second.here()[1].startswith("waiting for Ray's head at "), 60)
        first.until(lambda: "Ray's head has not answered for" in site.published()["why"])
        assert site.published()["state"] == "ready"
        assert traffic.answered_after_s("still-without") <= scaled(2)
        cluster.head.heal()
        first.until(lambda: site.published()["why"] == "", 60)
        second.until(lambda: second.here()[0] == "standby", 120)
    assert_nothing_lost_or_twice(site, traffic)


def test_a_head_that_is_replaced_with_its_state_keeps_its_nodes(site: Site) -> None:
    """Its processes are killed and started again: what runs goes on, and what is lost starts again.

    So it is with KubeRay and GCS fault tolerance (deploy/kubernetes/meterd-kuberay.yaml).
    """
    (site.folder / "gcs").mkdir()
    bind = ("--bind", f"127.0.0.1 {site.net.address}", "--protected-mode", "no")
    with server_in(site.folder / "gcs", VALKEY, *bind) as url:
        state_at = f"redis://{site.net.address}:{urlsplit(url).port}"
        cluster = RayCluster(site.folder, site.net.machine("head"), state_at)
        nodes = [site.net.machine(name) for name in ("first", "second")]
        for node in nodes:
            cluster.join(node)
        site.env |= {**cluster.env, "METERD_RAY__ADDRESS": cluster.address}
        first, second = map(site.daemon, nodes)
        first.begin("ready")
        second.begin("standby")
        with Traffic(site.client) as traffic:
            first.until(lambda: len(_actors(site)) == int(site.env["METERD_ACTORS__MAX"]), 60)
            before = _actors(site)
            cluster.kill_head()
            first.until(lambda: "Ray's head has not answered for" in site.published()["why"])
            assert traffic.answered_after_s("without-a-head") <= scaled(2)
            cluster.start_head()
            first.until(lambda: site.published()["why"] == "", 60)
            assert _actors(site) == before
            assert traffic.answered_after_s("with-it-again") <= scaled(2)
            first.machine.run("kill", "-9", str(next(iter(before.values()))))
            first.until(lambda: _is_replaced(site, before), 60)
            assert second.here()[0] == "standby"
        assert_nothing_lost_or_twice(site, traffic)


def _actors(site: Site) -> dict[str, int]:
    """Chat actors and their processes, as the daemon that works has them."""
    return {one["name"]: one["pid"] for one in site.published()["actors"] if one["up"]}


def _is_replaced(site: Site, before: dict[str, int]) -> bool:
    now = _actors(site)
    return now.keys() == before.keys() and now != before


def test_a_node_that_is_lost_together_with_the_head_is_taken_over_without_it(
    site: Site, cluster: RayCluster, pair: tuple[MachineDaemon, MachineDaemon]
) -> None:
    """Nothing can start any more: the actors that stand by take over, before the recorder."""
    first, second = pair
    with Traffic(site.client) as traffic:
        time.sleep(2)
        cluster.head.cut()
        first.machine.kill()
        after_s = traffic.answered_after_s("killed-with-the-head")
        print(f"node and head lost: answered after {after_s:.1f} s")
        cluster.head.heal()
        second.until(lambda: second.here()[0] == "ready", 120)
    assert after_s <= scaled(ANSWER_S_MAX)
    assert_nothing_lost_or_twice(site, traffic)


def test_a_daemon_whose_machine_is_no_node_yet_waits_and_says_so(site: Site) -> None:
    """For ever, however often it has tried; it is ready when the node is there."""
    head, machine = site.net.machine("head"), site.net.machine("late")
    made = RayCluster(site.folder, head)
    late = site.daemon(
        machine,
        **made.env,
        METERD_RAY__ADDRESS=made.address,
        METERD_RAY__START_TIMEOUT_MS="3000",
    )
    late.launch()
    late.until(lambda: "the Ray cluster has not taken this daemon" in late.here()[1], 90)
    made.join(machine)
    late.until(lambda: late.here()[0] == "ready", 120)
