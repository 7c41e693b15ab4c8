"""The embedded Valkey gets jemalloc where Ray brings it, and runs without it where not."""

from pathlib import Path

import pytest

from daemon.embedded.allocator import jemalloc, preloading
from daemon.embedded.processes import find_marked, mark_of
from daemon.embedded.valkey import ValkeyServer

PLAIN = {"PATH": "/bin"}


def test_the_library_is_loaded_first() -> None:
    """And before what the operator has loaded."""
    library = Path("/lib/libjemalloc.so")
    assert preloading(library, PLAIN) == {**PLAIN, "LD_PRELOAD": str(library)}
    mine = {"LD_PRELOAD": "/mine.so"}
    assert preloading(library, mine)["LD_PRELOAD"] == f"{library} /mine.so"


@pytest.mark.parametrize("library", [None, Path("/a b/lib.so"), Path("/a:b/lib.so")])
def test_what_is_not_there_or_can_not_be_named_is_left_out(library: Path | None) -> None:
    assert preloading(library, PLAIN) == PLAIN


@pytest.mark.redis
def test_the_server_runs_with_it(tmp_path: Path) -> None:
    """Seen in the memory map of the real server."""
    assert jemalloc() is not None, "the pinned Ray brings it"
    server = ValkeyServer(tmp_path)
    server.start()
    try:
        (pid,) = find_marked(mark_of(tmp_path / "valkey"), "valkey-server")
        assert "libjemalloc" in Path(f"/proc/{pid}/maps").read_text()
    finally:
        server.stop(5_000)
