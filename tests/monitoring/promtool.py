"""Prometheus's own tool: it says what Prometheus would, without one."""

import os
import shutil
import subprocess

import pytest


def promtool(*args: str, page: str | None = None) -> str:
    """What it prints; fails if it finds something wrong, skips where it is not on this machine."""
    program = shutil.which("promtool")
    if program is None:
        if os.environ.get("METERD_TEST_REQUIRE_PROMTOOL"):
            pytest.fail("promtool is required here (METERD_TEST_REQUIRE_PROMTOOL) but missing")
        pytest.skip(
            "promtool is not on this machine (Debian and Ubuntu: apt-get install prometheus)"
        )
    done = subprocess.run(
        [program, *args], input=page, capture_output=True, text=True, timeout=120, check=False
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    return told
