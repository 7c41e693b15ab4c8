"""Faults of three nodes by seed, under load: ``python -m tests.hosts.faults --faults 50``.

Needs root, for network namespaces. It ends by itself, and leaves nothing.
"""

import argparse
import contextlib
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from tests.databases import a_server, fresh
from tests.hosts.daemons import MachineDaemon
from tests.hosts.machines import missing_right, network
from tests.hosts.site import ANSWER_S_MAX, site_on
from tests.hosts.three_nodes import PARTITIONS, ThreeNodes, p99, three_nodes

HEALED_S: Final = (1.0, 12.0)
"""After how long a link is put in again, or a node goes on: shorter than a lease, and longer."""
CALM_S: Final = 3.0


Heal = Callable[[], None]


class Faults:
    """What may happen to a node; after each of them all three work again."""

    def __init__(self, nodes: ThreeNodes, seed: int) -> None:
        """Choose by ``seed``."""
        self._nodes = nodes
        self._random = random.Random(seed)
        self.kinds: dict[str, Callable[[MachineDaemon], Heal | None]] = {
            "switched off": self._switch_off,
            "cut off": self._cut,
            "stopped in order": self._stop,
            "processes killed": self._kill_processes,
            "frozen": self._freeze,
        }

    def strike(self) -> tuple[str, str, float]:
        """One fault; returns its kind, what it hit, and how long until all answered (s)."""
        kind = self._random.choice(sorted(self.kinds))
        node = self._random.choice(self._nodes.nodes)
        led = self._nodes.led_by(node)
        heal = self.kinds[kind](node)
        began = time.monotonic()
        if heal is not None:
            try:
                time.sleep(self._random.uniform(*HEALED_S))
            finally:
                heal()
        is_on = self._is_on(node)
        if not is_on:
            self._nodes.nodes.remove(node)
        answered_s = self._nodes.first_answers_s(began)
        if not is_on:
            self._nodes.start_node()
        self._nodes.until_shared()
        return kind, f"{node.machine.name} led {led}", answered_s

    def _is_on(self, node: MachineDaemon) -> bool:
        return node.machine.is_on() and not node.has_ended()

    def _switch_off(self, node: MachineDaemon) -> None:
        node.machine.kill()

    def _cut(self, node: MachineDaemon) -> Heal:
        node.machine.cut()
        return node.machine.heal

    def _stop(self, node: MachineDaemon) -> None:
        node.stop()

    def _kill_processes(self, node: MachineDaemon) -> None:
        """Chat actors, recorders and supervisor of the node, or some of them."""
        kinds = ["ChatActor", "RecorderActor", "SupervisorActor"]
        chosen = self._random.sample(kinds, self._random.randint(1, len(kinds)))
        pattern = "|".join(f"ray::{kind}" for kind in chosen)
        script = f"ps -eo pid=,args= | awk '$2 ~ /{pattern}/ {{print $1}}' | xargs -r kill -9"
        node.machine.run("sh", "-c", script)

    def _freeze(self, node: MachineDaemon) -> Heal:
        """Nothing of the node runs; healed, all of it goes on."""
        node.freeze()
        return node.thaw


@contextlib.contextmanager
def _nodes() -> Iterator[ThreeNodes]:
    with (
        a_server() as server_url,
        contextlib.contextmanager(fresh)(server_url, "template0") as url,
        network() as net,
        site_on(net, url) as site,
        three_nodes(site) as made,
    ):
        yield made


def run(faults: int, seed: int) -> float:
    """Strike so many times, check all at the end; returns the longest wait for answers (s)."""
    longest_s = 0.0
    with _nodes() as nodes:
        with nodes.loaded():
            struck = Faults(nodes, seed)
            for number in range(1, faults + 1):
                kind, hit, answered_s = struck.strike()
                longest_s = max(longest_s, answered_s)
                print(f"{number:3}/{faults}  {kind:17} {hit:24} {answered_s:5.1f} s", flush=True)
                time.sleep(CALM_S)
            waits = nodes.waits(range(PARTITIONS), 0)
        nodes.assert_exact()
        print(
            f"{faults} faults, seed {seed}: answered after {longest_s:.1f} s at the latest; "
            f"{len(waits)} timed answers, p99 {p99(waits) * 1000:.0f} ms; books and audit are clean"
        )
    return longest_s


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=50, help="how many (50)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31), help="what is chosen")
    options = parser.parse_args()
    why = missing_right()
    if why:
        sys.exit(f"no machines: {why}")
    print(f"seed {options.seed}")
    longest_s = run(options.faults, options.seed)
    if longest_s > ANSWER_S_MAX:
        sys.exit(f"answered after {longest_s:.1f} s, allowed are {ANSWER_S_MAX:g} s")


if __name__ == "__main__":
    main()
