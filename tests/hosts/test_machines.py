"""The machines of these tests are machines as far as it matters."""

import os
from pathlib import Path

from tests.hosts.machines import PREFIX, Network


def test_machines_reach_each_other_until_a_cable_is_pulled_and_after_it_is_back(
    net: Network,
) -> None:
    """The one that is cut reaches nobody and is reached by nobody; the others don't notice."""
    one, two, three = (net.machine(name) for name in ("one", "two", "three"))
    assert one.reaches(two.address)
    assert one.reaches(net.address)
    one.cut()
    assert not one.reaches(two.address)
    assert not two.reaches(one.address)
    assert two.reaches(three.address)
    one.heal()
    # The kernel may ask for the address again, which takes a second.
    assert any(two.reaches(one.address) for _ in range(5))


def test_a_machine_sees_its_own_processes_alone_and_dies_with_all_of_them(
    net: Network, tmp_path: Path
) -> None:
    """Pids mean nothing on another machine; nothing survives in the network's name."""
    one = net.machine("one")
    sleeper = one.start(["sleep", "1000"], os.environ, tmp_path / "out", tmp_path)
    seen = one.run("ls", "/proc").split()
    assert len([name for name in seen if name.isdecimal()]) < 5
    one.kill()
    assert sleeper.wait(timeout=10) != 0
    net.close()
    assert not list(Path("/sys/class/net").glob(f"{PREFIX}{os.getpid()}*"))
