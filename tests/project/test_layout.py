"""The project is laid out as its documents say."""

import ast
import os
import stat
import subprocess
import sys

import pytest

from tests.project._project import CODE_FOLDERS, ROOT, python_files

FILES = (
    ".editorconfig",
    ".github/workflows/ci.yml",
    ".pre-commit-config.yaml",
    ".ci/run",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "config.yaml",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements.lock",
)
PACKAGES = (
    "actors",
    "clients/python/meterd",
    "clients/python/meterd/rules",
    "daemon",
    "loadtests",
    "persistence",
)
TARGETS = (
    "bench",
    "chaos",
    "fuzz",
    "smoke",
    "soak",
    "check",
    "clean",
    "coverage",
    "demo",
    "docs",
    "format",
    "help",
    "install",
    "install-dev",
    "interleavings",
    "load",
    "lock",
    "screenshots",
    "test",
    "test-slow",
    "test-fast",
    "up",
    "wheels",
)
OLD_ANSWER = "No active time tracking record found"
HEAVY_MODULES = ("ray", "sqlalchemy", "psycopg2", "alembic", "daemon", "actors", "persistence")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_people_look_for_is_there(name: str) -> None:
    """Everything at the top that the documents name exists and says something."""
    assert (ROOT / name).read_text("utf-8").strip()


@pytest.mark.parametrize("name", PACKAGES)
def test_a_folder_of_code_is_a_package(name: str) -> None:
    """Each folder of the design is importable, which the import contracts rely on."""
    assert (ROOT / name / "__init__.py").is_file()


def test_the_licence_is_apache_2() -> None:
    """The full text, from its title to the end of its appendix."""
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert text.rstrip().endswith("limitations under the License.")


@pytest.mark.parametrize(
    "name", [".ci/run", *(f"tools/{p.name}" for p in (ROOT / "tools").iterdir())]
)
def test_a_script_can_be_run(name: str) -> None:
    """The file is executable, and what its first line names can read it."""
    assert (ROOT / name).stat().st_mode & stat.S_IXUSR
    text = (ROOT / name).read_text("utf-8")
    interpreter = text.splitlines()[0].removeprefix("#!").split()[-1]
    if interpreter.startswith("python"):
        ast.parse(text)
    else:
        subprocess.run([interpreter, "-n", str(ROOT / name)], check=True)


def test_make_alone_lists_every_target() -> None:
    """Whoever types `make` learns what there is to type."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    listed = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    described = {line.split()[1] for line in listed.splitlines() if len(line.split()) > 2}
    assert described == set(TARGETS)


def test_the_old_answer_is_nowhere() -> None:
    """A chat that never started gets an answer; the words of the old system's error are gone."""
    files = [
        path
        for folder in CODE_FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    ]
    assert all(python_files(folder) for folder in CODE_FOLDERS)
    wanted = OLD_ANSWER.lower().encode()
    assert [path for path in files if wanted in path.read_bytes().lower()] == []


def test_the_client_is_light() -> None:
    """A backend that imports `meterd` loads neither Ray nor a database driver nor the daemon."""
    program = (
        "import sys, meterd\n"
        f"heavy = [name for name in {HEAVY_MODULES!r} if name in sys.modules]\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
