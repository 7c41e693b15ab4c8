"""``python -m loadtests.bench.empty_actors COUNT``: Ray with so many actors that do nothing.

Ray is started as the daemon starts it, with the daemon's settings. Prints ``ready``, then waits
until its input ends.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import ray

from daemon.process.engine_client import RAY_SETTINGS
from daemon.process.ray_start import start_ray
from loadtests.common.code import own_code

READY: Final = "ready"
STOP_S_MAX: Final = 20


class _Empty:
    """Does nothing."""

    def ping(self) -> int:
        """Say that it is there."""
        return os.getpid()


def main() -> None:
    """Start, say so, and wait."""
    os.environ.update(RAY_SETTINGS)
    start_ray(None, str(Path.cwd()))
    try:
        made: Any = ray.remote(num_cpus=0)(_Empty)
        actors = [made.remote() for _ in range(int(sys.argv[1]))]
        ray.get([actor.ping.remote() for actor in actors])
        print(READY, flush=True)
        sys.stdin.read()
    finally:
        ray.shutdown()


@contextlib.contextmanager
def empty_actors(count: int, folder: Path) -> Iterator[int]:
    """The pid of a process with so many empty actors below it; what it prints goes to a file."""
    said = folder / "empty.out"
    with said.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.bench.empty_actors", str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            text=True, cwd=folder, env=own_code(), start_new_session=True,
        )  # fmt: skip
    try:
        if not _wait_ready(process):
            raise RuntimeError(f"the empty actors have not started: {said.read_text()[-500:]}")
        yield process.pid
    finally:
        _end(process)


def _wait_ready(process: subprocess.Popen[str]) -> bool:
    assert process.stdout is not None, "it was started with a pipe"
    return any(line.strip() == READY for line in iter(process.stdout.readline, ""))


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=STOP_S_MAX)
    process.kill()
    process.wait()


if __name__ == "__main__":
    main()
