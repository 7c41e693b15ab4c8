"""How much memory there is for meterd: the machine's, or less where a control group says so."""

from pathlib import Path
from typing import Final

from daemon.errors import DaemonError

BYTES_MIN: Final = 512 * 2**20
"""Below this the first processes are killed before the last ones have started."""
_UNLIMITED: Final = 2**60
_GROUPS: Final = Path("sys/fs/cgroup")


def memory_bytes(root: Path = Path("/")) -> int:
    """The memory that this process and its children may use, in bytes."""
    return min(_of_machine(root), *_of_groups(root), _UNLIMITED)


def check_memory(found: int) -> None:
    """Refuse what can't work.

    Raises:
        DaemonError: there is too little; the message names both figures.
    """
    if found < BYTES_MIN:
        raise DaemonError(
            f"There are {found // 2**20} MiB of memory for meterd, which needs "
            f"{BYTES_MIN // 2**20} at the least, and 1 GiB with servers of its own.\n"
            "Raise the limit of the container, service or machine (docs/operations.md, Sizing)"
        )


def _of_machine(root: Path) -> int:
    for line in (root / "proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * 1024
    return _UNLIMITED


def _of_groups(root: Path) -> list[int]:
    """The limits of the process' control groups, versions 1 and 2, and of those around them."""
    limits = []
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            limits += _limits(root / _GROUPS, path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(root / _GROUPS / "memory", path, "memory.limit_in_bytes")
    return limits


def _limits(mounted: Path, path: str, file: str) -> list[int]:
    # In a container the path may be the host's, and the container's own group is the mounted one.
    inner = mounted / path.lstrip("/")
    groups = [mounted, *(inner, *inner.parents)]
    found = []
    for group in groups:
        if group == mounted or mounted in group.parents:
            try:
                text = (group / file).read_text().strip()
            except OSError:
                continue
            found += [int(text)] if text.isdecimal() else []
    return found
