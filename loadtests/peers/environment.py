"""Each peer's environment: made once, from its lock, apart from the project's own."""

import hashlib
import shutil
import subprocess
import sys

from loadtests.peers.catalogue import Peer

_INSTALL_TIMEOUT_S = 900
_MARK = "installed-from"


class PeerEnvironmentError(Exception):
    """A peer's environment can't be made."""


def is_installed(peer: Peer) -> bool:
    """Whether the environment is there, and of this lock."""
    if peer.is_own:
        return True
    mark = peer.environment / _MARK
    return mark.is_file() and mark.read_text() == _digest(peer)


def install(peer: Peer) -> None:
    """Make the environment if it is not there; what happens goes to standard error.

    Takes a minute and downloads. Raises PeerEnvironmentError.
    """
    if is_installed(peer):
        return
    print(f"{peer.name}: making its environment in {peer.environment} ...", file=sys.stderr)
    shutil.rmtree(peer.environment, ignore_errors=True)
    peer.environment.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _run(peer, [sys.executable, "-m", "venv", str(peer.environment)])
    _run(
        peer,
        [str(peer.python), "-m", "pip", "install", "--require-hashes", "--only-binary=:all:",
         "--progress-bar", "on", "-r", str(peer.lock)],
    )  # fmt: skip
    (peer.environment / _MARK).write_text(_digest(peer))


def version(peer: Peer) -> str:
    """The version of the peer that is installed."""
    program = f"import importlib.metadata as m; print(m.version({peer.package!r}))"
    asked = subprocess.run(
        [str(peer.python), "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return asked.stdout.strip()


def _digest(peer: Peer) -> str:
    return hashlib.sha256(peer.lock.read_bytes()).hexdigest()


def _run(peer: Peer, command: list[str]) -> None:
    done = subprocess.run(command, stdout=sys.stderr, timeout=_INSTALL_TIMEOUT_S, check=False)
    if done.returncode:
        raise PeerEnvironmentError(
            f"{peer.name}: {' '.join(command[1:4])} failed (exit code {done.returncode}); what it"
            " said is above. Nothing else was changed: run this again once that is fixed"
        )
