"""axe-core, as its lock file names it: what keeps people from using a page."""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copy

from playwright.sync_api import Page

from loadtests.common.timeouts import scaled

PROJECT = Path(__file__).parent / "axe"
NPM_S = scaled(120.0)
_FOUND = """async () => {
  const { violations } = await axe.run();
  return violations.map(({ id, help, nodes }) => {
    const [{ target, failureSummary }] = nodes;
    return `${id}: ${help}; ${target.join(" ")} and ${nodes.length - 1} more: ${failureSummary}`;
  });
}"""


@functools.cache
def _source() -> str:
    """Install what the lock file names, and nothing else; its hash is checked."""
    with tempfile.TemporaryDirectory(prefix="meterd-axe-") as folder:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            copy(PROJECT / name, folder)
        npm = str(Path(sys.executable).parent / "npm")
        done = subprocess.run(
            [npm, "ci"], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=NPM_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return (Path(folder) / "node_modules/axe-core/axe.min.js").read_text("utf-8")


def violations(page: Page) -> list[str]:
    """What axe finds on a page as it is now, by all its rules that are not experimental."""
    page.evaluate(f"() => {{ if (!globalThis.axe) {{ {_source()} }} }}")
    found: list[str] = page.evaluate(_FOUND)
    return found
