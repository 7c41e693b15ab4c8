"""What others make of the OpenAPI description: it is linted, and clients are generated of it."""

import re
import shutil

import pytest

from tests.gateway.conftest import Gateway
from tests.gateway.openapi.toolbox import DOCUMENT, Toolbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

HAPPENED = ["wallet.topped_up", "chat.started", "chat.ended"]
_LINT_QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Toolbox:
    """Node.js's tools, and the description beside them."""
    toolbox = Toolbox(tmp_path_factory.mktemp("node"))
    toolbox.install_node()
    toolbox.copy("lint.yaml", ".redocly.lint-ignore.yaml")
    shutil.copy(DOCUMENT, toolbox.folder / "openapi.json")
    return toolbox


@pytest.fixture(scope="module")
def for_typescript(node: Toolbox) -> Toolbox:
    """Types for TypeScript, generated, and what uses them."""
    node.copy("program.ts", "wrong.ts", "tsconfig.json")
    node.node("node_modules/openapi-typescript/bin/cli.js", "openapi.json", "-o", "meterd.d.ts")
    return node


@pytest.fixture(scope="module")
def for_python(tmp_path_factory: pytest.TempPathFactory) -> Toolbox:
    """A client for Python, generated, and the program that uses it."""
    toolbox = Toolbox(tmp_path_factory.mktemp("python"))
    toolbox.install_python()
    toolbox.copy("program.py", "mypy.ini")
    toolbox.python(
        "-m", "openapi_python_client", "generate", "--path", str(DOCUMENT), "--meta", "none",
        "--output-path", "meterd_http", "--fail-on-warning",
    )  # fmt: skip
    return toolbox


def test_the_linter_finds_nothing(node: Toolbox) -> None:
    """By all rules of Redocly but those that ``lint.yaml`` gives a reason for."""
    _lint(node)


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ('"example": {"now"', '"example": {"when"', "no-invalid-media-type-examples"),
        (
            '"operationId": "list_chats"',
            '"operationId": "read_chat"',
            "operation-operationId-unique",
        ),
        ('"servers"', '"x-servers"', "no-empty-servers"),
    ],
)
def test_the_linter_finds_what_is_wrong(node: Toolbox, before: str, after: str, rule: str) -> None:
    """So that nothing found says something."""
    text = DOCUMENT.read_text("utf-8")
    text = re.sub(r'("example": \{)\s+', r"\1", text)
    assert before in text
    (node.folder / "wrong.json").write_text(text.replace(before, after, 1), "utf-8")
    with pytest.raises(AssertionError, match=rule):
        _lint(node, "wrong.json")


def test_the_types_fit_the_program_and_refuse_what_is_wrong(for_typescript: Toolbox) -> None:
    """Strictly; no expectation of an error is left over."""
    for_typescript.node("node_modules/typescript/bin/tsc", "--noEmit")


def test_the_client_for_python_has_types(for_python: Toolbox) -> None:
    """Strictly, of all that was generated and of the program."""
    for_python.mypy("--config-file", "mypy.ini", "meterd_http", "program.py")


@pytest.mark.ray
@pytest.mark.acceptance
def test_the_program_in_typescript_does_what_it_says(
    for_typescript: Toolbox, gateway: Gateway
) -> None:
    """It starts a chat, follows what happens and reads the usage, of the real daemon."""
    for_typescript.node("node_modules/typescript/bin/tsc")
    _is_true(for_typescript.node("built/program.js", **_access(gateway)), gateway)


@pytest.mark.ray
@pytest.mark.acceptance
def test_the_program_in_python_does_what_it_says(for_python: Toolbox, gateway: Gateway) -> None:
    """The same with the other client."""
    _is_true(for_python.python("program.py", **_access(gateway)), gateway)


def _lint(node: Toolbox, name: str = "openapi.json") -> None:
    cli = "node_modules/@redocly/cli/bin/cli.js"
    node.node(cli, "lint", name, "--config", "lint.yaml", **_LINT_QUIET)


def _access(gateway: Gateway) -> dict[str, str]:
    """Where the gateway is, and a token for a backend that reads, too."""
    token = gateway.token("a-service", "backend", "ops")
    return {"METERD_URL": gateway.url, "METERD_TOKEN": token}


def _is_true(printed: str, gateway: Gateway) -> None:
    """Each event once and in order, as the gateway tells them; then what its usage says."""
    *events, (user_id, *usage) = [line.split() for line in printed.splitlines()]
    told = gateway.ops("/v1/events", after="0", user_id=user_id)["events"]
    assert events == [[str(one["at"]), one["event"]] for one in told]
    assert [event for _, event in events] == HAPPENED
    (line,) = gateway.ops("/v1/usage", by="user", user_id=user_id)["usage"]
    assert usage == [str(line["active_ms"]), line["cost"]]
    assert line["chats"] == 1
