"""A real Redis Cluster on loopback: three masters, and a replica of the second one."""

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import redis

from loadtests.common.timeouts import scaled
from loadtests.common.watchdog import end_with_us
from persistence.redis.client import connect
from tests.servers import binary, free_port

RANGES: Final = ((0, 5460), (5461, 10922), (10923, 16383))
NODE_TIMEOUT_MS: Final = 1_500
READY_S: Final = 30.0


class ClusterNode:
    """One server of the cluster, always at the same port, with an append-only file."""

    def __init__(self, kind: str, folder: Path, *options: str) -> None:
        """Nothing starts before ``start``."""
        self._folder = folder
        self._program = binary(kind)
        assert self._program is not None, f"{kind} is not installed"
        self.port, self.bus_port = free_port(), free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {
            "port": self.port, "cluster-port": self.bus_port, "bind": "127.0.0.1", "save": "",
            "cluster-enabled": "yes", "cluster-node-timeout": NODE_TIMEOUT_MS,
            "appendonly": "yes", "dir": self._folder, "logfile": self._folder / "log",
        }  # fmt: skip
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([str(self._program), *words, *self._options])
        end_with_us(self._process.pid)
        until(self._answers)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=scaled(30))

    def client(self) -> redis.Redis:
        """A connection to this node, whatever it has."""
        return connect(f"redis://127.0.0.1:{self.port}/0")

    def ask(self, *command: str | int) -> Any:
        """What it answers to a command."""
        with contextlib.closing(self.client()) as client:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    @property
    def is_master(self) -> bool:
        """Whether it takes writes, as far as it knows."""
        return bool(self.ask("ROLE")[0] == b"master")

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.ask("PING"))
        return False


class RedisCluster:
    """The nodes; the last one is a replica of the second one, until it takes over."""

    def __init__(self, kind: str, folder: Path, *options: str) -> None:
        """Nothing starts before ``start``."""
        self.nodes = [ClusterNode(kind, folder / str(n), *options) for n in range(4)]

    @property
    def hosts(self) -> str:
        """Two of the nodes, as a URL names them."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])

    @property
    def url(self) -> str:
        """By which clients find all of them."""
        return f"redis+cluster://{self.hosts}"

    def start(self) -> None:
        """Start all nodes, and wait until they know of each other and who has which slot."""
        for node in self.nodes:
            node.start()
        first, *others = self.nodes
        for node in others:
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        for node, (begin, end) in zip(self.nodes, RANGES, strict=False):
            node.ask("CLUSTER", "ADDSLOTSRANGE", begin, end)
        until(lambda: all(self._known(node) == len(self.nodes) for node in self.nodes))
        master_id = self.nodes[1].ask("CLUSTER", "MYID").decode()
        replica = self.nodes[-1]
        replica.ask("CLUSTER", "REPLICATE", master_id)
        until(lambda: all(self._is_ok(node) for node in self.nodes))
        until(lambda: not replica.is_master and replica.ask("ROLE")[3] == b"connected")

    def pair(self) -> tuple[ClusterNode, ClusterNode]:
        """The second master and its replica, as they are now."""
        one, other = self.nodes[1], self.nodes[-1]
        return (other, one) if other.is_master else (one, other)

    def fail_over(self) -> None:
        """Let the replica take over from a master that stays up, with all that it has."""
        master, replica = self.pair()
        self.until_replicated(master, replica)
        while not replica.is_master:
            # A node refuses to elect again soon after another election.
            replica.ask("CLUSTER", "FAILOVER")
            with contextlib.suppress(AssertionError):
                until(lambda: replica.is_master, 6)
        until(lambda: not master.is_master)

    def until_replicated(self, master: ClusterNode, replica: ClusterNode) -> None:
        """Wait until the replica has all that the master has."""
        until(lambda: bool(replica.ask("ROLE")[3:] == [b"connected", master.ask("ROLE")[1]]))

    def kill(self) -> None:
        """End all of it."""
        for node in self.nodes:
            node.kill()

    def _known(self, node: ClusterNode) -> int:
        return int(_info(node)["cluster_known_nodes"])

    def _is_ok(self, node: ClusterNode) -> bool:
        info = _info(node)
        return bool(info["cluster_state"] == "ok" and info["cluster_slots_ok"] == "16384")


def _info(node: ClusterNode) -> dict[str, str]:
    lines = node.ask("CLUSTER", "INFO").decode().split()
    return dict(line.split(":") for line in lines)


def until(holds: Callable[[], bool], timeout_s: float = READY_S) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + scaled(timeout_s)
    while not holds():
        assert time.monotonic() < deadline, f"not within {scaled(timeout_s):g} s"
        time.sleep(0.05)
