"""The reference of the settings: from their model, with the comments of config.yaml."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import BaseModel

from daemon.settings.settings import Settings
from docs._generate.markdown import code, page, prose
from docs._generate.schemas import JsonSchema, type_in_words

_KEY: Final = re.compile(r"( *)([a-z_]+):")
_ABOUT: Final = """\
This page is for operators. It lists every setting with its type, its default, its environment
variable and the comment of `config.yaml`."""


def settings_page(config: str) -> str:
    """Make the page.

    Args:
        config: the text of config.yaml.
    """
    comments = comments_of(config)
    schemas = Settings.model_json_schema()
    definitions = schemas["$defs"]
    parts = ["# Settings", _ABOUT, prose(comments.get((), ""))]
    for name, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            parts += [f"## {name}", prose(comments.get((name,), model.__doc__ or ""))]
            fields = definitions[model.__name__]["properties"]
            for key in model.model_fields:
                parts += _setting((name, key), fields[key], comments)
        elif name != "home":  # a variable only, which the head of config.yaml describes
            parts += _setting((name,), schemas["properties"][name], comments)
    return page(*parts)


def comments_of(config: str) -> Mapping[tuple[str, ...], str]:
    """Return the comment of each section and setting, by its path; that of the file by ().

    A comment belongs to the key in the line after it. One with an empty line after it belongs to
    nothing, but for the first one, which is the file's.
    """
    return dict(_comments(config))


def _comments(config: str) -> Iterator[tuple[tuple[str, ...], str]]:
    lines: list[str] = []
    section, is_head = "", True
    for line in config.splitlines():
        if line.lstrip().startswith("#"):
            lines.append(line.lstrip().removeprefix("#").strip())
            continue
        if is_head:
            yield (), _joined(lines)
            is_head = False
        elif key := _KEY.match(line):
            if not key.group(1):
                section = key.group(2)
            path = (section, key.group(2)) if key.group(1) else (section,)
            if lines:
                yield path, _joined(lines)
        lines = []


def _joined(lines: list[str]) -> str:
    return "\n".join(lines)


def _setting(
    path: tuple[str, ...], schema: JsonSchema, comments: Mapping[tuple[str, ...], str]
) -> Iterator[str]:
    yield f"{'#' * (len(path) + 1)} {'.'.join(path)}"
    yield prose(comments.get(path, ""))
    variable = f"METERD_{'__'.join(path).upper()}"
    yield "\n".join(
        (
            f"- type: {type_in_words(schema)}",
            f"- default: {code(json.dumps(schema.get('default')))}",
            f"- environment variable: {code(variable)}",
        )
    )
