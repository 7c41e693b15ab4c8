"""What is deployed by other programs, held to their published schemas and linters."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def _runs(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )


def _fault_in(path: Path, text: str, instead: str, folder: Path) -> Path:
    """A copy with a fault, to see that whoever checks it is able to fail."""
    content = path.read_text()
    assert text in content
    copy = folder / path.name
    copy.write_text(content.replace(text, instead, 1))
    return copy


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_fit_the_schemas_of_kubernetes(path: Path, tmp_path: Path) -> None:
    """Strictly: no field that Kubernetes would ignore."""
    command = BIN / "kubernetes-validate", "--strict"
    done = _runs(*command, path)
    assert done.returncode == 0, done.stdout + done.stderr
    faulty = _fault_in(path, "    metadata:\n", "    metadada:\n", tmp_path)
    assert _runs(*command, faulty).returncode != 0


def test_the_compose_file_fits_the_schema_of_compose(tmp_path: Path) -> None:
    command = BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"
    done = _runs(*command, DEPLOY / "compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    faulty = _fault_in(DEPLOY / "compose.yaml", "read_only: true", "read_only: [1]", tmp_path)
    assert _runs(*command, faulty).returncode != 0


def test_what_the_compose_file_mounts_is_there() -> None:
    """Files beside it, by their names."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    mounts = [mount for one in services.values() for mount in one.get("volumes", [])]
    files = [mount.partition(":")[0] for mount in mounts if mount.startswith(".")]
    assert files
    for file in files:
        assert (DEPLOY / file).exists(), file


@pytest.mark.skipif(not (BIN / "hadolint").exists(), reason="no hadolint for this processor")
def test_the_dockerfile_passes_its_linter(tmp_path: Path) -> None:
    done = _runs(BIN / "hadolint", DEPLOY / "Dockerfile")
    assert done.returncode == 0, done.stdout
    faulty = _fault_in(DEPLOY / "Dockerfile", "WORKDIR /build", "WORKDIR build", tmp_path)
    assert _runs(BIN / "hadolint", faulty).returncode != 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_the_unit_passes_systemds_own_check(tmp_path: Path) -> None:
    """With a program that is there in the place of ours."""
    text = (DEPLOY / "meterd.service").read_text()
    unit = tmp_path / "meterd.service"
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    done = _runs("systemd-analyze", "verify", unit)
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMode=mixt"))
    assert "kill mode" in _runs("systemd-analyze", "verify", unit).stderr


def test_the_image_gets_nothing_of_a_checkout_but_what_it_is_made_of() -> None:
    """Data and secrets lie in a checkout, too: everything is left out that is not named."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert rules[0] == "*"
    named = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert all((ROOT / name).exists() for name in named)
    assert {"actors", "clients/python", "daemon", "deploy", "persistence"} <= named
    assert not {name for name in named if name.startswith(".")}
