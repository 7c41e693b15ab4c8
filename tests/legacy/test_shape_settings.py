"""What the settings say of the old tables: presets, what overrides them, and what can't be."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from daemon.cli import app
from daemon.errors import SettingsError
from daemon.legacy.moment import parse_moment
from daemon.legacy.rules.rows import UNKNOWN
from daemon.legacy.store.names import LegacyNames
from daemon.legacy.store.shape import LegacyShape
from daemon.settings.legacy import PRESETS, LegacySettings
from daemon.settings.settings import load_settings


def _loaded(**env: str) -> LegacySettings:
    return load_settings(env={f"METERD_LEGACY__{name.upper()}": env[name] for name in env}).legacy


def test_the_shape_without_settings_is_the_default_one() -> None:
    """That of version 0.1, in every place where defaults stand."""
    assert LegacyShape() == LegacyShape.of(_loaded())
    assert LegacyNames() == LegacyNames.of(_loaded())
    assert _loaded(preset="default") == _loaded()


@pytest.mark.parametrize("command", ["config check", "legacy inspect", "legacy migrate"])
def test_a_url_that_can_not_be_used_is_named_by_each_command(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting, its place and the fix, and no password; as for the URLs of meterd's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METERD_HOME", str(tmp_path))
    monkeypatch.setenv("METERD_LEGACY__URL", "postgresql://u:hunter2@h:port/db")
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code in (1, 2)
    assert "METERD_LEGACY__URL: should be a URL that can be used: want postgresql" in done.stderr
    assert "hunter2" not in done.output


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_and_whatever_is_given_goes_before_it(preset: str) -> None:
    """Each of its values, one by one; null is the preset's."""
    usual = _loaded(preset=preset)
    for name, value in PRESETS[preset].items():
        assert getattr(usual, name) == value
        other = _OTHER.get(name, "other")
        given = {"policy": "latest", name: _OTHER_TEXT.get(name, str(other))}
        changed = _loaded(preset=preset, **given)
        assert getattr(changed, name) == other
        assert LegacySettings.model_validate({"preset": preset, name: None}) == usual


_OTHER: dict[str, Any] = {
    "policy": "latest", "rate": "2.5", "free_ms": 7, "free_scope": "user", "increment_ms": 7,
    "increment_due": "begin", "abandon_ms": 7, "status_words": {"on": "running"},
    "several_records": "set_aside",
}  # fmt: skip
_OTHER_TEXT = {"status_words": "on=running"}


@pytest.mark.parametrize(
    "text",
    ["active=running, On Hold=paused", '{"active": "running", "ON HOLD": "Paused"}'],
)
def test_status_words_from_the_environment(text: str) -> None:
    """As pairs or as JSON; neither case nor blanks around a word matter."""
    shape = LegacyShape.of(_loaded(status_words=text))
    assert shape.status_of(" ACTIVE ") == "running"
    assert shape.status_of("on hold") == "paused"
    assert shape.status_of("completed") == UNKNOWN


def test_booleans_are_words_too() -> None:
    """As YAML has them, and as PostgreSQL writes them."""
    settings = LegacySettings.model_validate({"status_words": {True: "running", False: "ended"}})
    assert LegacyShape.of(settings).status_of("true") == "running"
    assert LegacyShape.of(settings).status_of("FALSE") == "ended"


@pytest.mark.parametrize(
    ("name", "text"),
    [("status_words", "active"), ("status_words", ""), ("status_words", "{"),
     ("time_unit", "hours"), ("time_zone", "UTC'; --"), ("preset", "mine"),
     ("several_records", "yes"), ("records_id", ""), ("increment_ms", "0")],
)  # fmt: skip
def test_what_can_not_be_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"METERD_LEGACY__{name.upper()}: should"):
        _loaded(**{name: text})


@given(st.integers(0, 10**13), st.integers(-14 * 60, 14 * 60))
def test_a_moment_is_milliseconds_or_a_time_with_its_zone(ms: int, minutes_east: int) -> None:
    """Both are the same moment."""
    zone = timezone(timedelta(minutes=minutes_east))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert parse_moment(str(ms)) == ms
    assert parse_moment(moment.astimezone(zone).isoformat()) == ms
    assert parse_moment(moment.replace(tzinfo=None).isoformat() + "Z") == ms


@pytest.mark.parametrize(
    "text", ["", "now", "-1", "2026-11-20T10:45:00", "20.11.2026", "1969-12-31T23:59:59Z", "1e9"]
)
def test_another_moment_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2026-11-20T10:45:00Z"):
        parse_moment(text)
