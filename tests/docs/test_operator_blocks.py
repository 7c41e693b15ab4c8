"""The shell blocks of the pages for operators run as they stand there, beside a real daemon."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from sqlalchemy import Engine, make_url  # migration seam

from loadtests.common.live import KEYS, LiveDaemon, live_daemon
from loadtests.common.timeouts import scaled
from tests.docs.test_commands import BLOCK
from tests.legacy.owner import create_current_system  # migration seam

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = (
    "operations.md", "audit.md", "retention.md", "clock.md", "upgrading.md", "security.md",
    "several-machines.md", "load-tests.md", "reliability.md",
    "migration.md",  # migration seam
)  # fmt: skip
WITHOUT_BLOCKS: Final = ("clock.md", "upgrading.md")
"""They have no shell block yet; one that is added is run."""


class NotRun(NamedTuple):
    """A command that no test can run as it stands."""

    page: str
    begin: str
    """How it begins, in the page."""
    reason: str


NOT_RUN: Final = (
    NotRun("operations.md", "meterd up ", "the fixture has run it: this daemon"),
    NotRun("several-machines.md", "ray start --head ", "needs a machine for Ray's head"),
    NotRun("several-machines.md", "ray start --address=", "needs a Ray on another machine"),
    NotRun("several-machines.md", "METERD_RAY__ADDRESS=", "needs that Ray; runs until stopped"),
    NotRun("load-tests.md", "make load", "two minutes with a daemon of its own"),
    NotRun("load-tests.md", "METERD_LOAD_CHATS=50000 make load", "minutes, as above"),
    NotRun("load-tests.md", "METERD_ACTORS__MAX=8 make load", "minutes, as above"),
    NotRun("load-tests.md", "METERD_LOAD_REDIS_URL=", "ten minutes on servers elsewhere"),
    NotRun("load-tests.md", "locust -f ", "serves a page until it is stopped"),
    NotRun("reliability.md", "make test  ", "would run this test; minutes"),
    NotRun("reliability.md", "make test-slow", "half an hour"),
    NotRun("reliability.md", "make chaos", "five minutes"),
    NotRun("reliability.md", "make interleavings", "minutes"),
    NotRun("reliability.md", "make fuzz", "an hour"),
    NotRun("reliability.md", "make soak", "an hour"),
)

SETTING: Final = re.compile(r"METERD_\w+=\S+")
MARK: Final = "\x1e"
"""Begins the line after a command's output; in no output."""
LETTER: Final = "1767225600000-0"
"""The dead letter of docs/operations.md: the stream entry that it was."""
ROUNDS: Final = 2
WITH_BLOCKS: Final = [
    pytest.param(page, marks=[pytest.mark.slow] if page == "migration.md" else [])
    for page in PAGES
    if page not in WITHOUT_BLOCKS
]
"""The whole import takes as long as all other pages."""
needs_programs: Final = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "jq"))), reason="bash, curl or jq is not here"
)
pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]


class Command(NamedTuple):
    """What a reader types at once: a line, or all lines of a longer command."""

    text: str
    shown: tuple[str, ...]
    """The lines that the page shows as its output; ``…`` stands for others."""

    @property
    def script(self) -> str:
        """What the shell runs; settings by themselves are checked by meterd."""
        is_setting = SETTING.fullmatch(self.text) is not None
        return f"{self.text} meterd config check" if is_setting else self.text


class Done(NamedTuple):
    """What came of a command."""

    code: int
    output: str


def blocks_of(page: str) -> list[tuple[str, str]]:
    """The language and text of each shell block of a page."""
    found = BLOCK.findall((DOCS / page).read_text("utf-8"))
    return [(language, textwrap.dedent(text)) for language, text in found]


def commands_of(language: str, block: str) -> list[Command]:
    """A console's lines with a prompt and what is shown below; a shell's lines."""
    if language == "console":
        parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        split = [part.splitlines() for part in parts]
        return [Command(typed, tuple(shown)) for typed, *shown in split]
    return [Command(text, ()) for text in _complete(block.splitlines())]


