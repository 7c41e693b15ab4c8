"""Server logs in METERD_HOME/logs: a new file at each start, the last few kept."""

import os
from pathlib import Path

from daemon.embedded.home import private_folder
from daemon.logging.logs import mask_credentials

__all__ = ["LogFile"]

_KEPT = 3
_TAIL_BYTES = 8192
_TAIL_LINES = 15


class LogFile:
    """The log of one server."""

    def __init__(self, home: Path, name: str) -> None:
        self.path = home / "logs" / f"{name}.log"

    def open_new(self) -> int:
        """Move older logs aside, drop the oldest, open an empty one; its file descriptor."""
        private_folder(self.path.parent)
        for number in range(_KEPT, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        return os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def tail(self) -> str:
        """Give the path and the last lines, for an error message."""
        try:
            text = self.path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return f"There is no log in {self.path}."
        lines = "\n".join(f"  {line}" for line in text.splitlines()[-_TAIL_LINES:])
        return f"The log {self.path} ends:\n{mask_credentials(lines)}"
