"""Lock files of npm: what is installed is named by its hash."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("clients", "examples", "tests")
OWN_CLIENT = "file:../../clients/typescript"
"""Of this checkout, so it has no hash: an example gets it as it is."""
LOCKS = [path for name in FOLDERS for path in (ROOT / name).glob("**/package-lock.json")]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_package_has_a_hash_and_no_address(path: Path) -> None:
    """So that any registry may serve it, and none can change it."""
    packages = json.loads(path.read_text("utf-8"))["packages"]
    installed = {
        name: each
        for name, each in packages.items()
        if name.startswith("node_modules/") and each.get("resolved") != OWN_CLIENT
    }
    assert installed, "it locks something"
    assert [name for name, each in installed.items() if "resolved" in each] == []
    assert [name for name, each in installed.items() if "integrity" not in each] == []
