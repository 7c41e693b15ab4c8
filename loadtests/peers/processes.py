"""A peer's processes: its client that fills the queue, its workers, each a group of its own."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from loadtests.common.processes import look
from loadtests.peers.catalogue import ROOT, Peer
from loadtests.peers.transaction import URL_VARIABLE

_ENQUEUE_TIMEOUT_S: Final = 300
_STOP_TIMEOUT_S: Final = 15
_SHOWN: Final = 2_000
"""Characters of a peer's output that an error repeats."""


class PeerFailedError(Exception):
    """A peer did not do what it should; says what it printed."""


class Workers:
    """A peer's running workers, or those of one that has ended by itself."""

    def __init__(self, peer: Peer, url: str, jobs: int, folder: Path) -> None:
        """Start them; what they print goes into the folder, which they run in too."""
        self._output = folder / "workers.out"
        self._groups = [
            self._start(peer, arguments, environment_of(url), jobs) for arguments in peer.workers
        ]

    def _start(
        self, peer: Peer, arguments: tuple[str, ...], env: dict[str, str], jobs: int
    ) -> subprocess.Popen[bytes]:
        own = (str(jobs),) if peer.is_own else ()
        with self._output.open("ab") as output:
            return subprocess.Popen(
                [str(peer.python), "-m", *arguments, *own],
                env=env,
                cwd=self._output.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def failed(self) -> bool:
        """Whether one of them has ended, other than well."""
        return any(group.poll() for group in self._groups)

    def cpu_s(self) -> float:
        """The processor time that they and their children have used."""
        trees = {f"workers {n}": group.pid for n, group in enumerate(self._groups)}
        return sum(process.cpu_s for process in look(None, trees))

    def output(self) -> str:
        """The end of what they printed."""
        return self._output.read_text(errors="replace")[-_SHOWN:]

    def stop(self) -> None:
        """Ask all of them to end, and end what does not; only groups that we started."""
        for group in self._groups:
            _signal(group.pid, signal.SIGTERM)
        for group in self._groups:
            with suppress(subprocess.TimeoutExpired):
                group.wait(_STOP_TIMEOUT_S)
            _signal(group.pid, signal.SIGKILL)
            group.wait()


def enqueue(peer: Peer, url: str, jobs: int) -> None:
    """Fill the queue with the peer's own client."""
    done = subprocess.run(
        [str(peer.python), "-m", "loadtests.peers.enqueue", peer.name, str(jobs)],
        env=environment_of(url), cwd=ROOT, capture_output=True, text=True,
        timeout=_ENQUEUE_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        raise PeerFailedError(f"{peer.name} took no jobs: {(done.stdout + done.stderr)[-_SHOWN:]}")


def environment_of(url: str) -> dict[str, str]:
    """The environment of a peer's processes: ours, with the project's code and the server."""
    return {**os.environ, "PYTHONPATH": str(ROOT), URL_VARIABLE: url}


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