def _complete(lines: Sequence[str]) -> Iterator[str]:
    """Join lines until they are a command; comments by themselves are none."""
    text = ""
    for line in lines:
        text = f"{text}\n{line}" if text else line
        if not text.strip() or text.lstrip().startswith("#"):
            text = ""
        elif not line.endswith("\\") and _is_complete(text):
            yield text
            text = ""
    assert not text, f"not a command of the shell: {text}"


def _is_complete(text: str) -> bool:
    """Whether the shell would wait for no more lines."""
    parsed = subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False)
    return parsed.returncode == 0


def why_not_run(page: str, command: Command) -> str:
    """The reason from the table, empty if the command is run."""
    listed = (one for one in NOT_RUN if one.page == page)
    return next((one.reason for one in listed if command.text.startswith(one.begin)), "")


def closed_month() -> datetime:
    """The latest first day of a month that may be archived: 32 days are over since."""
    latest = datetime.now(UTC) - timedelta(days=33)
    return latest.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


class Operator:
    """A person with a shell beside the daemon, who types what the pages show."""

    def __init__(self, live: LiveDaemon, folder: Path) -> None:
        self.live = live
        self._folder = folder
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._env = {**live.env, "PATH": path, "COLUMNS": "200"}
        self._placeholders = self._known_placeholders()

    def run(self, page: str, commands: Sequence[Command]) -> list[Done]:
        """Run commands in one shell, so that what one exports is there for the next."""
        parts = [
            f"{{\n{command.script}\n}} 2>&1 </dev/null\nprintf '\\n{MARK} %d\\n' $?\n"
            for command in commands
        ]
        script = self._filled(page, "set -o pipefail\n" + "".join(parts))
        ran = subprocess.run(
            ["bash", "-c", script], env=self._env, cwd=self._folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=scaled(120), check=False,
        )  # fmt: skip
        found = re.findall(rf"(.*?)\n{MARK} (\d+)\n", ran.stdout, re.DOTALL)
        assert len(found) == len(commands), ran.stdout + ran.stderr
        return [Done(int(code), output) for output, code in found]

    def _filled(self, page: str, script: str) -> str:
        """Put values of this test where the page has those of an example."""
        for placeholder, value in self._placeholders.get(page, {}).items():
            assert placeholder in script, f"{page} has no {placeholder} any more"
            script = script.replace(placeholder, value)
        return script

    def _known_placeholders(self) -> Mapping[str, Mapping[str, str]]:
        # migration seam: begin
        database = make_url(self.live.postgres_url)
        # migration seam: end
        return {
            "retention.md": {
                "2026-10-01": f"{closed_month():%Y-%m-%d}",
                "/srv/meterd-archives": str(self._folder / "archives"),
            },
            # migration seam: begin
            "migration.md": {
                "old-host/app": f"{database.host}:{database.port}/{database.database}",
                "http://127.0.0.1:8080": str(self.live.status()["http_url"]),
            },
            # migration seam: end
        }


def add_dead_letters(live: LiveDaemon, round_: int) -> None:
    """Two commands that have made a daemon fail: one to send again, and one to drop."""
    with contextlib.closing(live.client()) as client:
        for part in ("retry", "drop"):
            fields = {"type": "top_up", "id": f"{part}-{round_}", "user_id": "eve", "amount": "1"}
            letter: dict[Any, Any] = {
                "entry": LETTER, "outcome": "internal_error", "reason": "",
                "fields": json.dumps(fields),
            }  # fmt: skip
            client.xadd(KEYS.dead, letter)


