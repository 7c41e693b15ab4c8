"""Three nodes that share four partitions, load on each partition, and how long answers take."""

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from loadtests.common.queue import is_handled
from loadtests.common.timeouts import READY_TIMEOUT_S, scaled
from meterd.rules.partitions import Partition
from meterd.rules.redis_keys import Keys
from tests.hosts.daemons import MachineDaemon
from tests.hosts.machines import Machine
from tests.hosts.site import Site, Traffic, assert_nothing_lost_or_twice

PARTITIONS: Final = 4
PER_SECOND: Final = 25
"""Random commands to each partition."""
PROBE_S: Final = 0.1
"""Between two commands whose answers are timed, in each partition."""
SHARED_S_MAX: Final = 120
SETTINGS: Final = {
    "METERD_PARTITIONS": str(PARTITIONS),
    "METERD_ACTORS__MAX": str(PARTITIONS),
    "METERD_ACTORS__WARM_POOL_SIZE": "0",
    "METERD_SUPERVISOR__BALANCE_AFTER_MS": "3000",
}


class Waited(NamedTuple):
    """How long a command waited for its answer."""

    at_s: float
    """When it was sent, by the steady clock."""
    wait_s: float


class Probe:
    """Traffic on one partition, and answers timed one after the other."""

    def __init__(self, site: Site, number: int) -> None:
        """Credits and chats are sent; nothing is timed before ``start``."""
        self.traffic = Traffic(site.client, Partition(number, PARTITIONS), PER_SECOND)
        self.waits: list[Waited] = []
        self.failed: list[BaseException] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"probe-{number}")

    def start(self) -> None:
        """Begin to time."""
        self._thread.start()

    def stop(self) -> None:
        """Time no more; what is open is waited for."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                at_s = time.monotonic()
                wait_s = self.traffic.answered_after_s(f"probe-{len(self.waits)}")
                self.waits.append(Waited(at_s, wait_s))
                self._stop.wait(PROBE_S)
        except BaseException as error:
            self.failed.append(error)


class ThreeNodes:
    """The nodes, which of them leads what, and the load."""

    def __init__(self, site: Site, join: Callable[[Machine], None], **settings: str) -> None:
        """Nothing is started; ``join`` is called with each machine before its daemon starts."""
        self.site = site
        self._join = join
        self._settings = {**SETTINGS, **settings}
        self.nodes: list[MachineDaemon] = []
        self.probes: list[Probe] = []

    def start_node(self) -> MachineDaemon:
        """Another machine with a daemon; it is not waited for."""
        name = f"node{len(self.site.net.machines) + 1}"
        machine = self.site.net.machine(name)
        machine.run("hostname", name)
        self._join(machine)
        node = self.site.daemon(machine, **self._settings)
        node.launch()
        self.nodes.append(node)
        return node

    def leaders(self) -> list[bytes]:
        """The token of each partition's leader; empty where nobody leads."""
        keys = [Keys(number).leader for number in range(PARTITIONS)]
        found: Any = self.site.client.mget(keys)
        return [one or b"" for one in found]

    def shares(self) -> list[int]:
        """How many partitions each node that leads any has."""
        leaders = self.leaders()
        return sorted(leaders.count(one) for one in set(leaders) if one)

    def until_shared(self) -> None:
        """Wait until the nodes that are on share the partitions and handle them."""
        on = len(self.nodes)
        share, more = divmod(PARTITIONS, on)
        expected = sorted([share] * (on - more) + [share + 1] * more)
        self._until(lambda: self.shares() == [one for one in expected if one])
        self._until(lambda: self._states() == ["ready"] * PARTITIONS)

    def led_by(self, node: MachineDaemon) -> list[int]:
        """The partitions that a node leads."""
        name = node.machine.name
        return [n for n in range(PARTITIONS) if self._line(n).get("host") == name]

    @contextlib.contextmanager
    def loaded(self) -> Iterator[None]:
        """Load on all partitions for as long as the block lasts."""
        with contextlib.ExitStack() as stack:
            self.probes = [Probe(self.site, number) for number in range(PARTITIONS)]
            for probe in self.probes:
                stack.enter_context(probe.traffic)
                probe.start()
                stack.callback(probe.stop)
            yield
        assert [probe.failed for probe in self.probes] == [[]] * PARTITIONS

    def waits(self, numbers: Sequence[int], since_s: float) -> list[float]:
        """How long answers of these partitions took whose commands were sent since then."""
        return [one.wait_s for n in numbers for one in self.probes[n].waits if one.at_s >= since_s]

    def answered_s(self) -> float:
        """How long until each partition has answered something that is sent from now on."""
        return self.first_answers_s(time.monotonic())

    def first_answers_s(self, since_s: float) -> float:
        """How long after ``since_s`` each partition had answered something sent after it."""

        def answered(number: int) -> list[float]:
            waits = self.probes[number].waits
            return [one.at_s + one.wait_s for one in waits if one.at_s >= since_s]

        self._until(lambda: all(answered(number) for number in range(PARTITIONS)))
        return max(min(answered(number)) for number in range(PARTITIONS)) - since_s

    def chats_by_actor(self) -> list[int]:
        """How many chats each actor has that has any, in all partitions."""
        actors = [a for n in range(PARTITIONS) for a in self.site.published(n).get("actors", ())]
        return [actor["chats"] for actor in actors if actor["chats"]]

    def until_each_chat_has_an_actor(self, chats: int) -> None:
        """Wait until the daemons tell that so many actors have one chat, and none has more."""
        self._until(lambda: self.chats_by_actor() == [1] * chats)

    def until_handled(self) -> None:
        """Wait until nothing waits in any partition, for Postgres neither."""
        self._until(lambda: all(is_handled(self.site.client, Keys(n)) for n in range(PARTITIONS)))

    def assert_exact(self) -> None:
        """Nothing is lost, nothing came twice, in any partition; no old epoch may write."""
        assert_nothing_lost_or_twice(self.site, *(probe.traffic for probe in self.probes))

    def _line(self, number: int) -> dict[str, Any]:
        lines: list[dict[str, Any]] = self.site.published(number).get("partitions", [{}])
        return lines[0]

    def _states(self) -> list[str]:
        return [str(self._line(number).get("state")) for number in range(PARTITIONS)]

    def _until(self, holds: Callable[[], bool], timeout_s: float = SHARED_S_MAX) -> None:
        deadline = time.monotonic() + scaled(timeout_s)
        while not holds():
            ended = [node.output() for node in self.nodes if node.has_ended()]
            assert not ended, f"a daemon has ended: {ended}"
            assert time.monotonic() < deadline, (
                self.shares(), self._states(), [node.here() for node in self.nodes],
            )  # fmt: skip
            time.sleep(0.1)


def p99(waits: Sequence[float]) -> float:
    """The 99th percentile, in seconds."""
    return statistics.quantiles(waits, n=100)[98] if len(waits) > 1 else max(waits, default=0.0)


@contextlib.contextmanager
def three_nodes(
    site: Site, join: Callable[[Machine], None] = lambda _machine: None, **settings: str
) -> Iterator[ThreeNodes]:
    """Three nodes that share the partitions, each with a Ray of its own unless they join one."""
    made = ThreeNodes(site, join, **settings)
    for _ in range(3):
        node = made.start_node()
        node.until(lambda node=node: node.here()[0] in ("ready", "standby"), READY_TIMEOUT_S)  # type: ignore[misc]
    made.until_shared()
    yield made
