"""The migration is removable in one cut, once the old system is gone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project._project import ROOT

REMAINING = (
    "tests/commands/test_help.py",
    "tests/daemon/test_settings.py",
    "tests/gateway/test_problems.py",
    "tests/postgres/test_migrate.py",
    "tests/rules/test_money.py",
)
"""Tests that load the command line, the settings, the gateway, the tables and the rules."""


def _run(folder: Path, *command: str) -> str:
    path = os.pathsep.join([str(folder), str(folder / "clients" / "python")])
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout after the cut."""
    folder = tmp_path_factory.mktemp("cut")
    for name in _run(ROOT, "git", "ls-files", "-co", "--exclude-standard").splitlines():
        source, target = ROOT / name, folder / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target, follow_symlinks=False)
    _run(folder, "git", "init", "-q")
    _run(folder, sys.executable, "tools/remove-migration")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_remains_passes_the_checks(cut: Path) -> None:
    """Types, lint and imports: nothing left imports what was deleted."""
    _run(cut, sys.executable, "-m", "ruff", "check", ".")
    _run(cut, sys.executable, "-m", "mypy")
    _run(cut, str(Path(sys.executable).with_name("lint-imports")))


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(400)
def test_what_remains_works(cut: Path) -> None:
    """Commands, settings, gateway, tables and rules, by their own tests."""
    told = _run(cut, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *REMAINING)
    assert "passed" in told


def test_only_the_seams_know_the_migration() -> None:
    """Outside its folder: command line, settings, the gateway's fallback, tables, navigation."""
    found = subprocess.run(
        ["git", "grep", "-lE", r"migration seam|daemon\.legacy", "--", "*.py",
         ":!daemon/legacy", ":!tests", ":!tools"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert set(found) == {
        "daemon/cli.py",
        "daemon/commands/chat.py",
        "daemon/gateway/container.py",
        "daemon/gateway/legacy_fallback.py",
        "daemon/settings/settings.py",
        "docs/_generate/navigation.py",
        "persistence/postgres/tables.py",
    }