def _fill_old_month(live: LiveDaemon) -> None:
    """A chat of ann's of five days before the month that may be archived; one of today."""
    old_ms = int((closed_month() - timedelta(days=5)).timestamp()) * 1000
    sent: list[dict[Any, Any]] = [
        {"type": "top_up", "id": "o1", "user_id": "ann", "amount": "20"},
        {"type": "start", "id": "o2", "chat_id": "ann-1", "user_id": "ann", "advisor_id": "bea",
         "rate": "1"},
        {"type": "end", "id": "o3", "chat_id": "ann-1"},
    ]  # fmt: skip
    with contextlib.closing(live.client()) as client:
        for number, fields in enumerate(sent):
            client.xadd(KEYS.commands, fields, id=f"{old_ms + number * 1000}-0")
        client.xadd(KEYS.commands, {"type": "top_up", "id": "n1", "user_id": "bob", "amount": "20"})
    live.until_handled()


# migration seam: begin
def _fill_old_system(engine: Engine) -> None:
    """The old tables and the role, by the SQL of docs/migration.md."""
    create_current_system(engine)
    text = (DOCS / "migration.md").read_text("utf-8")
    role, indexes, *_ = re.findall(r"^ *```sql\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    one_by_one = engine.execution_options(isolation_level="AUTOCOMMIT")
    with one_by_one.connect() as connection:
        for statement in f"{role}{indexes}".split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)


# migration seam: end


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Beside a daemon with a chat of an old month, and what its pages need besides."""
    env = {"METERD_HTTP__PORT": "0"}
    # migration seam: begin
    env |= {
        "METERD_LEGACY__PRESET": "conversation_time_record",
        "METERD_LEGACY__ENABLED": "true",
        # Nobody sends heartbeats: on a busy machine chats would end before the page ends them.
        "METERD_LEGACY__ABANDON_MS": "600000",
    }
    # migration seam: end
    with live_daemon(**env) as live:
        _fill_old_month(live)
        # migration seam: begin
        engine = live.engine()
        _fill_old_system(engine)
        engine.dispose()
        # migration seam: end
        yield Operator(live, tmp_path_factory.mktemp("operator"))


@needs_programs
@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_each_command_of_a_page_runs_twice(operator: Operator, page: str) -> None:
    """It exits 0 and prints no traceback; a console shows what the page does, the first time."""
    every = [command for block in blocks_of(page) for command in commands_of(*block)]
    run = [command for command in every if not why_not_run(page, command)]
    for round_ in range(ROUNDS):
        if page == "operations.md":
            add_dead_letters(operator.live, round_)
        for command, done in zip(run, operator.run(page, run), strict=True):
            told = f"{page}: {command.text}\n{done.output}"
            assert done.code == 0, told
            assert "Traceback" not in done.output, told
            if not round_:
                _assert_shown(command, done.output, told)
    operator.live.until_handled()


def _assert_shown(command: Command, output: str, told: str) -> None:
    """The lines that the page shows come in this order; spaces between words don't matter."""
    printed = iter([" ".join(line.split()) for line in output.splitlines()])
    for line in command.shown:
        wanted = " ".join(line.split())
        assert wanted in {"", "…"} or wanted in printed, f"not printed: {line}\n{told}"


@pytest.mark.parametrize("page", PAGES)
def test_each_block_of_a_page_has_commands(page: str) -> None:
    """So that each is run or listed; the pages that have none are known."""
    blocks = blocks_of(page)
    assert (not blocks) == (page in WITHOUT_BLOCKS)
    text = (DOCS / page).read_text("utf-8")
    assert len(blocks) == len(re.findall(r"```(?:sh|bash|shell|console)\b", text))
    assert all(commands_of(*block) for block in blocks)


@pytest.mark.parametrize("one", NOT_RUN, ids=lambda one: f"{one.page}: {one.begin}")
def test_each_exception_is_of_a_command_that_is_there(one: NotRun) -> None:
    """One that matches nothing any more is to be removed from the table."""
    commands = [command for block in blocks_of(one.page) for command in commands_of(*block)]
    assert any(command.text.startswith(one.begin) for command in commands)
    assert one.reason
