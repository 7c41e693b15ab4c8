"""``python -m loadtests.bench.servers HOME``: both servers as the daemon would start them.

A process of its own, so that it can be killed with all that it has started. Prints the URLs as
JSON when both answer, then waits until its input ends, and stops them.
"""

import json
import subprocess
import sys
from pathlib import Path

from daemon.embedded.servers import EmbeddedServers, Urls
from loadtests.bench.daemon import kill, kill_servers
from loadtests.common.code import own_code
from loadtests.common.processes import look


class Servers:
    """Servers that may be killed and started again with their data."""

    def __init__(self, home: Path) -> None:
        """Nothing runs yet."""
        self._home = home
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Urls:
        """Start them; returns when both answer."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.bench.servers", str(self._home)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own_code(),
            start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None, "it was started with a pipe"
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the servers could not be started; what they said is above")
        return Urls(**json.loads(line))

    def kill(self) -> None:
        """SIGKILL of them and of what started them."""
        if self._process is not None:
            kill(look(self._process.pid))
            self._process.wait(timeout=30)
        kill_servers(self._home)


def main() -> None:
    """Start them, say where they are, wait, stop them."""
    servers = EmbeddedServers(Path(sys.argv[1]))
    urls = servers.start()
    try:
        print(json.dumps({"redis_url": urls.redis_url, "postgres_url": urls.postgres_url}))
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        servers.stop()


if __name__ == "__main__":
    main()
