"""The Pythons on which meterd runs: every file names the same, and a wrong one is told apart."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from loadtests.common.timeouts import scaled
from tests.project._project import ROOT

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
OLDEST, NEWEST = VERSIONS[0], VERSIONS[-1]
RANGE = f"{OLDEST} to {NEWEST}"
IN_WORDS = (
    "CONTRIBUTING.md",
    "Makefile",
    "README.md",
    "clients/python/README.md",
    "tools/find-python",
)
# What it runs instead of Python's own start: the version and the modules of another Python.
IMITATION = """#!{python}
import sys
code, arguments = sys.argv[2], sys.argv[3:]
sys.argv = ["-c", *arguments]
{changes}
exec(code)
"""
# It fits by what it says, and fails half way through making an environment.
FAILING = """#!/bin/sh
case "$1" in
-c) echo "3.11.0 $0" ;;
-V) echo "Python 3.11.0" ;;
-m) mkdir -p "$3/bin"; exit 1 ;;
esac
"""
OLD = "sys.version, sys.version_info = '3.10.4 (main)', (3, 10, 4, 'final', 0)"
WITHOUT_VENV = "sys.modules['ensurepip'] = None"
NO_GIL = "sys.version = sys.version + ' free-threading build'"


def _project(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = tomllib.loads((ROOT / name).read_text("utf-8"))["project"]
    return found


@pytest.mark.parametrize("name", ["pyproject.toml", "clients/python/pyproject.toml"])
def test_the_classifiers_name_each_python(name: str) -> None:
    """An index lists both distributions under each Python that is tested, and no other."""
    prefix = "Programming Language :: Python :: "
    named = [c.removeprefix(prefix) for c in _project(name)["classifiers"] if c.startswith(prefix)]
    assert named == ["3", *VERSIONS]


def test_pip_refuses_the_service_on_every_other_python() -> None:
    """The service needs Ray's wheels; the client may run on later ones."""
    minors = [f"3.{minor}" for minor in range(6, 21)]
    service, client = (
        SpecifierSet(str(_project(name)["requires-python"]))
        for name in ("pyproject.toml", "clients/python/pyproject.toml")
    )
    assert [minor for minor in minors if service.contains(f"{minor}.0")] == list(VERSIONS)
    assert next(minor for minor in minors if client.contains(f"{minor}.0")) == OLDEST


@pytest.mark.parametrize("name", IN_WORDS)
def test_each_document_names_the_range(name: str) -> None:
    """Whoever reads any of them gets the same answer."""
    text = (ROOT / name).read_text("utf-8")
    assert set(re.findall(r"Python (3\.\d+ to 3\.\d+)", text)) == {RANGE}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("tools/find-python", f"oldest={OLDEST}\nnewest={NEWEST}\n"),
        ("tools/lock", f"for python in {' '.join(VERSIONS)}; do"),
        ("tools/lock", f"--python-version {OLDEST} "),
        (".github/workflows/ci.yml", f"python: {json.dumps(VERSIONS)}"),
    ],
)
def test_each_tool_works_with_the_same(name: str, line: str) -> None:
    """What looks for a Python, locks for it or tests on it uses the same versions."""
    assert line in (ROOT / name).read_text("utf-8")


def test_code_is_checked_for_the_oldest() -> None:
    """Linter and type checker refuse what the oldest Python does not have."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    assert tools["mypy"]["python_version"] == OLDEST
    assert tools["ruff"]["target-version"] == f"py{OLDEST.replace('.', '')}"


def _imitate(path: Path, changes: str) -> Path:
    path.write_text(IMITATION.format(python=sys.executable, changes=changes))
    path.chmod(0o755)
    return path


def _find(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    return _run("find-python", *arguments, PATH=path or os.environ["PATH"])


def _run(script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "tools" / script), *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (OLD, "is Python 3.10.4"),
        (WITHOUT_VENV, f"apt-get install python3.{sys.version_info.minor}-venv"),
        (NO_GIL, "is no ordinary CPython"),
        ("sys.exit(3)", "does not run"),
    ],
)
def test_a_python_that_does_not_fit_is_named_with_what_would(
    changes: str, problem: str, tmp_path: Path
) -> None:
    """The message has its path, what is wrong with it, the range, and how to name another one."""
    wrong = _imitate(tmp_path / "python3", changes)
    found = _find(str(wrong))
    assert (found.returncode, found.stdout) == (1, "")
    for part in (str(wrong), problem, RANGE, "PYTHON="):
        assert part in found.stderr


def test_the_first_that_fits_is_taken(tmp_path: Path) -> None:
    """An old `python3` in front on the PATH does not hide a later one; nothing is printed of it."""
    _imitate(tmp_path / "python3", OLD)
    fitting = _imitate(tmp_path / "python3.12", "")
    found = _find(path=f"{tmp_path}:/usr/bin:/bin")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.strip() == os.path.realpath(sys.executable), fitting


def test_without_any_python_the_message_says_what_to_install(tmp_path: Path) -> None:
    """No shell error, but the package to install."""
    (tmp_path / "cat").symlink_to("/bin/cat")
    found = subprocess.run(
        ["/bin/sh", str(ROOT / "tools" / "find-python")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert "apt-get install python3 python3-venv" in found.stderr


def test_all_names_each_version_and_passes_over_the_others(tmp_path: Path) -> None:
    """What does not fit gets a line with its reason, and the rest is found all the same."""
    _imitate(tmp_path / "python3", OLD)
    _imitate(tmp_path / "python3.13", "")
    found = _find("--all", path=f"{tmp_path}:{os.environ['PATH']}")
    assert found.returncode == 0
    assert f"passed over: {tmp_path}/python3 is Python 3.10.4" in found.stderr
    assert f"{sys.version.split()[0]} {os.path.realpath(sys.executable)}" in found.stdout.split(
        "\n"
    )


@pytest.mark.parametrize("changes", [OLD, WITHOUT_VENV])
def test_a_wrong_python_leaves_nothing_behind(changes: str, tmp_path: Path) -> None:
    """Installing with it ends with its message, before there is an environment."""
    wrong = _imitate(tmp_path / "python3", changes)
    venv = tmp_path / "venv"
    done = _run("install", "run", PYTHON=str(wrong), VENV=str(venv))
    assert done.returncode == 1
    assert RANGE in done.stderr
    assert not venv.exists()


def test_an_environment_that_could_not_be_made_is_removed(tmp_path: Path) -> None:
    """`python -m venv` that fails half way leaves no environment that looks like one."""
    failing = tmp_path / "python3"
    failing.write_text(FAILING)
    failing.chmod(0o755)
    venv = tmp_path / "venv"
    done = _run("install", "run", PYTHON=str(failing), VENV=str(venv))
    assert done.returncode == 1
    assert "Making" in done.stdout
    assert not venv.exists()


def test_an_environment_of_a_wrong_python_is_left_when_no_other_fits(tmp_path: Path) -> None:
    """Nothing is removed before there is a Python to replace it with."""
    wrong = _imitate(tmp_path / "wrong", OLD)
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    done = _run("install", "run", PYTHON=str(wrong), VENV=str(venv))
    assert done.returncode == 1
    assert (venv / "bin").is_dir()
