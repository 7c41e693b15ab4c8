"""The references have everything that the code has."""

import json
from pathlib import Path
from typing import Any

import pytest

import meterd
from daemon.cli import COMMANDS
from daemon.monitoring.alarms import ALARMS
from daemon.monitoring.next_steps import NEXT_STEPS
from daemon.settings.settings import Settings
from docs._generate.command_line import command_line_page, commands
from docs._generate.http_api import objects_page, routes_page
from docs._generate.links import anchors_of, links_of
from docs._generate.markdown import block, code, prose, table
from docs._generate.messages import messages_page
from docs._generate.monitoring import alarms_page, metrics_page
from docs._generate.python_client import python_client_page
from docs._generate.schemas import type_in_words
from docs._generate.settings import comments_of, settings_page
from docs._generate.stage import ROOT, LinkError, stage

CONFIG = (ROOT / "config.yaml").read_text("utf-8")
OPENAPI = json.loads((ROOT / "docs" / "openapi.json").read_text("utf-8"))
ASYNCAPI = json.loads((ROOT / "docs" / "asyncapi.json").read_text("utf-8"))


def _sections(page: str) -> dict[str, str]:
    """Each heading with the text up to the next one."""
    found: dict[str, str] = {}
    title = ""
    for line in page.splitlines():
        if line.startswith("#"):
            title = line.lstrip("#").strip()
        found[title] = f"{found.get(title, '')}{line}\n"
    return found


def test_every_setting_is_there_with_type_default_and_variable() -> None:
    """Each setting has a heading of its own."""
    sections = _sections(settings_page(CONFIG))
    for name, field in Settings.model_fields.items():
        for key in getattr(field.annotation, "model_fields", ()):
            text = sections[f"{name}.{key}"]
            assert "- type: " in text
            assert "- default: `" in text
            assert f"`METERD_{name.upper()}__{key.upper()}`" in text
    assert "- default: `2000`" in sections["supervisor.lease_ms"]
    assert "- type: `end`, `suspend`" in sections["credits.at_zero"]
    assert "may be replaced by another" in sections["supervisor.lease_ms"]
    assert "METERD\\_PARTITIONS" not in sections["partitions"]


def test_a_comment_belongs_to_the_line_after_it() -> None:
    """The first one is the file's; one before an empty line is nobody's."""
    head = "# A file.\n# Two lines.\n\n# One.\none: 1\n\n# Nobody's.\n\n"
    config = f"{head}# Two.\ntwo:\n  # In two.\n  in: 1\n  bare: 2\n"
    assert comments_of(config) == {
        (): "A file.\nTwo lines.",
        ("one",): "One.",
        ("two",): "Two.",
        ("two", "in"): "In two.",
    }


def test_every_route_and_body_is_there() -> None:
    """Each operation has a heading, and each link to a body leads to one."""
    routes, objects = routes_page(OPENAPI), objects_page(OPENAPI)
    for path, methods in OPENAPI["paths"].items():
        for method in methods:
            assert f"### `{method.upper()} {path}`" in routes
    anchors = anchors_of(objects)
    assert {name.lower() for name in OPENAPI["components"]["schemas"]} <= anchors
    links = [link for link in links_of(routes) if link.startswith("http-objects.md#")]
    assert links
    assert {link.partition("#")[2] for link in links} <= anchors
    assert {link[1:] for link in links_of(objects) if link.startswith("#")} <= anchors


def test_every_message_is_there_with_its_fields() -> None:
    """Commands, replies, events, snapshots and dead letters."""
    sections = _sections(messages_page(ASYNCAPI))
    for name, message in ASYNCAPI["components"]["messages"].items():
        for field in message["payload"].get("properties", ()):
            assert f"| `{field}` |" in sections[f"`{name}`"]
    assert "| `burn_rate` |" in sections["`wallet`"]


def test_every_public_name_of_the_client_is_there() -> None:
    """Each in one directive."""
    page = python_client_page()
    for name in meterd.__all__:
        lines = [line for line in page.splitlines() if line.startswith(".. auto")]
        assert [line.rstrip("()").endswith(f":: meterd.{name}") for line in lines].count(True) == 1


def test_every_command_is_there_with_its_help() -> None:
    """Those of groups as well."""
    names = [name for name, _ in commands()]
    assert {f"meterd {command.name}" for command in COMMANDS} <= set(names)
    assert "meterd db upgrade" in names
    assert len(names) == len(set(names))
    sections = _sections(command_line_page())
    assert all(f"Usage: {name}" in sections[name] for name in names)


def test_every_metric_of_an_alarm_and_every_label_is_there() -> None:
    """A metric has its type, its labels and what it means."""
    page = metrics_page()
    assert "| `meterd_daemon_state` | gauge | `state`: `starting`" in page
    assert "| `meterd_lease_changes_total` | counter |" in page
    assert "| `meterd_latency_seconds` | histogram |" in page
    assert "nan" not in page.lower().split()


def test_every_alarm_and_state_is_there() -> None:
    """An alarm leads to the heading that says what to do."""
    sections = _sections(alarms_page())
    for alarm in ALARMS:
        assert f"(../docs/operations.md#{alarm.runbook})" in sections[alarm.name]
        assert alarm.expr in sections[alarm.name]
    assert all(f"| `{state}` |" in sections["States"] for state in NEXT_STEPS)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 0.0, "maximum": 9}, "integer, at least 0, at most 9"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"anyOf": [{"type": "string"}, {"type": "string"}]}, "string"),
        ({"enum": ["a", "b"], "type": "string"}, "`a`, `b`"),
        ({"const": "start"}, "`start`"),
        ({"type": "array", "items": {"$ref": "#/x/Chat"}}, "array of <Chat>"),
        ({"type": "string", "allOf": [{"pattern": "a|b"}]}, "string, pattern `a|b`"),
        ({"type": ["string", "null"]}, "string or null"),
        ({}, "any value"),
    ],
)
def test_a_schema_in_words(schema: dict[str, Any], words: str) -> None:
    """Types, bounds, choices and references."""
    assert type_in_words(schema, lambda name: f"<{name}>") == words


def test_text_is_shown_as_it_is_written() -> None:
    """Markup is escaped, but for code; a cell has no pipe that ends it."""
    assert prose("a_b <c> `d_e | <f>` *g*") == r"a\_b \<c\> `d_e | <f>` \*g\*"
    assert code("a`b") == "`` a`b ``"
    assert block("```\nx\n```").startswith("````text\n")
    assert table(("a",), [("`x|y`",), ("two\nlines",)]).splitlines()[2:] == [
        r"| `x\|y` |",
        "| two lines |",
    ]
    assert table(("a",), []) == ""


def test_a_link_to_nothing_stops_the_build(tmp_path: Path) -> None:
    """The error names the page and the link."""
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        (tmp_path / name).write_text("# Title\n")
    (tmp_path / "README.md").write_text("# Title\n\n[gone](docs/gone.md#here)\n")
    with pytest.raises(LinkError, match=r"README\.md: links to docs/gone\.md#here"):
        stage(tmp_path / "out", tmp_path)
