"""Both distributions as whoever installs them gets them: built, in environments of their own."""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import scaled
from tests.processes import processes_of, until_none_of
from tests.project._project import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PYTHON_DAEMON = "python-daemon==3.1.2"
SERVICE_FOLDERS = ("actors", "daemon", "persistence")
RESOURCES = (
    "config.yaml",
    *(str(path.relative_to(ROOT)) for path in (ROOT / "deploy").rglob("*") if path.is_file()),
)
TO_BUILD = (
    "LICENSE", "README.md", "config.yaml", "pyproject.toml", "setup.py", "clients", "deploy",
    "loadtests",
    *SERVICE_FOLDERS,
)  # fmt: skip
TYPED = ("meterd/py.typed", *(f"{folder}/py.typed" for folder in SERVICE_FOLDERS))
ADDITION = """
import sys
from meterd import Meter
with Meter(sys.argv[1]) as meter:
    meter.top_up("ann", "10")
    meter.start("monday", "ann", "bob", rate="1.50")
    print(meter.end("monday").snapshot.status)
heavy = {"actors", "daemon", "persistence", "ray", "sqlalchemy", "psycopg2"} & set(sys.modules)
assert not heavy, heavy
"""


class Built(NamedTuple):
    """The files that are published."""

    client: Path
    service: Path
    archives: tuple[Path, ...]


