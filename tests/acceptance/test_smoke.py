"""The shortest way through everything: `make smoke` runs it on each Python."""

import json

import pytest

from loadtests.common.live import live_daemon

pytestmark = [
    pytest.mark.smoke,
    pytest.mark.ray,
    pytest.mark.acceptance,
    pytest.mark.timeout(300),
]


def test_a_daemon_starts_shows_the_demo_passes_the_audit_and_stops() -> None:
    """Each command exits with 0, and so does the daemon when it is told to stop."""
    with live_daemon() as daemon:
        status = daemon.run("status", "--json")
        assert (status.returncode, json.loads(status.stdout)["state"]) == (0, "ready")
        for command in ("demo", "audit"):
            done = daemon.run(command, timeout_s=120)
            assert done.returncode == 0, done.stdout + done.stderr
