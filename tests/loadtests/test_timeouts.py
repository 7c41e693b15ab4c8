"""One variable scales every limit of the tests, pytest's own as well."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.common.code import ROOT
from loadtests.common.timeouts import VARIABLE

pytestmark = pytest.mark.slow

TESTS = """
import time
import pytest
from loadtests.common.timeouts import scaled

def test_with_the_limit_of_the_ini_file():
    time.sleep(60)

@pytest.mark.timeout(50, method="signal")
def test_with_a_limit_of_its_own():
    time.sleep(60)

@pytest.mark.ray
@pytest.mark.timeout(50)
def test_that_may_wait_for_a_daemon():
    time.sleep(60)

def test_that_is_in_time():
    assert scaled(100) == 1.0
"""


def _run(folder: Path, scale: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text('pytest_plugins = ["tests.conftest"]\n')
    (folder / "test_it.py").write_text(TESTS)
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder)),
            *("-c", str(ROOT / "pyproject.toml"), str(folder / "test_it.py")),
        ],
        cwd=ROOT, env={**os.environ, VARIABLE: scale}, capture_output=True, text=True,
        timeout=100, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_limits_of_marks_and_of_the_ini_file_are_scaled(tmp_path: Path) -> None:
    """A hundredth of them here: 1.2 and 0.5 s, and 1.8 more where a daemon may have to start."""
    ran = _run(tmp_path, "0.01")
    assert "3 failed, 1 passed" in ran.stdout, ran.stdout + ran.stderr
    assert "Timeout (>1.2s)" in ran.stdout
    assert "Timeout (>0.5s)" in ran.stdout
    assert "Timeout (>2.3" in ran.stdout


@pytest.mark.parametrize("scale", ["0", "-1", "much", "nan", "inf"])
def test_a_scale_that_is_none_is_named(tmp_path: Path, scale: str) -> None:
    ran = _run(tmp_path, scale)
    assert ran.returncode != 0
    assert f"{VARIABLE}={scale}: write a number above 0" in ran.stdout + ran.stderr