class Venv:
    """A virtual environment with nothing but what a test installs."""

    def __init__(self, folder: Path) -> None:
        """Make it with the Python of the tests."""
        self.bin = folder / "bin"
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)

    def pip(self, *arguments: str | Path) -> str:
        """Run pip; its output is shown when it fails."""
        return self._run(
            "-m", "pip", "--disable-pip-version-check", *map(str, arguments), timeout_s=300
        )

    def python(self, program: str, *arguments: str) -> str:
        """Run a program on what is installed, without the folder it is started in."""
        return self._run("-I", "-c", program, *arguments, timeout_s=60)

    def packages(self) -> set[str]:
        """The names of what is installed, but for pip and what came with the environment."""
        listed = json.loads(self.pip("list", "--format=json"))
        return {str(canonicalize_name(each["name"])) for each in listed} - {"pip", "setuptools"}

    def _run(self, *arguments: str, timeout_s: int) -> str:
        done = subprocess.run(
            [str(self.bin / "python"), *arguments],
            cwd=self.bin.parent,
            capture_output=True,
            text=True,
            timeout=scaled(timeout_s),
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both built from a copy of the checkout; each wheel from the sdist, which has to be whole."""
    source = tmp_path_factory.mktemp("source")
    for name in TO_BUILD:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    wheels: list[Path] = []
    archives: list[Path] = []
    for folder in (source / "clients" / "python", source):
        program = [sys.executable, "-m", "build", "--no-isolation", str(folder)]
        subprocess.run(program, check=True, capture_output=True, text=True)
        wheels += (folder / "dist").glob("*.whl")
        archives += (folder / "dist").glob("*.tar.gz")
    client, service = wheels
    return Built(client, service, tuple(archives))


@pytest.fixture(scope="module")
def client_venv(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """The client beside python-daemon, as a backend may have them."""
    venv = Venv(tmp_path_factory.mktemp("client") / "venv")
    venv.pip("install", built.client)
    return venv


@pytest.fixture(scope="module")
def service_venv(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """The service, of the versions in requirements.lock."""
    venv = Venv(tmp_path_factory.mktemp("service") / "venv")
    venv.pip("install", "--no-compile", "--require-hashes", "-r", ROOT / "requirements.lock")
    venv.pip("install", built.client, built.service)
    venv.pip("check")
    return venv


def _names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as file:
        return file.namelist()


def _metadata(wheel: Path) -> dict[str, list[str]]:
    (name,) = [each for each in _names(wheel) if each.endswith(".dist-info/METADATA")]
    with zipfile.ZipFile(wheel) as file:
        message = Parser().parsestr(file.read(name).decode())
    return {key: message.get_all(key, []) for key in set(message.keys())}


def _tops(wheel: Path) -> set[str]:
    return {name.split("/")[0] for name in _names(wheel)} - {f"{_stem(wheel)}.dist-info"}


def _stem(wheel: Path) -> str:
    return "-".join(wheel.name.split("-")[:2])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_wheel_has_its_own_packages_and_no_more(built: Built) -> None:
    """The client's has `meterd`, the service's its three folders; tests and load are in neither."""
    assert _tops(built.client) == {"meterd"}
    assert _tops(built.service) == set(SERVICE_FOLDERS)


def test_each_package_is_marked_as_typed(built: Built) -> None:
    """A type checker takes the annotations of what is installed."""
    assert set(TYPED) <= {*_names(built.client), *_names(built.service)}


def test_everything_that_is_no_code_is_in_the_wheel(built: Built) -> None:
    """SQL, Lua, pages and templates of the checkout are in the wheel of the service."""
    tracked = subprocess.run(
        ["git", "ls-files", *SERVICE_FOLDERS], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    expected = [name for name in tracked if not (ROOT / name).is_dir()]
    assert expected
    assert [name for name in expected if name not in _names(built.service)] == []


def test_what_an_operator_needs_comes_as_files_of_its_own(built: Built) -> None:
    """The links of the checkout are files in the wheel and in the sdist."""
    _, archive = built.archives
    with zipfile.ZipFile(built.service) as wheel, tarfile.open(archive) as sdist:
        for name in RESOURCES:
            text = (ROOT / name).read_bytes()
            assert wheel.read(f"daemon/resources/{name}") == text
            member = sdist.getmember(
                f"{archive.name.removesuffix('.tar.gz')}/daemon/resources/{name}"
            )
            assert member.isfile()
            assert member.size == len(text)


def test_a_wheel_says_what_it_is(built: Built) -> None:
    """Authors, keywords, licence and Pythons are set; no address of a project is."""
    for wheel in (built.client, built.service):
        metadata = _metadata(wheel)
        assert metadata["Author"] == ["The meterd contributors"]
        assert "pay-per-minute" in metadata["Keywords"][0]
        assert metadata["License-Expression"] == ["Apache-2.0"]
        assert {"Project-URL", "Home-page"} & metadata.keys() == set()
        assert "Provides-Extra" not in metadata or wheel == built.client


def test_client_and_service_go_together_in_one_version(built: Built) -> None:
    """The service needs the client of its own version, and `meterd[daemon]` the service of its."""
    (version,) = _metadata(built.service)["Version"]
    needed = {r.name: r for r in map(Requirement, _metadata(built.service)["Requires-Dist"])}
    extras = {r.name: r for r in map(Requirement, _metadata(built.client)["Requires-Dist"])}
    assert str(needed["meterd"].specifier) == f"=={version}"
    assert str(extras["meterd-daemon"].specifier) == f"=={version}"
    assert _metadata(built.client)["Version"] == [version]


def test_the_client_brings_redis_and_msgspec_only(client_venv: Venv) -> None:
    """A backend gets a Redis client and a JSON library, not Ray and not a database driver."""
    assert client_venv.packages() - {"async-timeout"} == {"meterd", "redis", "msgspec"}
    client_venv.python("from meterd import AsyncMeter, Meter")


def test_the_client_goes_beside_python_daemon(built: Built, tmp_path: Path) -> None:
    """Another project's package `daemon` keeps its files, whichever of the two comes first."""
    venv = Venv(tmp_path / "venv")
    venv.pip("install", PYTHON_DAEMON)
    where = "import daemon; print(daemon.__file__)"
    file = Path(venv.python(where).strip())
    before = _digest(file)
    venv.pip("install", built.client)
    venv.pip("install", "--force-reinstall", "--no-deps", PYTHON_DAEMON)
    assert _digest(file) == before
    venv.python("import daemon, meterd; daemon.DaemonContext; meterd.Meter")


@pytest.fixture
def home() -> Iterator[Path]:
    """A METERD_HOME whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="meterd-wheel-", dir="/tmp") as folder:
        yield Path(folder) / "home"


def test_the_service_runs_from_wheels(service_venv: Venv, client_venv: Venv, home: Path) -> None:
    """Started in any folder it serves a client of another environment, and stops on SIGTERM."""
    daemon = LiveDaemon(home, {"METERD_HTTP__PORT": "0"}, command=str(service_venv.bin / "meterd"))
    try:
        daemon.start()
        assert daemon.status()["state"] == "ready"
        assert client_venv.python(ADDITION, daemon.redis_url).strip() == "ended"
        sent = daemon.run("send", "top_up", "user_id=dan", "amount=10")
        assert sent.returncode == 0, sent.stdout + sent.stderr
        daemon.until_handled()
        audited = daemon.run("audit", timeout_s=120)
        assert audited.returncode == 0, audited.stdout + audited.stderr
        assert processes_of(home) != []
        assert daemon.stop() == 0, daemon.output()
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.stop()
    until_none_of(home)


def test_the_service_has_what_an_operator_needs(service_venv: Venv) -> None:
    """An installed service can print the settings file and the deploy files."""
    program = "from daemon import resources\nprint(resources.read({!r}), end='')"
    for name in RESOURCES:
        assert service_venv.python(program.format(name)) == (ROOT / name).read_text("utf-8")
