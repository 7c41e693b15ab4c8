"""Compiled wheels: the same source, the same decisions."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

from loadtests.common.timeouts import scaled
from tests.project._project import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.redis,
    pytest.mark.postgres,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]

NOT_COPIED: Final = shutil.ignore_patterns(
    "__pycache__", "*.egg-info", "*.so", "build", "dist", "node_modules", ".*_cache"
)
COPIED: Final = (
    "LICENSE", "README.md", "config.yaml", "pyproject.toml", "setup.py", "actors", "clients",
    "daemon", "deploy", "docs", "loadtests", "persistence", "tests",
)  # fmt: skip
DECIDING: Final = ("tests/rules", "tests/actors", "tests/engine/test_conformance.py")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout."""
    source = tmp_path_factory.mktemp("compiled")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=NOT_COPIED)
        else:
            shutil.copy(ROOT / name, source / name)
    return source


def _python(folder: Path, *arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, **variables},
        capture_output=True, text=True, timeout=scaled(600), check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4_000:]
    return done.stdout


def test_compiled_wheels_decide_the_same(source: Path) -> None:
    """The tests of the rules and actors and the worked examples pass, on the compiled modules."""
    for folder in (source / "clients" / "python", source):
        _python(folder, "-m", "build", "--wheel", "--no-isolation", METERD_COMPILE="1")
        (wheel,) = (folder / "dist").glob("*.whl")
        assert not wheel.name.endswith("-any.whl"), "it is for one Python and one processor"
        with zipfile.ZipFile(wheel) as file:
            modules = [name for name in file.namelist() if name.endswith(".so")]
            assert len(modules) > 10
            file.extractall(folder, modules)
    where = "import meterd.rules.fold, actors.chat.worker as w; print(w.__file__, end=' ')"
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (source, source / "clients" / "python")))}
    found = _python(source, "-c", f"{where}; print(meterd.rules.fold.__file__)", **paths).split()
    assert [Path(path).suffix for path in found] == [".so", ".so"]
    assert all(Path(path).is_relative_to(source) for path in found)
    ran = _python(
        source, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *DECIDING, **paths
    )
    assert " passed" in ran
