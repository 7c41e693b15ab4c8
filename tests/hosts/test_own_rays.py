"""Two machines, each with a Ray of its own: they have nothing in common but the servers."""

import time

import pytest

from loadtests.common.timeouts import scaled
from tests.hosts.daemons import MachineDaemon
from tests.hosts.site import (
    ANSWER_S_MAX,
    Site,
    Traffic,
    assert_nothing_lost_or_twice,
)

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(600)]


def _pair(site: Site) -> tuple[MachineDaemon, MachineDaemon]:
    """One that works and one that stands by with its actors started."""
    first = site.daemon(site.net.machine("first"))
    second = site.daemon(site.net.machine("second"))
    first.begin("ready")
    second.begin("standby")
    time.sleep(5)  # its spare actors start meanwhile
    return first, second


def test_a_machine_that_is_switched_off_costs_seconds(site: Site) -> None:
    """Everything of the leader dies at once; the other machine answers."""
    first, second = _pair(site)
    with Traffic(site.client) as traffic:
        time.sleep(2)
        first.machine.kill()
        after_s = traffic.answered_after_s("killed")
        print(f"killed: answered after {after_s:.1f} s")
        second.until(lambda: second.here()[0] == "ready")
    assert after_s <= scaled(ANSWER_S_MAX)
    assert_nothing_lost_or_twice(site, traffic)


def test_a_leader_that_is_cut_off_costs_seconds_and_stands_by_when_it_is_back(site: Site) -> None:
    """It goes on believing that it leads, and can write nothing, neither then nor later."""
    first, second = _pair(site)
    with Traffic(site.client) as traffic:
        time.sleep(2)
        first.machine.cut()
        after_s = traffic.answered_after_s("cut")
        print(f"cut: answered after {after_s:.1f} s")
        second.until(lambda: second.here()[0] == "ready")
        time.sleep(5)
        first.machine.heal()
        first.until(lambda: first.here()[0] == "standby", 90)
    assert after_s <= scaled(ANSWER_S_MAX)
    assert_nothing_lost_or_twice(site, traffic)
