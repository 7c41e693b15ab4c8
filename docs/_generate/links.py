"""Links and anchors of Markdown pages, as a Git host has them."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

_NOT_IN_SLUG = re.compile(r"[^\w\- ]")
_HTML_ANCHOR = re.compile(r"<\w+[^>]*\s(?:id|name)=[\"']([^\"']+)[\"']")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def links_of(text: str) -> list[str]:
    """Return the targets of a page's links and images, in order; those in code blocks are text."""
    return [
        str(target)
        for token in _inline(_parser().parse(text))
        if (target := token.attrGet("href") or token.attrGet("src"))
    ]


def is_relative(target: str) -> bool:
    """Return whether a link stays in the repository."""
    return not _SCHEME.match(target)


def slug(title: str) -> str:
    """Make the anchor of a heading from its text, as a Git host does."""
    return _NOT_IN_SLUG.sub("", title.strip().lower()).replace(" ", "-")


def anchors_of(text: str) -> set[str]:
    """Return all anchors of a page: those of headings, and those written as HTML."""
    tokens = _parser().parse(text)
    found: set[str] = set()
    for title in _titles(tokens):
        base, number = slug(title), 0
        anchor = base
        while anchor in found:
            number += 1
            anchor = f"{base}-{number}"
        found.add(anchor)
    html = (token.content for token in [*tokens, *_inline(tokens)] if token.type.startswith("html"))
    return found.union(*map(_HTML_ANCHOR.findall, html))


def _titles(tokens: list[Token]) -> Iterator[str]:
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open":
            shown = (content.children or []) if content.type == "inline" else []
            yield "".join(each.content for each in shown if each.type in {"text", "code_inline"})


def _inline(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from token.children or ()
