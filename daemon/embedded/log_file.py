"""Server logs in METERD_HOME/logs: a new file at each start and when one is full; few are kept."""

import os
import shutil
from pathlib import Path

from daemon.embedded.home import private_folder
from daemon.logging.logs import FILE_BYTES_MAX, mask_credentials

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
        self._move_aside(0)
        return os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)

    def bound(self) -> None:
        """Empty the log if it is full, its end being kept as the newest of the older ones.

        The server writes on at its beginning: it knows of nothing. What it writes between the copy
        and the cut is lost.
        """
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return
        if size <= FILE_BYTES_MAX:
            return
        self._move_aside(1)
        descriptor = os.open(self._numbered(1), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with self.path.open("rb") as full, os.fdopen(descriptor, "wb") as kept:
            full.seek(-FILE_BYTES_MAX, os.SEEK_END)
            shutil.copyfileobj(full, kept)
        os.truncate(self.path, 0)

    def _move_aside(self, first: int) -> None:
        """Give each log from this number on the next number; the last one goes."""
        for number in range(_KEPT, first, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))

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
