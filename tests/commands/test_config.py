"""``meterd config`` and ``meterd --version``: what applies, whether it is valid, an example."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from loadtests.common.live import LiveDaemon

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
SECRET = "0123456789012345678901234567890123456789"


def _run(folder: Path, *args: str, **env: str) -> tuple[int, str, str]:
    done = LiveDaemon(folder / "home", env).run(*args)
    return done.returncode, done.stdout, done.stderr


def test_the_version_is_that_of_the_installed_service(tmp_path: Path) -> None:
    """One line, for bug reports."""
    assert _run(tmp_path, "--version")[:2] == (0, f"meterd {version('meterd-daemon')}\n")


def test_show_has_every_setting_with_its_place_and_no_secret(tmp_path: Path) -> None:
    """Defaults, the file with its line, variables; METERD_HOME comes last."""
    (tmp_path / "config.yaml").write_text("actors:\n  max: 7\n")
    env = {
        "METERD_HTTP__JWT_SECRET": SECRET,
        "METERD_REDIS__URL": "redis://:secret-word@somewhere/0",
        "METERD_QUEUE__BATCH_MAX": "5",
    }
    code, out, _ = _run(tmp_path, "config", "show", "--json", **env)
    rows = {row["setting"]: (row["value"], row["place"]) for row in json.loads(out)}
    assert code == 0
    assert rows["actors.max"] == (7, "config.yaml:2")
    assert rows["queue.batch_max"] == (5, "METERD_QUEUE__BATCH_MAX")
    assert rows["queue.block_ms"] == (1000, "default")
    assert rows["http.jwt_secret"] == ("***", "METERD_HTTP__JWT_SECRET")
    assert rows["METERD_HOME"] == (str(tmp_path / "home"), "METERD_HOME")
    plain = _run(tmp_path, "config", "show", **env)[1]
    for text in (out, plain):
        assert SECRET not in text
        assert "secret-word" not in text
    assert all(setting in plain for setting in rows)


def test_check_names_every_wrong_and_unknown_setting_with_its_place(tmp_path: Path) -> None:
    """Exit 1, all of them at once; exit 0 where there is none."""
    assert _run(tmp_path, "config", "check")[0] == 0
    (tmp_path / "config.yaml").write_text("actors: {max: 0, spares: 1}\n")
    code, _, err = _run(tmp_path, "config", "check", METERD_LOG__LEVELS="debug")
    assert code == 1
    for part in (
        "config.yaml: actors.max: should be",
        "config.yaml: actors.spares: renamed to actors.warm_pool_size",
        "METERD_LOG__LEVELS: unknown setting",
    ):
        assert part in err


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("METERD_POSTGRES__URL", "postgresql://u:hunter2@h:port/db"),
        ("METERD_REDIS__URL", "redis://u:hunter2@h:port/0"),
        ("METERD_REDIS__URLS", "redis://u:hunter2@a,garbage"),
    ],
)
def test_every_command_names_a_url_that_can_not_be_used(
    tmp_path: Path, setting: str, url: str
) -> None:
    """Before it does anything: the setting, its place and the fix, and no password."""
    commands = ("config check", "status", "audit", "send end chat_id=c")
    for command in commands:
        code, out, err = _run(tmp_path, *command.split(), **{setting: url})
        assert code in (1, 2)
        assert f"environment {setting}: should be a URL that can be used: want " in err
        assert "hunter2" not in out + err
        assert "Traceback" not in err


def test_the_example_is_the_file_in_the_project_and_valid(tmp_path: Path) -> None:
    """Whoever saves it can start with it."""
    out = _run(tmp_path, "config", "example")[1]
    assert out == (ROOT / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(out)
    assert _run(tmp_path, "config", "check")[0] == 0


def test_files_for_deploying_are_listed_and_printed(tmp_path: Path) -> None:
    """An unknown name is refused with those there are."""
    names = _run(tmp_path, "config", "example", "--list")[1].split()
    assert "deploy/meterd.service" in names
    unit = _run(tmp_path, "config", "example", "deploy/meterd.service")[1]
    assert unit == (ROOT / "deploy" / "meterd.service").read_text()
    code, _, err = _run(tmp_path, "config", "example", "deploy/nothing")
    assert code == 1
    assert "deploy/meterd.service" in err


def test_in_a_wrong_folder_commands_say_where_they_looked(tmp_path: Path) -> None:
    """`cd /; meterd token me`: no secret is made, nothing is left."""
    state = {"METERD_HOME": "", "XDG_STATE_HOME": str(tmp_path / "state")}
    elsewhere = LiveDaemon(tmp_path / "home", {})
    elsewhere.env = {**elsewhere.env, **state}
    home = str(tmp_path / "state" / "meterd")
    for command in (("token", "me"), ("status",), ("send", "end", "chat_id=c"), ("clock", "show")):
        done = elsewhere.run(*command)
        assert done.returncode == 1
        assert home in done.stdout + done.stderr
        assert "meterd up" in done.stdout + done.stderr
    assert not (tmp_path / "state").exists()


_LOOKING = (
    "status", "status --json", "send end chat_id=c", "clock show", "audit", "audit --no-redis",
    "chat c", "dead list", "recover", "demo", "top", "gateway", "db upgrade",
    "token me --link /ops",
)  # fmt: skip


def test_where_no_home_is_named_each_command_says_how_to_name_one(tmp_path: Path) -> None:
    """A daemon may run in another folder; who names a home is not told to."""
    here = LiveDaemon(tmp_path / "home", {"METERD_HTTP__JWT_SECRET": SECRET})
    elsewhere = LiveDaemon(tmp_path / "home", {})
    state = {"METERD_HOME": "", "XDG_STATE_HOME": str(tmp_path / "state")}
    elsewhere.env = {**here.env, **state}
    hint = "if one runs elsewhere, set METERD_HOME to its home"
    for command in _LOOKING:
        for daemon, count in ((elsewhere, 1), (here, 0)):
            done = daemon.run(*command.split())
            told = done.stdout + done.stderr
            assert done.returncode == 1, told
            assert "meterd up" in told
            assert told.count(hint) == count, (command, told)
