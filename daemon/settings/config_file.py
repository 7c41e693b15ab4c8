"""Reads `config.yaml` into settings by their path, strictly.

YAML lets much pass in silence that is an error here: a key given twice (the last wins),
`010` for 8, `1:30` for 90.
"""

import re
from pathlib import Path

import yaml

from daemon.errors import ConfigFileError

__all__ = ["ConfigFileError", "read_config_file", "setting_lines"]

_PLAIN_WHOLE_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_WHOLE_NUMBER_TAG = "tag:yaml.org,2002:int"


def read_config_file(path: Path) -> dict[tuple[str, ...], object]:
    """Read the file's values by (section, key); what is in no section by (key,).

    Raises ConfigFileError, which names the file and, where there is one, the line.
    """
    text = _text(path)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _check(path, node)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigFileError(f"{path}: {_yaml_problem(error)}") from None
    except ValueError as error:
        raise ConfigFileError(f"{path}: {error}") from None
    return _by_path(path, {} if content is None else content)


def setting_lines(path: Path) -> dict[tuple[str, ...], int]:
    """The line of each setting in a file that ``read_config_file`` has accepted."""
    root = yaml.compose(_text(path), Loader=yaml.SafeLoader)
    lines: dict[tuple[str, ...], int] = {}
    for section, keys in root.value if isinstance(root, yaml.MappingNode) else []:
        if isinstance(keys, yaml.MappingNode):
            lines |= {(section.value, k.value): k.start_mark.line + 1 for k, _ in keys.value}
        else:
            lines[section.value,] = section.start_mark.line + 1
    return lines


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigFileError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigFileError(f"{path}: can't be read: {reason}") from None


def _yaml_problem(error: yaml.YAMLError) -> str:
    # Not the excerpt PyYAML adds: the line may hold a URL with a password.
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"is not valid YAML{where}: {getattr(error, 'problem', None) or 'unreadable'}"


def _check(path: Path, node: yaml.Node | None) -> None:
    """Walk the file's nodes for what YAML would let pass."""
    if isinstance(node, yaml.MappingNode):
        _check_keys(path, node)
        for key, value in node.value:
            _check(path, key)
            _check(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check(path, item)
    elif isinstance(node, yaml.ScalarNode) and node.tag == _WHOLE_NUMBER_TAG:
        _check_whole_number(path, node)


def _check_keys(path: Path, node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            line = key.start_mark.line + 1
            raise ConfigFileError(
                f"{path}: {key.value}: is given twice (the second time in line {line})"
            )
        seen.add(key.value)


def _check_whole_number(path: Path, node: yaml.ScalarNode) -> None:
    if not _PLAIN_WHOLE_NUMBER.fullmatch(node.value):
        line = node.start_mark.line + 1
        raise ConfigFileError(f"{path}: line {line}: write {node.value} as a plain whole number")


def _by_path(path: Path, content: object) -> dict[tuple[str, ...], object]:
    if not isinstance(content, dict):
        raise ConfigFileError(f"{path}: should hold sections, each with its settings")
    values: dict[tuple[str, ...], object] = {}
    for section, keys in content.items():
        if isinstance(keys, dict):
            values |= {(str(section), str(key)): value for key, value in keys.items()}
        elif keys is not None:
            values[str(section),] = keys
    return values
