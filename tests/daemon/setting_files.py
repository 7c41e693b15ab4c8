"""Settings out of a file and an environment, and what is said where they are wrong."""

from pathlib import Path

import pytest

from daemon.errors import SettingsError
from daemon.settings.settings import Settings, load_settings


def with_file(text: str, **env: str) -> Settings:
    Path("config.yaml").write_text(text)
    return load_settings(env=env)


def complaint(text: str = "", **env: str) -> str:
    with pytest.raises(SettingsError) as raised:
        with_file(text, **env)
    return str(raised.value)
