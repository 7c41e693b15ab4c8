"""The examples of docs/clients.md do what the text says, on the real daemon."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import scaled
from meterd import Meter

pytestmark = [pytest.mark.slow, pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "clients.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
IN_FIGURES = re.compile(r"\d+(\.\d+)?")


def examples(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(live: LiveDaemon, *command: str) -> str:
    urls = {"REDIS_URL": live.redis_url, "POSTGRES_URL": live.postgres_url}
    path = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        command,
        env={**urls, **path},
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", examples("python"), ids=lambda text: text.split("\n", 1)[0])
def test_an_example_in_python_runs(live: LiveDaemon, example: str) -> None:
    """As it stands in the text, any number of times."""
    for _ in range(2):
        run(live, sys.executable, "-W", "error", "-c", example)


def as_a_reader(live: LiveDaemon, *command: str) -> str:
    """What a command prints in an activated environment, beside this daemon."""
    folder = Path(sys.executable).parent
    env = {**live.env, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, env=env, cwd=live.home.parent,
        capture_output=True, text=True, timeout=scaled(60), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_quick_start_runs_twice_and_prints_what_the_readme_shows(live: LiveDaemon) -> None:
    """As it stands there; the figures differ by milliseconds."""
    (example,) = examples("python", README)
    shown = README.partition(example)[2].split("```")[2].strip()
    for _ in range(2):
        printed = as_a_reader(live, sys.executable, "-c", example)
        assert IN_FIGURES.sub("N", printed.strip()) == IN_FIGURES.sub("N", shown)


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not on this machine")
def test_the_addresses_that_the_examples_read_are_the_daemons(live: LiveDaemon) -> None:
    """As the page finds them."""
    addresses, *_ = examples("sh")
    told = as_a_reader(live, "bash", "-ec", addresses + "echo $REDIS_URL $POSTGRES_URL")
    assert told.split() == [live.redis_url, live.postgres_url]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not on this machine")
def test_the_shell_commands_of_the_readme_run_twice(live: LiveDaemon) -> None:
    """As they stand there."""
    chat, wallet = examples("sh", README)
    for _ in range(2):
        told = as_a_reader(live, "bash", "-ec", chat)
        assert "ended" in told
        answer = as_a_reader(live, "bash", "-ec", wallet)
        assert json.loads(answer)["user_id"] == "dan"


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not on this machine")
def test_the_tutorial_runs_twice_and_shows_what_it_promises(live: LiveDaemon) -> None:
    """All of its commands in one shell, but for those that start, kill and restart the daemon."""
    steps = [step for step in examples("sh", TUTORIAL) if "activate" not in step]
    script = "".join(f"printf '\\n== {n}\\n'\n{step}" for n, step in enumerate(steps))
    for _ in range(2):
        told = re.split(r"^== \d+\n", as_a_reader(live, "bash", "-ec", script), flags=re.MULTILINE)
        _, _, starts, second, ended, free, again, greedy, late, http, opened, closed, audit = told
        assert starts.count("outcome") == 2
        assert re.search(r"^chats +\d+ open", second, re.MULTILINE)
        assert "chat.ended" in ended
        assert re.search(r"^billed +[2-9] s$", free, re.MULTILINE), (
            "3 s are slept, of which 2 are free"
        )
        assert "handled before: no second effect" in again
        assert "credits.exhausted" in greedy
        assert "insufficient_credits" in late
        assert '"charge"' in http
        assert "running" in opened
        assert "chat.ended" in closed
        assert "0 differences" in audit


@pytest.mark.skipif(not shutil.which("redis-cli"), reason="redis-cli is not on this machine")
def test_the_examples_in_the_shell_run(live: LiveDaemon) -> None:
    """Typed by hand, they start and end a chat."""
    *_, example = examples("sh")
    said = run(live, "sh", "-ec", example)
    assert "outcome\nok" in said
    assert "wallet.topped_up" in said
    with Meter(live.redis_url) as meter:
        deadline = time.monotonic() + scaled(5)
        while meter.snapshot("chat-5").status != "ended":
            assert time.monotonic() < deadline
