"""A command that has the daemon's settings finds it without reading them; any other reads them."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from daemon.discovery.runfile import Addresses, RunFile
from daemon.settings.fingerprint import config_path, settings_fingerprint

ADDRESSES = Addresses("redis://r", "postgresql://p", "http://h")


def test_settings_are_told_apart_by_the_files_content_and_the_environment(tmp_path: Path) -> None:
    """Not by names of files, nor by what is not meterd's."""
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    for path in (one, other):
        path.write_text("http:\n  port: 1\n")
    same = [
        settings_fingerprint(one, {}),
        settings_fingerprint(other, {"HOME": "/", "METERD_HOME": "/h"}),
        settings_fingerprint(None, {"METERD_CONFIG": str(one)}),
    ]
    assert len(set(same)) == 1
    changes: list[tuple[Path | None, Mapping[str, str]]] = [
        (None, {}),
        (one, {"METERD_HTTP__PORT": "2"}),
        (one, {"METERD_HTTP__PORT": "3"}),
        (one, {"METERD_HTTP__PORT": ""}),
        (one, {"METERD_HTTP__POR": "T2"}),
    ]
    apart = [settings_fingerprint(path, variables) for path, variables in changes]
    other.write_text("http:\n  port: 2\n")
    apart.append(settings_fingerprint(other, {}))
    assert len({*apart, same[0]}) == len(apart) + 1


def test_a_file_that_can_not_be_read_is_nobodys(tmp_path: Path) -> None:
    """Then the settings are read, and the error is theirs."""
    missing = tmp_path / "missing.yaml"
    assert settings_fingerprint(missing, {}) == ""
    with RunFile(tmp_path).held(ADDRESSES):
        assert RunFile(tmp_path).read_running("") is None


def test_the_usual_file_is_that_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_path(None, {}) is None
    Path("config.yaml").write_text("")
    assert config_path(None, {}) == Path("config.yaml")
    assert config_path(None, {"METERD_CONFIG": "a"}) == Path("a")
    assert config_path(Path("b"), {"METERD_CONFIG": "a"}) == Path("b")


def test_only_a_daemon_that_runs_with_the_same_settings_is_found(tmp_path: Path) -> None:
    """One that was killed left its file; another one's settings may lead elsewhere."""
    mark = settings_fingerprint(None, {"METERD_REDIS__URL": "redis://r"})
    run_file = RunFile(tmp_path)
    with run_file.held(ADDRESSES, settings=mark, environment="production"):
        running = run_file.read_running(mark)
        assert running is not None
        assert running.addresses == ADDRESSES
        assert running.environment == "production"
        assert run_file.read_running(settings_fingerprint(None, {})) is None
        path = tmp_path / "run.json"
        path.write_text(path.read_text().replace(str(os.getpid()), "4194305"))  # beyond any pid
        assert run_file.is_stale()
        assert run_file.read_running(mark) is None
    assert run_file.read_running(mark) is None
