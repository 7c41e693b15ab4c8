"""Machines on one kernel: a network, processes and mounts of its own for each, a bridge between.

The bridge and the ends of the cables are in our own namespace; everything else goes with the last
process of its machine. Their names hold our pid, so that what a killed run left is known as such.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from loadtests.common.timeouts import scaled
from loadtests.common.watchdog import end_with_us

PREFIX: Final = "mh"
"""Begins the names of bridges and cables; Linux allows them 15 characters."""
COMMAND_S_MAX: Final = scaled(20)
_READY: Final = "machine is up"


def missing_right() -> str:
    """Why no machine can be made here; empty if they can."""
    if any(shutil.which(program) is None for program in ("ip", "unshare", "nsenter")):
        return "ip, unshare and nsenter are needed (Debian: iproute2, util-linux)"
    made = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--mount-proc", "ip", "link"],
        capture_output=True, text=True, check=False, timeout=COMMAND_S_MAX,
    )  # fmt: skip
    if made.returncode:
        return f"no right to make namespaces: {made.stderr.strip()}"
    name = f"{PREFIX}{os.getpid()}x"
    if _ip("link", "add", name, "type", "bridge", is_checked=False):
        return "no right to make a bridge, or the kernel has none"
    _ip("link", "del", name)
    return ""


class Machine:
    """A machine: one cable to the bridge, one address, no process of any other machine in sight."""

    def __init__(self, name: str, address: str, cable: str, bridge: str) -> None:
        """Start it; its first process does nothing but wait."""
        self.name = name
        self.address = address
        self._cable = cable
        self._init = subprocess.Popen(
            ["unshare", "--net", "--pid", "--uts", "--fork", "--mount-proc", "--kill-child",
             "sh", "-c", f"echo {_READY}; exec sleep infinity"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        end_with_us(self._init.pid)
        assert self._init.stdout is not None, "it was started with a pipe"
        with self._init.stdout as said:
            assert said.readline().strip() == _READY
        self._pid = int(Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text())
        peer = f"{cable}p"
        _ip("link", "add", cable, "type", "veth", "peer", "name", peer, "netns", str(self._pid))
        _ip("link", "set", cable, "master", bridge, "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{address}/24", "dev", peer)
        self.run("ip", "link", "set", peer, "up")

    def start(
        self, command: Sequence[str], env: Mapping[str, str], output: Path, cwd: Path
    ) -> "subprocess.Popen[bytes]":
        """Start a program in it; ``output`` gets what it prints. The process ends with it."""
        with output.open("ab") as file:
            return subprocess.Popen(
                [*self._enter(), *command], env=env, cwd=cwd, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip

    def run(
        self, *command: str, env: Mapping[str, str] | None = None, timeout_s: float = COMMAND_S_MAX
    ) -> str:
        """Run a command in it; returns what it printed, fails if the command does."""
        done = subprocess.run(
            [*self._enter(), *command], env=env, capture_output=True, text=True,
            timeout=timeout_s, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"{self.name}: {command}: {done.stdout}{done.stderr}"
        return done.stdout

    def reaches(self, address: str) -> bool:
        """Whether a machine says within a second that nobody listens at its port 9."""
        done = subprocess.run(
            [*self._enter(), "timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{address}/9"],
            capture_output=True, text=True, timeout=COMMAND_S_MAX, check=False,
        )  # fmt: skip
        return "refused" in done.stderr

    def cut(self) -> None:
        """Pull its cable: packets are lost in both directions, nobody is told."""
        _ip("link", "set", self._cable, "down")

    def heal(self) -> None:
        """Put the cable in again."""
        _ip("link", "set", self._cable, "up")

    def is_on(self) -> bool:
        """Whether it runs."""
        return self._init.poll() is None

    def kill(self) -> None:
        """Switch it off: the kernel kills all of its processes at once."""
        if self.is_on():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, 9)
            self._init.wait(timeout=COMMAND_S_MAX)
        # The kernel takes the namespace away a little later, and the cable with it.
        _ip("link", "del", self._cable, is_checked=False)

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self._pid}", "--net", "--pid", "--mount", "--uts"]


class Network:
    """A bridge with an address of ours, and the machines on it."""

    def __init__(self) -> None:
        """Make the bridge."""
        self._name = f"{PREFIX}{os.getpid()}"
        self._net = f"198.18.{os.getpid() % 256}"
        self.address = f"{self._net}.254"
        """Where machines reach what listens here."""
        self.machines: list[Machine] = []
        remove_left_over()
        # An address of its own: else it has that of one of its cables, and when that one goes,
        # nobody finds the bridge for the best part of a minute.
        _ip("link", "add", self._name, "address", "02:00:00:00:00:01", "type", "bridge")
        _ip("address", "add", f"{self.address}/24", "dev", self._name)
        _ip("link", "set", self._name, "up")

    def machine(self, name: str) -> Machine:
        """Another machine on the bridge."""
        number = len(self.machines) + 1
        made = Machine(name, f"{self._net}.{number}", f"{self._name}-{number}", self._name)
        self.machines.append(made)
        return made

    def close(self) -> None:
        """Switch all machines off and take the bridge away."""
        for machine in self.machines:
            machine.kill()
        _ip("link", "del", self._name, is_checked=False)


def remove_left_over() -> None:
    """Take away bridges and cables of runs that were killed."""
    for entry in Path("/sys/class/net").glob(f"{PREFIX}[0-9]*"):
        owner = entry.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            _ip("link", "del", entry.name, is_checked=False)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A network for as long as the block lasts; nothing of it is left, after a failure either."""
    made = Network()
    try:
        yield made
    finally:
        made.close()


def _ip(*words: str, is_checked: bool = True) -> int:
    done = subprocess.run(
        ["ip", *words], capture_output=True, text=True, check=False, timeout=COMMAND_S_MAX
    )
    assert not is_checked or done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.returncode
