"""`make docs` builds a site in which everything is found."""

import json
import re

import pytest

from docs._generate.links import anchors_of
from docs._generate.stage import FRONT, ROOT, generated_pages, markdown_pages
from tests.docs.conftest import Build

pytestmark = pytest.mark.timeout(300)

ID = re.compile(r'\sid="([^"]+)"')
ADDRESS = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"'](?:https?:)?//")
WORDS = {
    "settings": "supervisor.lease_ms",
    "command-line": "meterd recover",
    "http-routes": "/v1/users/{user_id}/wallet",
    "http-objects": "WalletSnapshot",
    "messages": "wallet.topped_up",
    "metrics": "meterd_commands_total",
    "alarms": "MeterdNotReady",
    "python-client": "AsyncMeter",
}
PAGES = [str(path) for path in markdown_pages()]


def test_it_builds_without_a_warning_and_without_a_network(build: Build) -> None:
    """A dead link, an unknown name or a page without a place in the navigation fails it."""
    assert build.printed == ""
    assert build.status == 0


@pytest.mark.parametrize("page", PAGES)
def test_anchors_are_those_of_a_git_host(build: Build, page: str) -> None:
    """A link with an anchor leads to the same heading in the repository and on the site."""
    name = "index" if page == FRONT else page.removesuffix(".md")
    html = (build.site / f"{name}.html").read_text("utf-8")
    assert anchors_of((ROOT / page).read_text("utf-8")) <= set(ID.findall(html))


def test_every_page_is_in_the_navigation_of_the_front_page(build: Build) -> None:
    """Those that people write and those that are made from the code."""
    front = (build.site / "index.html").read_text("utf-8")
    written = [page for page in PAGES if page != FRONT]
    pages = [*written, *generated_pages()]
    assert [p for p in pages if f'href="{p.removesuffix(".md")}.html"' not in front] == []


@pytest.mark.parametrize("page", list(generated_pages()))
def test_a_reference_has_the_words_of_the_code(build: Build, page: str) -> None:
    """What the generators write is text on the site."""
    html = (build.site / f"{page.removesuffix('.md')}.html").read_text("utf-8")
    name = page.removeprefix("reference/").removesuffix(".md")
    assert WORDS[name] in re.sub(r"<[^>]+>", "", html)


def test_the_search_knows_the_words_on_a_screen(build: Build) -> None:
    """Whoever reads `held` or `degraded` finds a page; the index has stems."""
    text = (build.site / "searchindex.js").read_text("utf-8")
    index = json.loads(text.partition("(")[2].rpartition(")")[0])
    assert {"held", "lost", "degrad"} <= index["terms"].keys()


def test_no_page_takes_anything_from_another_host(build: Build) -> None:
    """Scripts, styles and pictures come with the site."""
    pages = list(build.site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    assert [page for page in pages if ADDRESS.search(page.read_text("utf-8"))] == []


def test_the_build_leaves_no_path_of_this_machine(build: Build) -> None:
    """The same checkout gives the same site anywhere."""
    pages = build.site.rglob("*.html")
    assert [page for page in pages if str(ROOT) in page.read_text("utf-8")] == []
