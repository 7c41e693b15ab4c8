"""Pieces of Markdown, for pages that are made from the code."""

import re
from collections.abc import Iterable, Sequence

_CODE_SPAN = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_MARKUP = re.compile(r"([\\<>*_\[\]|])")


def prose(text: str) -> str:
    """Escape a text so that it is shown as it is written; code in backticks stays code."""
    parts: list[str] = []
    end = 0
    for span in _CODE_SPAN.finditer(text):
        parts += [_MARKUP.sub(r"\\\1", text[end : span.start()]), span.group()]
        end = span.end()
    return "".join([*parts, _MARKUP.sub(r"\\\1", text[end:])])


def code(text: object) -> str:
    """Make a code span of one line, whatever backticks the text has."""
    shown = str(text)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest or not shown.strip() else ""
    return f"{fence}{space}{shown}{space}{fence}"


def block(text: str, language: str = "text") -> str:
    """Make a code block."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table; cells are Markdown. Empty without rows."""
    lines = [_row(cells) for cells in rows]
    if not lines:
        return ""
    return "\n".join([_row(head), _row(["---"] * len(head)), *lines]) + "\n"


def _row(cells: Sequence[str]) -> str:
    # A pipe in code ends the cell as well, unless it has a backslash; prose() has put one already.
    escaped = (re.sub(r"(?<!\\)\|", r"\\|", " ".join(cell.split())) for cell in cells)
    return f"| {' | '.join(escaped)} |"


def page(*parts: str) -> str:
    """Join the parts of a page with empty lines between them; empty parts are left out."""
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"
