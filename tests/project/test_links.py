"""What the pages of the repository link to is there: files, folders and headings."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from docs._generate.links import anchors_of, is_relative, links_of, slug
from tests.project._project import ROOT

MENTION = re.compile(r"(?<![\w/.-])docs/([\w/.-]+\.(?:md|json|svg|png))(?:#([\w-]+))?")


def _tracked(*patterns: str) -> list[str]:
    command = ["git", "ls-files", "-co", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


PAGES = _tracked("*.md")
MADE_UP = ("tests/docs/test_generated.py", "tests/project/test_links.py")
"""They name pages that are not there."""


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    """A relative link names a file or folder, and an anchor a heading, as a Git host has them."""
    text = (ROOT / page).read_text("utf-8")
    links = [link for link in links_of(text) if is_relative(link)]
    assert [link for link in links if not _leads_somewhere(page, link)] == []


def _leads_somewhere(page: str, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = ((ROOT / page).parent / name).resolve() if name else ROOT / page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or (target.suffix == ".md" and anchor in _anchors(target))


@cache
def _anchors(page: Path) -> set[str]:
    return anchors_of(page.read_text("utf-8"))


def test_every_page_that_code_names_is_there() -> None:
    """Errors, alarms and comments name pages and headings of docs/."""
    mentions = 0
    for file in _tracked("*.py", "*.lua", "*.js", "*.ts", "*.sql", "*.yaml", "*.yml", "*.toml"):
        for name, anchor in MENTION.findall((ROOT / file).read_text("utf-8")):
            page = ROOT / "docs" / name
            mentions += 1
            if file not in MADE_UP:
                assert page.is_file(), f"{file} names docs/{name}"
                assert not anchor or anchor in _anchors(page), (file, anchor)
    assert mentions


@pytest.mark.parametrize(
    ("title", "anchor"),
    [
        ("Start and stop", "start-and-stop"),
        ("METERD_HOME", "meterd_home"),
        ("Servers: embedded, or your own", "servers-embedded-or-your-own"),
        ("`meterd up` & co.", "meterd-up--co"),
    ],
)
def test_the_anchor_of_a_heading(title: str, anchor: str) -> None:
    """Lower case, hyphens for spaces, no punctuation."""
    assert slug(title.replace("`", "")) == anchor
    assert anchors_of(f"## {title}\n\n## {title}\n") == {anchor, f"{anchor}-1"}


def test_a_link_in_a_code_block_is_no_link() -> None:
    """And one with an address is not ours."""
    page = "[a](b.md#c) `[d](e)`\n\n```\n[f](g)\n```\n\n![h](i.png)\n\n[j](https://k.example)\n"
    links = links_of(page)
    assert links == ["b.md#c", "i.png", "https://k.example"]
    assert list(map(is_relative, links)) == [True, True, False]
