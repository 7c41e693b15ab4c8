"""The documentation site builds without a warning, and has what it promises."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.common.timeouts import scaled
from tests.project._project import ROOT

REFERENCES = {
    "settings": "supervisor.lease_ms",
    "command-line": "meterd recover",
    "http-routes": "/v1/users/{user_id}/wallet",
    "messages": "wallet.topped_up",
    "metrics": "meterd_commands_total",
    "alarms": "MeterdNotReady",
    "python-client": "AsyncMeter",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` builds it: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "docs._generate", "--site", folder / "site", "--work", folder / "w"],
        cwd=ROOT, capture_output=True, text=True, timeout=scaled(180), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return folder / "site"


@pytest.mark.timeout(300)
def test_the_references_are_made_from_the_code(site: Path) -> None:
    for page, word in REFERENCES.items():
        text = re.sub(r"<[^>]+>", "", (site / "reference" / f"{page}.html").read_text())
        assert word in text, page


def test_the_search_knows_the_words_of_the_screens(site: Path) -> None:
    """Whoever reads ``held`` or ``degraded`` finds a page; the index has stems."""
    text = (site / "searchindex.js").read_text()
    index = json.loads(text.partition("(")[2].rpartition(")")[0])
    assert {"held", "lost", "degrad"} <= index["terms"].keys()


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    """Scripts, styles, fonts and pictures are in the site."""
    loaded = re.compile(r"<(?:script|img|link)[^>]+(?:src|href)=\"(https?:[^\"]+)\"")
    found = {url for page in site.rglob("*.html") for url in loaded.findall(page.read_text())}
    assert found == set()
