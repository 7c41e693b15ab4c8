"""Each command that a page shows can be typed, and each example of settings is accepted."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main

from daemon.cli import app
from loadtests.load.thresholds import read_thresholds
from tests.commands.elsewhere import run

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "clients/**/*.md", "deploy/**/*.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
)
BLOCK: Final = re.compile(
    r"^ *(?:\d+\. |[-*] )?```(sh|bash|shell|console)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL
)
"""A block to type, which may be the first thing of an item in a list."""
YAML: Final = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INNER: Final = re.compile(r"\$\(([^()]+)\)")
"""A command within another one's words."""
TARGETS: Final = frozenset(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))


def lines_of(text: str) -> Iterator[str]:
    """What a page gives to type: all of a shell's block, and of a console's what has a prompt."""
    for language, block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            typed = line.strip()
            if language == "console" and not typed.startswith("$ "):
                continue
            yield typed.removeprefix("$ ")


def commands_of(line: str) -> Iterator[list[str]]:
    """The commands of a line, each as its words, without variables before it."""
    for inner in INNER.findall(line):
        yield from commands_of(inner)
    words = shlex.shlex(INNER.sub("x", line), posix=True, punctuation_chars=True)
    words.whitespace_split = True
    command: list[str] = []
    try:
        for word in words:
            if set(word) <= set("();<>|&"):
                yield command
                command = []
            elif command or not re.match(r"\w+=", word):
                command.append(word)
    except ValueError:
        return  # prose or JSON with a quotation mark: nothing to type
    yield command


def shown() -> list[Any]:
    """Every command of ours on every page."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for line in lines_of(page.read_text("utf-8")):
            for words in commands_of(line):
                if (
                    words[:1] == ["meterd"]
                    or words[:2] == ["python", "-m"]
                    or words[:1] == ["make"]
                ):
                    found.setdefault(f"{page.relative_to(ROOT)}: {shlex.join(words)}", words)
    return [pytest.param(words, id=name) for name, words in found.items()]


def examples_in_yaml() -> list[Any]:
    """Every example of a file in YAML, with its page."""
    return [
        pytest.param(page.relative_to(ROOT).as_posix(), example, id=f"{page.name}-{number}")
        for page in PAGES
        for number, example in enumerate(YAML.findall(page.read_text("utf-8")))
    ]


@pytest.mark.parametrize("words", shown())
def test_a_command_on_a_page_can_be_typed(words: list[str]) -> None:
    """Its options are there and its arguments are enough; nothing is run."""
    if words[0] == "make":
        assert [word for word in words[1:] if "=" not in word and word not in TARGETS] == []
    elif words[0] == "python":
        assert importlib.util.find_spec(words[2]), "there is such a module"
    else:
        _parse(typer.main.get_command(app), words)


@pytest.mark.parametrize(("page", "example"), examples_in_yaml())
def test_an_example_in_yaml_is_accepted(page: str, example: str, tmp_path: Path) -> None:
    """Settings by ``meterd config check``, thresholds by what reads them."""
    file = tmp_path / "example.yaml"
    file.write_text(example, "utf-8")
    if page == "docs/load-tests.md":
        assert read_thresholds(file)
        return
    checked = run(tmp_path, "config", "check", "--config", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_pages_show_many_commands() -> None:
    """Else the pattern that finds them is wrong."""
    names = [param.id for param in shown()]
    assert len([name for name in names if ": meterd" in name]) > 50
    assert any("docs/operations.md: meterd dead retry" in name for name in names)


def _parse(command: Any, words: list[str]) -> None:
    name, *arguments = words
    if hasattr(command, "get_command"):
        if not arguments or arguments[0].startswith("-"):
            return
        inner = command.get_command(command.context_class(command, info_name=name), arguments[0])
        if inner is not None:
            _parse(inner, arguments)
            return
        assert command.invoke_without_command, f"{arguments[0]} is no command of {name}"
    command.make_context(name, [*arguments])
