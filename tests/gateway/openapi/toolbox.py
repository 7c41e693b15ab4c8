"""A folder with the tools that read the OpenAPI description, and with what they make of it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from loadtests.common.timeouts import scaled

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[2]
DOCUMENT: Final = ROOT / "docs" / "openapi.json"

_BIN: Final = Path(sys.executable).parent
_INSTALL_S: Final = 240.0
_RUN_S: Final = 120.0
_NO_MORE: Final[Mapping[str, str]] = {}


class Toolbox:
    """Node.js's and Python's tools, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._python = str(folder / "environment" / "bin" / "python")

    def copy(self, *names: str) -> None:
        """Copy files that lie beside the tests."""
        for name in names:
            shutil.copy(HERE / name, self.folder)

    def install_node(self) -> None:
        """Install what the lock file names, and nothing else; its hashes are checked."""
        self.copy("package.json", "package-lock.json", ".npmrc")
        self._run(str(_BIN / "npm"), "ci", timeout_s=_INSTALL_S)

    def install_python(self) -> None:
        """The same for Python, in an environment of its own."""
        uv, lock = str(_BIN / "uv"), str(HERE / "generator.lock")
        self._run(uv, "venv", "--python", sys.executable, "environment")
        self._run(
            uv, "pip", "install", "--python", self._python, "--require-hashes", "-r", lock,
            timeout_s=_INSTALL_S,
        )  # fmt: skip

    def node(self, script: str, *arguments: str, **env: str) -> str:
        """Run a script of an installed package, or one that was built; its output."""
        return self._run(str(_BIN / "node"), script, *arguments, env=env)

    def python(self, *arguments: str, **env: str) -> str:
        """Run that environment's Python; its output."""
        return self._run(self._python, *arguments, env=env)

    def mypy(self, *arguments: str) -> str:
        """Check types as that environment's packages have them."""
        return self._run(str(_BIN / "mypy"), "--python-executable", self._python, *arguments)

    def _run(
        self, *command: str, timeout_s: float = _RUN_S, env: Mapping[str, str] = _NO_MORE
    ) -> str:
        path = f"{_BIN}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command, cwd=self.folder, env={**os.environ, "PATH": path, **env},
            capture_output=True, text=True, timeout=scaled(timeout_s), check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout
