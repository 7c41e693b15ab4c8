"""The benchmarks as they are started, with tiny sizes: does it measure, show and write?"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.common.code import own_code
from loadtests.common.timeouts import scaled
from tests.project._project import ROOT


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.acceptance
@pytest.mark.timeout(300)
def test_a_quick_run_measures_shows_and_writes(tmp_path: Path) -> None:
    """The table on standard output, figures, drawings and the document in the folder.

    Of two measurements with a daemon, one of which finds its peak first, and one without.
    """
    ran = _bench("--quick", "--only", "latency", "records", "start_up", "--out", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert "at half of the peak" in ran.stdout
    found = json.loads((tmp_path / "performance" / "figures.json").read_text())["measurements"]
    assert found["records"]["figures"]["ratio"]["values"]
    assert found["latency"]["figures"]["of_a_peak_per_s"]["median"] > 0
    assert found["latency"]["figures"]["half_p99_ms"]["median"] > 0
    assert found["start_up"]["figures"]["status_cpu_s"]["median"] > 0
    assert found["start_up"]["figures"]["second_start_s"]["median"] > 0
    text = (tmp_path / "performance.md").read_text()
    assert "![latency](performance/latency.svg)" in text


def test_help_has_examples() -> None:
    """Whoever asks learns what there is to type."""
    asked = _bench("--help")
    assert asked.returncode == 0
    assert "examples:" in asked.stdout


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtests.bench", *arguments],
        cwd=ROOT, env=own_code(), capture_output=True, text=True, timeout=scaled(280), check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
