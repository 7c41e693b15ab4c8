"""The site, built once for all tests of it."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from docs._generate.stage import ROOT

OFFLINE = """
import sys

def refuse(event, arguments):
    if event == "socket.connect":
        raise RuntimeError(f"the build asks {arguments[1]}")

sys.addaudithook(refuse)
from docs._generate.__main__ import main
sys.exit(main())
"""


class Build(NamedTuple):
    """What came of a build."""

    site: Path
    status: int
    printed: str


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The site, in a folder of the test's, built by a process that may not connect to anything."""
    folder = tmp_path_factory.mktemp("docs")
    site = folder / "site"
    command = [sys.executable, "-c", OFFLINE, "--site", str(site), "--work", str(folder / "work")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return Build(site, built.returncode, built.stdout + built.stderr)
