"""Whether a command has the settings that a daemon was started with, without reading them.

Reading settings takes longer than most of what a short command does. Standard library only.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PREFIX: Final = "METERD_"
_PLACES: Final = ("METERD_HOME", "METERD_CONFIG")
"""Where settings and data are; what is in the file counts, not its name."""


def config_path(named: Path | None, variables: Mapping[str, str]) -> Path | None:
    """The settings file: as named, else by METERD_CONFIG, else ./config.yaml if there is one."""
    chosen = named or variables.get("METERD_CONFIG")
    if chosen:
        return Path(chosen)
    usual = Path("config.yaml")
    return usual if usual.is_file() else None


def settings_fingerprint(named: Path | None, variables: Mapping[str, str]) -> str:
    """The same for the same file content and environment; empty if the file can't be read."""
    path = config_path(named, variables)
    try:
        content = path.read_bytes() if path else b""
    except OSError:
        return ""
    found = hashlib.sha256(content)
    for name in sorted(variables):
        if name.startswith(PREFIX) and name not in _PLACES:
            found.update(f"\0{name}={variables[name]}".encode(errors="surrogateescape"))
    return found.hexdigest()
