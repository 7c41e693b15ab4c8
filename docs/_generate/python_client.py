"""The reference of the client in Python: for Sphinx's autodoc, which reads the docstrings."""

from collections.abc import Iterator
from types import ModuleType
from typing import Final

import msgspec

import meterd
from docs._generate.markdown import page

_ALIASES: Final = ("Amount", "Snapshot")
_CLIENTS: Final = ("Meter", "AsyncMeter")
_READERS: Final = ("Events", "AsyncEvents")
"""Made by a client: their arguments are not for callers."""


def python_client_page(module: ModuleType = meterd) -> str:
    """Make the page: every public name of the package, in groups."""
    public: list[str] = list(module.__all__)
    kinds = {name: getattr(module, name) for name in public}
    errors = [name for name, kind in kinds.items() if _is(kind, Exception)]
    results = [name for name, kind in kinds.items() if _is(kind, msgspec.Struct)]
    rest = [
        name for name in public if name not in {*errors, *results, *_CLIENTS, *_READERS, *_ALIASES}
    ]
    return page(
        "# Python client",
        "This page is for backend developers. It lists every class, method and error of `meterd`.\n"
        "[Writing a client](../docs/clients.md) has examples.",
        "## Clients",
        *_directives("autoclass", _CLIENTS, ":members:", ":inherited-members:"),
        *_directives("autoclass", [f"{name}()" for name in _READERS], ":members:"),
        "## Arguments",
        *_directives("autodata", _ALIASES, ":no-value:"),
        *_directives("autoclass", rest, ":members:", ":undoc-members:"),
        "## Results",
        *_directives("autoclass", results, ":members:", ":undoc-members:"),
        "## Errors",
        *_directives("autoexception", errors, ":members:", ":show-inheritance:"),
    )


def _is(kind: object, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


def _directives(directive: str, names: tuple[str, ...] | list[str], *options: str) -> Iterator[str]:
    for name in names:
        lines = [f".. {directive}:: meterd.{name}", *(f"   {option}" for option in options)]
        yield "\n".join(["```{eval-rst}", *lines, "```"])
