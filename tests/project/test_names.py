"""One name, one meaning: no two public classes are called the same."""

import ast
import functools
from collections import defaultdict

import pytest

from tests.project._project import CODE_FOLDERS, ROOT, python_files

EXCEPTIONS = {
    # The schemas of the HTTP interface: generated clients get these names.
    "Chat": "daemon/gateway/schemas/chats.py",
    "LedgerEntry": "daemon/gateway/schemas/wallets.py",
    "Reply": "daemon/gateway/schemas/replies.py",
    "Sent": "daemon/gateway/schemas/replies.py",
    "WalletSnapshot": "daemon/gateway/schemas/wallets.py",
    # What a backend gets for an event; the rules' own is what the fold makes.
    "Event": "clients/python/meterd/_results.py",
}
"""Names that may stand twice, with the file where the second one is, and why."""
FOLDERS = (*CODE_FOLDERS, "loadtests")


@functools.cache
def _public_classes() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for folder in FOLDERS:
        for path in python_files(folder):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(path.relative_to(ROOT).as_posix())
    return found


def test_no_name_has_two_meanings() -> None:
    """Each public class is the only one of its name, but for the exceptions with a reason."""
    twice = {
        name: [path for path in paths if path != EXCEPTIONS.get(name)]
        for name, paths in _public_classes().items()
    }
    assert {name: paths for name, paths in twice.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_is_needed(name: str) -> None:
    """A name that stands once needs no exception any more."""
    paths = _public_classes()[name]
    assert len(paths) > 1
    assert EXCEPTIONS[name] in paths
