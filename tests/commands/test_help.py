"""What every command says of itself, and what it says where no daemon runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli import COMMANDS
from tests.commands.elsewhere import run

pytestmark = pytest.mark.acceptance

SLOW = ("ray", "redis", "sqlalchemy", "psycopg2", "alembic", "structlog", "msgspec")
SLOW_AT_ONCE = (*SLOW, "pydantic", "rich")
"""What Typer and progress bars need: a command may have it, the list of commands not."""
WITH_EXAMPLES = (
    *(("status",), ("demo",), ("send",), ("chat",), ("audit",), ("up",), ("archive",)),
    ("db", "upgrade"),
)


@pytest.mark.parametrize("command", WITH_EXAMPLES)
def test_every_command_has_examples(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Its help begins with what it is for and ends with what to type."""
    asked = run(tmp_path, *command, "--help")
    assert asked.returncode == 0
    assert f"For example:\n\n    meterd {' '.join(command)}" in _plain(asked.stdout)


def test_the_help_waits_for_nothing_slow() -> None:
    """Whoever asks what there is to type need not wait for drivers, Ray and settings."""
    program = (
        "import sys, daemon.cli\n"
        "daemon.cli.app(['--help'], standalone_mode=False)\n"
        f"slow = [name for name in {SLOW_AT_ONCE!r} if name in sys.modules]\n"
        "sys.exit(f'loaded: {slow}' if slow else 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_every_command_is_there_and_its_help_loads_nothing_slow() -> None:
    """Each is found where the list of commands says, and waits for no driver."""
    program = (
        "import sys, daemon.cli\n"
        "for command in daemon.cli.COMMANDS:\n"
        "    daemon.cli.app([command.name, '--help'], standalone_mode=False)\n"
        f"slow = [name for name in {SLOW!r} if name in sys.modules]\n"
        "sys.exit(f'loaded: {slow}' if slow else 0)\n"
    )
    asked = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    usages = re.findall(r"^Usage: \S+ ([a-z]+) ", asked.stdout, re.MULTILINE)
    assert usages == [command.name for command in COMMANDS]


@pytest.mark.parametrize(
    "args",
    [("chat", "c", "\x1b[31m"), ("\x1b]0;t\x07",), ("send", "pause", "\x1b=1"), ("chat", "\x9b")],
)
def test_what_was_typed_drives_no_terminal(tmp_path: Path, args: tuple[str, ...]) -> None:
    """Whatever is wrong with it."""
    asked = run(tmp_path, *args)
    assert asked.returncode in (1, 2)
    assert all(line.isprintable() for line in (asked.stdout + asked.stderr).split("\n"))


def test_status_waits_for_no_logs_and_no_database() -> None:
    """It is asked again and again by scripts that wait for the daemon."""
    program = (
        "import sys, daemon.cli, daemon.settings.settings, daemon.discovery.status\n"
        "slow = {'ray', 'sqlalchemy', 'psycopg2', 'structlog'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {slow}' if slow else 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "args",
    [("demo",), ("send", "pause", "chat_id=c"), ("chat", "c"), ("audit",), ("db", "upgrade")],
)
def test_without_a_daemon_each_says_what_to_do(tmp_path: Path, args: tuple[str, ...]) -> None:
    """On the error output, with exit code 1."""
    asked = run(tmp_path, *args)
    assert asked.returncode == 1
    assert "meterd up" in asked.stderr
    assert asked.stdout == ""


@pytest.mark.parametrize("args", [("send", "pause", "chat_id=c"), ("chat", "c")])
def test_a_redis_that_is_not_there_is_told_of_at_once(
    tmp_path: Path, args: tuple[str, ...]
) -> None:
    """Nothing is sent, and no password is shown."""
    asked = run(tmp_path, *args, METERD_REDIS__URL="redis://:hunter2@127.0.0.1:1/0")
    assert asked.returncode == 1
    assert "does not answer" in asked.stderr
    assert "meterd status" in asked.stderr
    assert "hunter2" not in asked.stderr


def test_a_wrong_setting_is_a_usage_error(tmp_path: Path) -> None:
    """Named with its place, as everywhere."""
    asked = run(tmp_path, "send", "pause", "chat_id=c", METERD_TARIFF__RATE="much")
    assert asked.returncode == 2
    assert "METERD_TARIFF__RATE" in asked.stderr


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines())
