"""Puts together what Sphinx reads: the Markdown pages, and those made from the code.

The pages keep their places, so that their links to each other hold as they are written. What they
link to besides (a settings file, a folder of code) becomes a page that shows it.
"""

import ast
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound

from docs._generate import http_api, messages
from docs._generate.command_line import command_line_page
from docs._generate.links import is_relative, links_of
from docs._generate.markdown import block, code, page, prose, table
from docs._generate.monitoring import alarms_page, metrics_page
from docs._generate.navigation import NAVIGATION
from docs._generate.python_client import python_client_page
from docs._generate.settings import settings_page

ROOT: Final = Path(__file__).resolve().parents[2]
FRONT: Final = "README.md"
TOP_PAGES: Final = (FRONT, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
_INDEX: Final = "index.md"
_FILES: Final = PurePosixPath("files")
_AS_IT_IS: Final = (".json", ".svg", ".png")
"""Under docs/, these are copied and linked to as files."""
_OUTSIDE_SEARCH: Final = "---\norphan: true\nnosearch: true\n---"


class LinkError(ValueError):
    """A page links to what is not in the repository."""


def markdown_pages(root: Path = ROOT) -> list[PurePosixPath]:
    """Return the paths of the pages that people write, relative to the repository."""
    found = [root / name for name in TOP_PAGES]
    found += sorted((root / "docs").rglob("*.md"))
    return [PurePosixPath(path.relative_to(root).as_posix()) for path in found]


def generated_pages(root: Path = ROOT) -> Mapping[str, Callable[[], str]]:
    """Return what makes each page of the reference, by its path in the site."""
    return {
        "reference/python-client.md": python_client_page,
        "reference/http-routes.md": lambda: http_api.routes_page(_json(root, "openapi")),
        "reference/http-objects.md": lambda: http_api.objects_page(_json(root, "openapi")),
        "reference/messages.md": lambda: messages.messages_page(_json(root, "asyncapi")),
        "reference/settings.md": lambda: settings_page((root / "config.yaml").read_text("utf-8")),
        "reference/command-line.md": command_line_page,
        "reference/metrics.md": metrics_page,
        "reference/alarms.md": alarms_page,
    }


def _json(root: Path, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((root / "docs" / f"{name}.json").read_text("utf-8"))
    return found


def stage(target: Path, root: Path = ROOT) -> None:
    """Write everything that Sphinx reads into an empty folder.

    Args:
        target: the folder; it is made.
        root: the repository.

    Raises:
        LinkError: a page links to what is not in the repository.
    """
    shown: set[PurePosixPath] = set()
    for path in markdown_pages(root):
        text = _with_links(path, root, shown)
        _write(target / (_INDEX if str(path) == FRONT else path), text)
    for name, make in generated_pages(root).items():
        _write(target / name, make())
    for path in sorted(shown):
        _write(target / _page_of(path, root), _shown(root / path, path))
    for file in (root / "docs").rglob("*"):
        if file.suffix in _AS_IT_IS:
            copy = target / file.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    with (target / _INDEX).open("a", encoding="utf-8") as front:
        front.write(page("", *_navigation(target)))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _navigation(target: Path) -> Iterator[str]:
    listed: set[str] = {_INDEX}
    for caption, patterns in NAVIGATION.items():
        names: list[str] = []
        for pattern in patterns:
            paths = sorted(path.relative_to(target).as_posix() for path in target.glob(pattern))
            names += [path for path in paths if path not in listed]
            listed.update(paths)
        entries = [name.removesuffix(".md") for name in names]
        if entries:
            options = [f":caption: {caption}", ":hidden:", ":maxdepth: 1", ""]
            yield "\n".join(["```{toctree}", *options, *entries, "```"])


def _with_links(path: PurePosixPath, root: Path, shown: set[PurePosixPath]) -> str:
    """A page's text, with links to what is no page leading to one that shows it."""
    text = (root / path).read_text("utf-8")
    pages = set(markdown_pages(root))
    for link in dict.fromkeys(links_of(text)):
        name, _, anchor = link.partition("#")
        if not name or not is_relative(link):
            continue
        linked = PurePosixPath(os.path.normpath(path.parent / name))
        file = root / linked
        if linked.parts[0] == ".." or not file.exists():
            raise LinkError(f"{path}: links to {link}, which is not there")
        if linked in pages and str(linked) != FRONT:
            continue
        if linked.parts[0] == "docs" and linked.suffix in _AS_IT_IS:
            continue
        if str(linked) == FRONT:
            to = PurePosixPath(_INDEX)
        else:
            shown.add(linked)
            to = _page_of(linked, root)
        relative = os.path.relpath(to, path.parent)
        text = text.replace(f"]({link})", f"]({relative}{'#' + anchor if anchor else ''})")
    return text


def _page_of(path: PurePosixPath, root: Path) -> PurePosixPath:
    """Where the page stands that shows a file or a folder."""
    return _FILES / path / "folder.md" if (root / path).is_dir() else _FILES / f"{path}.md"


def _shown(file: Path, path: PurePosixPath) -> str:
    """A page that shows a file, or which files a folder has."""
    title = f"# {code(path)}"
    if file.is_dir():
        rows = ((code(_name(each)), prose(_about(each))) for each in _entries(file))
        return page(_OUTSIDE_SEARCH, title, table(("file", "what it is"), rows))
    return page(_OUTSIDE_SEARCH, title, block(file.read_text("utf-8"), _language(file)))


def _entries(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if not each.name.startswith((".", "_")))


def _name(path: Path) -> str:
    return f"{path.name}/" if path.is_dir() else path.name


def _about(path: Path) -> str:
    """The first line of a module's or package's docstring."""
    module = path / "__init__.py" if path.is_dir() else path
    if module.suffix != ".py" or not module.is_file():
        return ""
    docstring = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
    return docstring.partition("\n")[0]


def _language(file: Path) -> str:
    if file.suffix == ".sql":  # for Pygments, that of another server
        return "postgresql"
    try:
        return str(get_lexer_for_filename(file.name).aliases[0])
    except (ClassNotFound, IndexError):
        return "text"
