"""The package in TypeScript as others get it: its types, its files, its examples."""

import filecmp
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadtests.common.live import LiveDaemon
from meterd import Meter
from tests.client.by_hand import KEYS
from tests.client.test_docs import TEXT, examples
from tests.client.typescript.node import INSTALL_TIMEOUT_S, NODE, NPM, PACKAGE, run

pytestmark = pytest.mark.timeout(180)

Call = Callable[..., Any]
README = (PACKAGE / "README.md").read_text("utf-8")
USES = Path(__file__).with_name("uses.ts")
STRICT = (
    *("--noEmit", "--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes"),
    *("--target", "es2022", "--module", "nodenext", "--types", "node"),
)


def tsc(folder: Path, package: Path, *args: str) -> None:
    """Run the compiler that the package's lock file names."""
    run(NODE, package / "node_modules" / "typescript" / "bin" / "tsc", *args, cwd=folder)


@pytest.mark.acceptance  # not one of the fast tests: npm gets packages
def test_the_sources_are_typed_and_the_declarations_are_theirs(package: Path) -> None:
    """`npm run types` gives what is in `types/`: nobody forgot it, nobody wrote it by hand."""
    made = package / "made"
    tsc(package, package, "--emitDeclarationOnly", "--outDir", str(made))
    names = sorted(path.name for path in made.iterdir())
    assert names == sorted(path.name for path in (PACKAGE / "types").iterdir())
    assert len(names) == len(list((PACKAGE / "src").iterdir()))
    assert filecmp.cmpfiles(made, PACKAGE / "types", names, shallow=False)[1:] == ([], [])
    shutil.rmtree(made)


@pytest.mark.acceptance  # not one of the fast tests: npm gets packages
def test_a_strict_program_is_told_of_its_mistakes(package: Path) -> None:
    """What may be written compiles; what may not is an error where it stands."""
    shutil.copy(USES, package)
    (package / "quick.ts").write_text(examples("js", README)[0])
    tsc(package, package, *STRICT, "--ignoreConfig", "uses.ts", "quick.ts")


def test_the_lock_has_hashes_and_no_address() -> None:
    """It says what to install, not where from; the only thing that a user gets besides is redis."""
    manifest = json.loads((PACKAGE / "package.json").read_text("utf-8"))
    assert list(manifest["dependencies"]) == ["redis"]
    text = (PACKAGE / "package-lock.json").read_text("utf-8")
    packages = {name: each for name, each in json.loads(text)["packages"].items() if name}
    assert "node_modules/redis" in packages
    assert [name for name, each in packages.items() if "integrity" not in each] == []
    assert not re.search(r"://|\"resolved\"", text)


def test_the_package_is_of_the_projects_version_and_licence() -> None:
    """One version and one licence for the daemon and its clients."""
    python = PACKAGE.parent / "python"
    version = json.loads((PACKAGE / "package.json").read_text("utf-8"))["version"]
    assert f'version = "{version}"' in (python / "pyproject.toml").read_text("utf-8")
    assert f"meterd-{version}.tgz" in README
    assert filecmp.cmp(PACKAGE / "LICENSE", python / "LICENSE", shallow=False)


@pytest.fixture(scope="module")
def installed(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of somebody else's, with the package as `npm pack` makes it."""
    project = tmp_path_factory.mktemp("project")
    packed = json.loads(
        run(NPM, "pack", "--json", "--pack-destination", project, cwd=package).stdout
    )
    first = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
    names = {each["path"].split("/")[0] for each in first["files"]}
    assert names == {"LICENSE", "README.md", "package.json", "src", "types"}
    (project / "package.json").write_text('{"private": true, "type": "module"}')
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
    archive = project / first["filename"]
    run(NPM, "install", *quiet, archive, cwd=project, timeout_s=INSTALL_TIMEOUT_S)
    return project


@pytest.mark.slow
def test_a_program_elsewhere_compiles_with_the_installed_package(
    installed: Path, package: Path
) -> None:
    """With the types of Node.js beside it, and no setting that hides errors of its types."""
    shutil.copytree(package / "node_modules" / "@types", installed / "node_modules" / "@types")
    shutil.copytree(
        package / "node_modules" / "undici-types", installed / "node_modules" / "undici-types"
    )
    shutil.copy(USES, installed)
    tsc(installed, package, *STRICT, "uses.ts")


def with_daemon(test: Call) -> Call:
    """Mark a test that needs one."""
    for mark in (pytest.mark.slow, pytest.mark.acceptance, pytest.mark.ray):
        test = mark(test)
    return test


@with_daemon
def test_the_quick_start_prints_what_the_readme_says(installed: Path, live: LiveDaemon) -> None:
    """As it stands there, in a project that has installed the package."""
    (example,) = examples("js", README)
    assert f"It prints `{_printed(installed, live, example)}`" in README


@with_daemon
@pytest.mark.parametrize("example", examples("js", TEXT))
def test_an_example_of_the_documentation_runs(
    installed: Path, live: LiveDaemon, example: str
) -> None:
    """As it stands in docs/clients.md."""
    assert _printed(installed, live, example)


@with_daemon
def test_an_old_chat_is_read_from_the_gateway(installed: Path, live: LiveDaemon) -> None:
    """The documented way, of a chat that Redis has no more, and of one that never was."""
    (example,) = (each for each in examples("js", TEXT) if "read_record" in each)
    with Meter(live.redis_url) as meter:
        meter.start("old-chat", "old-user", "a", rate=0)
        meter.end("old-chat")
    live.until_handled()
    with live.client() as queue:
        assert queue.delete(KEYS.chat("old-chat")) == 1
    assert _printed(installed, live, example.replace("chat-6", "old-chat")) == "ended"
    assert _printed(installed, live, example.replace("chat-6", "never")) == "not_started"


def _printed(installed: Path, live: LiveDaemon, program: str) -> str:
    (installed / "program.js").write_text(program)
    token = live.run("token", "--role", "ops", "me").stdout.strip().splitlines()[-1]
    urls = {"REDIS_URL": live.redis_url, "HTTP_URL": live.status()["http_url"], "TOKEN": token}
    return run(NODE, "program.js", cwd=installed, **urls).stdout.strip()
