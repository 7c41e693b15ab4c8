"""``meterd archive`` at the command line, and what ``meterd chat`` says of what was archived."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from daemon.cli import app
from meterd.rules.commands import entry_ms
from persistence.postgres import reader
from persistence.postgres.sizes import table_bytes
from tests.archive.filling import fill, folded, lives
from tests.gateway.conftest import gateway_alone
from tests.servers import redis_server

METERD = str(Path(sys.executable).with_name("meterd"))
DATE = "2023-12-01"
"""Of the year in which the rows are, and a month's begin."""
CUT_OF_DATE_MS = 1_701_388_800_000


class Here:
    """The command line with one database."""

    def __init__(self, engine: Engine, to: Path) -> None:
        self.url = engine.url.render_as_string(hide_password=False)
        self.to = to

    def run(self, *args: str, code: int = 0, env: dict[str, str] | None = None) -> str:
        """What it prints on its output, or on both if it fails."""
        more = env or {}
        variables = {"METERD_POSTGRES__URL": self.url, "METERD_HOME": str(self.to), **more}
        done = CliRunner().invoke(app, [*args], env=variables, catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.output if code else done.stdout

    def json(self, *args: str, code: int = 0, env: dict[str, str] | None = None) -> Any:
        """The JSON that it prints."""
        return json.loads(self.run(*args, "--json", code=code, env=env).splitlines()[-1])


@pytest.fixture
def here(engine: Engine, tmp_path: Path) -> Here:
    """Rows of November and December 2023."""
    fill(engine, lives(), (CUT_OF_DATE_MS,))
    return Here(engine, tmp_path)


def test_what_is_before_a_day_is_archived(here: Here, engine: Engine) -> None:
    """First said, then done, then nothing is left to do; then folded again, whole and broken."""
    to = ("--to", str(here.to / "a"))
    name = f"begin_{DATE}"
    plan = here.json("archive", "--before", "2023-12-20", *to, "--dry-run")["plan"]
    assert plan["name"] == name
    with engine.connect() as connection:
        bytes_before = table_bytes(connection)
    done = here.json("archive", "--before", "2023-12-20", *to)
    assert (done["name"], done["before"]) == (name, f"{DATE}T00:00:00Z")
    with engine.connect() as connection:
        left = [entry_ms(row.stream_id) for row in reader.journal_since(connection, 0)]
        bytes_left = table_bytes(connection)
    assert 0 < bytes_left["journal"] < bytes_before["journal"]
    assert bytes_left["ledger"] == bytes_before["ledger"] > 0
    assert left
    assert min(left) >= CUT_OF_DATE_MS
    assert "nothing to be done" in here.run("archive", "--before", "2023-12-20", *to)
    folder = Path(done["folder"])
    checked = here.json("archive", "--verify", str(folder))
    assert (checked["ok"], checked["entries"]) == (True, done["entries"])
    (folder / "journal-00001.jsonl.zst").unlink()
    broken = here.json("archive", "--verify", str(folder), code=1)
    assert [one["kind"] for one in broken["differences"]] == ["file"]


def test_a_day_of_which_ids_are_remembered_is_refused(here: Here) -> None:
    """With the latest day that is not; longer, if the settings keep ids for longer."""
    shown = here.run("archive", "--before", "2999-01-01", code=2)
    assert "less than 32 days ago" in shown
    kept = {"METERD_QUEUE__CREDIT_ID_TTL_MS": str(4_000 * 86_400_000)}
    assert "less than 4001 days ago" in here.run("archive", "--before", DATE, code=2, env=kept)


@pytest.mark.parametrize("args", [(), ("--before", DATE, "--verify", "x"), ("--before", "now")])
def test_what_is_not_understood_is_said(here: Here, args: tuple[str, ...]) -> None:
    """Exit code 2, and what to type."""
    shown = here.run("archive", *args, code=2)
    assert "meterd archive --help" in shown or "2026-10-01" in shown


def test_a_folder_that_can_not_be_made_is_named(here: Here) -> None:
    """Nothing is dropped; the option that helps is named."""
    (here.to / "file").write_text("")
    shown = here.run("archive", "--before", DATE, "--to", str(here.to / "file" / "x"), code=1)
    assert "--to FOLDER" in shown


@pytest.mark.redis
def test_a_chat_says_where_its_history_is(here: Here) -> None:
    """What is in the journal is shown as before; for the rest, the archive is named."""
    with redis_server() as url:
        env = {"METERD_REDIS__URL": url}
        whole = here.json("chat", "bob.ended", env=env)
        folder = here.json("archive", "--before", DATE)["folder"]
        left = here.json("chat", "bob.ended", env=env)
        assert left["snapshot"] == whole["snapshot"]
        later = [line for line in whole["history"] if line["at"] >= CUT_OF_DATE_MS]
        assert later
        assert left["history"] == later
        assert (whole["archives"], [one["folder"] for one in left["archives"]]) == ([], [folder])
        assert f"it is in the archive begin_{DATE} ({folder})" in here.run(
            "chat", "bob.ended", env=env
        )
        over_http = _asked_over_http(here, url)
        assert over_http["archived_until"] == CUT_OF_DATE_MS
        assert over_http["history"] == later


def _asked_over_http(here: Here, redis_url: str) -> Any:
    """Folders are nobody's to know who asks over HTTP; the moment is."""
    settings = {"METERD_REDIS__URL": redis_url, "METERD_POSTGRES__URL": here.url}
    with gateway_alone(here.to, **settings) as gateway:
        return gateway.ops("/v1/chats/bob.ended/history")


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["*.partial/*", "*.partial/records-*", "*/manifest.json"])
def test_a_process_that_is_killed_is_run_again(here: Here, engine: Engine, moment: str) -> None:
    """With SIGKILL, at several moments: then it comes to the end, and nothing has changed."""
    before, to = folded(engine), here.to / "killed"
    command = [METERD, "archive", "--before", DATE, "--to", str(to)]
    env = {**os.environ, "METERD_POSTGRES__URL": here.url, "METERD_HOME": str(here.to)}
    with subprocess.Popen(command, env=env) as process:
        while process.poll() is None and not list(to.glob(moment)):
            time.sleep(0.001)
        process.kill()
    assert folded(engine) == before
    here.run("archive", "--before", DATE, "--to", str(to))
    assert [path.name for path in to.iterdir()] == [f"begin_{DATE}"]
    assert here.json("archive", "--verify", str(to / f"begin_{DATE}"))["ok"]
    assert folded(engine) == before
    assert here.json("audit", "--no-redis")["ok"]
