"""The rules are integers in, integers out: nothing in them can see a clock, a file or a network."""

import ast
from pathlib import Path

import pytest

from tests.project._project import ROOT, imported_modules, python_files

PURE_MODULES = frozenset(
    {
        "__future__",
        "bisect",
        "collections",
        "collections.abc",
        "dataclasses",
        "enum",
        "functools",
        "hashlib",
        "heapq",
        "itertools",
        "math",
        "operator",
        "re",
        "types",
        "typing",
        "zlib",
    }
)
IMPURE_BUILTINS = frozenset(
    {"__import__", "breakpoint", "compile", "eval", "exec", "input", "open", "print"}
)
RULES = python_files("clients/python/meterd/rules")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _is_pure(module: str) -> bool:
    return module in PURE_MODULES or module == "meterd.rules" or module.startswith("meterd.rules.")


def test_there_are_rules_to_check() -> None:
    """The checks below mean something: there are rules, with functions in them."""
    trees = [ast.parse(path.read_text("utf-8")) for path in RULES]
    functions = [
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    ]
    assert len(RULES) > 1
    assert functions


@pytest.mark.parametrize("path", RULES, ids=_name)
def test_a_rule_imports_only_rules_and_pure_modules(path: Path) -> None:
    """Every import, at the top or inside a function, is a rule or on the list of pure modules."""
    assert [module for module in imported_modules(path) if not _is_pure(module)] == []


@pytest.mark.parametrize("path", RULES, ids=_name)
def test_a_rule_calls_no_impure_builtin(path: Path) -> None:
    """No rule reads, writes, prints or runs text as code."""
    tree = ast.parse(path.read_text("utf-8"))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called & IMPURE_BUILTINS == set()


@pytest.mark.parametrize("module", ["time", "os", "os.path", "actors.supervisor", "ray", "redis"])
def test_the_list_of_pure_modules_refuses_the_usual_suspects(module: str) -> None:
    """The check itself can fail."""
    assert not _is_pure(module)


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("from .money import cost", ["meterd.rules.money"]),
        ("from . import money", ["meterd.rules.money"]),
        ("from .. import supervisor", ["meterd.supervisor"]),
        ("from ..supervisor import route", ["meterd.supervisor"]),
        ("def f():\n    import time", ["time"]),
        ("import os.path as p, math", ["os.path", "math"]),
    ],
)
def test_every_form_of_import_is_seen(
    source: str, modules: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative, nested and renamed imports can't hide a module."""
    monkeypatch.setattr("tests.project._project.ROOT", tmp_path)
    path = tmp_path / "clients" / "python" / "meterd" / "rules" / "example.py"
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert list(imported_modules(path)) == modules
