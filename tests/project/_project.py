"""Where the project is, and its Python files as syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE_FOLDERS = ("actors", "clients/python/meterd", "daemon", "persistence")


def python_files(folder: str) -> list[Path]:
    """All Python files under a folder of the project, in a stable order."""
    return sorted((ROOT / folder).rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    """The absolute name of every module that a file imports, wherever in the file that stands."""
    package = tuple(
        part for part in path.relative_to(ROOT).parent.parts if part not in {"clients", "python"}
    )
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _modules_of_from(node, package)


def _modules_of_from(node: ast.ImportFrom, package: tuple[str, ...]) -> Iterator[str]:
    kept = package[: len(package) - node.level + 1] if node.level else ()
    base = ".".join([*kept, *([node.module] if node.module else [])])
    if node.module:
        yield base
    else:
        yield from (f"{base}.{alias.name}" for alias in node.names)
