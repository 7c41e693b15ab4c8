"""Reads a reply stream in a process of its own and notes when each reply came.

``python -m loadtests.bench.replies`` reads the URL, the stream and the number of replies as JSON
from its standard input; then it answers, in JSON, with the moments by the replies' ids.
"""

import json
import subprocess
import sys
import time
from typing import Any, Final

from loadtests.bench.wire import Wire, encode
from loadtests.common.code import own_code

BLOCK_MS: Final = 1_000
COUNT: Final = 1_000
SILENT_S_MAX: Final = 10.0


def read(url: str, stream: str, count: int) -> dict[str, list[Any]]:
    """Id → nanoseconds of the machine's steady clock, and outcome, of so many replies."""
    found: dict[str, list[Any]] = {}
    after, heard_s = b"0", time.monotonic()
    with Wire(url) as wire:
        print("reading", flush=True)
        while len(found) < count and time.monotonic() - heard_s < SILENT_S_MAX:
            call = encode("XREAD", "COUNT", COUNT, "BLOCK", BLOCK_MS, "STREAMS", stream, after)
            answer = wire.ask([call])[0]
            now_ns = time.monotonic_ns()
            for entry, fields in answer[0][1] if answer else ():
                after, heard_s = entry, time.monotonic()
                found[fields[1].decode()] = [now_ns, fields[3].decode()]
    return found


class ReplyReader:
    """The process that reads, as the one that sends sees it."""

    def __init__(self, url: str, stream: str, count: int) -> None:
        """Start it and wait until it reads."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.bench.replies"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own_code(),
        )  # fmt: skip
        assert self._process.stdin is not None, "it was started with a pipe"
        assert self._process.stdout is not None, "it was started with a pipe"
        self._process.stdin.write(json.dumps([url, stream, count]) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline().strip() != "reading":
            self.close()
            raise RuntimeError("the process that reads replies has ended at once")

    def result(self, timeout_s: float) -> dict[str, list[Any]]:
        """What it has read, once it has all or hears nothing any more."""
        answer, _ = self._process.communicate(timeout=timeout_s)
        found: dict[str, list[Any]] = json.loads(answer)
        return found

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Do what the line of standard input says."""
    print(json.dumps(read(*json.loads(sys.stdin.readline()))))


if __name__ == "__main__":
    main()
