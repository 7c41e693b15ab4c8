"""How much memory there is: the least of what machine and control groups allow."""

from contextlib import closing
from pathlib import Path

import pytest

from daemon.embedded import EmbeddedServers
from daemon.embedded.memory import BYTES_MIN, check_memory, memory_bytes
from daemon.errors import DaemonError
from tests.embedded._use import valkey

GIB = 2**30


def _machine(root: Path, groups: str, limits: dict[str, str]) -> Path:
    """A machine with 8 GiB, the process in these control groups, with limits in their files."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal:        8388608 kB\nMemFree: 1 kB\n")
    (root / "proc/self/cgroup").write_text(groups)
    for path, limit in limits.items():
        file = root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{limit}\n")
    return root


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/\n", {}, 8 * GIB),
        ("0::/\n", {"memory.max": "max"}, 8 * GIB),
        ("0::/\n", {"memory.max": str(GIB)}, GIB),
        ("0::/a/b\n", {"a/memory.max": str(GIB), "a/b/memory.max": "max"}, GIB),
        ("0::/of/the/host\n", {"memory.max": str(2 * GIB)}, 2 * GIB),
        ("0::/../../x\n", {"memory.max": str(2 * GIB)}, 2 * GIB),
        (
            "4:memory:/x\n0::/\n",
            {"memory/x/memory.limit_in_bytes": str(GIB), "memory/memory.limit_in_bytes": "9" * 19},
            GIB,
        ),
        ("5:cpu,memory:/\n", {"memory/memory.limit_in_bytes": str(3 * GIB)}, 3 * GIB),
    ],
)
def test_the_least_limit_counts(
    tmp_path: Path, groups: str, limits: dict[str, str], expected: int
) -> None:
    """Of versions 1 and 2, of the process' own group and of those around it."""
    assert memory_bytes(_machine(tmp_path, groups, limits)) == expected


def test_here_it_is_something() -> None:
    assert BYTES_MIN < memory_bytes() < 2**60


def test_too_little_is_refused_with_both_figures() -> None:
    check_memory(BYTES_MIN)
    with pytest.raises(DaemonError, match=r"511 MiB .* needs 512"):
        check_memory(BYTES_MIN - 1)


def test_the_embedded_server_has_a_limit_and_forgets_nothing(home: Path) -> None:
    """Half of the memory, with noeviction: a full server refuses."""
    servers = EmbeddedServers(home, True, False)
    urls = servers.start()
    try:
        with closing(valkey(urls)) as client:
            assert client.config_get("maxmemory") == {"maxmemory": str(memory_bytes() // 2)}
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    finally:
        servers.stop(20_000)
