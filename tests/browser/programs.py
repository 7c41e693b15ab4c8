"""The programs of docs/frontends.md, written out and built as a reader would."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx

from loadtests.common.timeouts import scaled

ROOT = Path(__file__).resolve().parents[2]
PROJECT = Path(__file__).parent / "frameworks"
TEXT = (ROOT / "docs" / "frontends.md").read_text("utf-8")
GATEWAY = "https://meterd.example.com"
NPM_S = scaled(120.0)
TOOL_S = scaled(60.0)
_FILE = re.compile(r"^`([^`]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files_of(heading: str) -> dict[str, str]:
    """The files of a section, by their names."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    return dict(_FILE.findall(section))


def write_program(heading: str, folder: Path, gateway: str) -> None:
    """Write a section's files as they stand there, but for the gateway's address."""
    for name, text in files_of(heading).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(GATEWAY, gateway), "utf-8")


def install(folder: Path) -> None:
    """Install what the lock file names, and nothing else; its hashes are checked."""
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(PROJECT / name, folder)
    _run([str(Path(sys.executable).parent / "npm"), "ci"], folder, NPM_S)


def add_types(framework: str, folder: Path, gateway: str) -> None:
    """Copy the types from the gateway, and beside them what they have to refuse."""
    for name in ("meterd-clock", f"meterd-clock-{framework}"):
        answer = httpx.get(f"{gateway}/static/{name}.d.ts", timeout=TOOL_S).raise_for_status()
        (folder / "src" / f"{name}.d.ts").write_text(answer.text, "utf-8")
    (wrong,) = (PROJECT / "wrong").glob(f"{framework}.*")
    shutil.copy(wrong, folder / "src" / f"wrong{wrong.suffix}")
    shutil.copy(PROJECT / "tsconfig.json", folder)


def check_types(folder: Path) -> None:
    """Strictly, of scripts and templates."""
    _node("vue-tsc/bin/vue-tsc.js", "--noEmit", folder=folder)


def build(folder: Path, target: Path) -> None:
    """Build the page as for production, to be served from any folder."""
    _node("vite/bin/vite.js", "build", "--base", "./", "--outDir", str(target), folder=folder)


def _node(script: str, *arguments: str, folder: Path) -> None:
    """``folder`` is a program's; what is installed lies beside it."""
    node = str(Path(sys.executable).parent / "node")
    _run([node, str(folder.parent / "node_modules" / script), *arguments], folder, TOOL_S)


def _run(command: list[str], folder: Path, timeout_s: float) -> None:
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
