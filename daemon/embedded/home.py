"""METERD_HOME: private files and folders, and the lock that keeps a second daemon out."""

import fcntl
import os
import stat
from pathlib import Path

from daemon.embedded.errors import HomeError, HomeInUseError

__all__ = ["HomeLock", "make_home", "private_folder", "write_private"]


def make_home(home: Path) -> None:
    """Make METERD_HOME, for its owner alone, if it is not there.

    A folder that is there keeps its permissions. Raises HomeError if it can't be used, or if
    somebody else may have put something into it.
    """
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        private_folder(home)
    except OSError as error:
        raise HomeError(f"can't make METERD_HOME {home}: {error.strerror}") from None
    _check_home(home)


def _check_home(home: Path) -> None:
    if not home.is_dir():
        raise HomeError(f"METERD_HOME {home} is not a folder")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise HomeError(f"METERD_HOME {home} is not ours to write: run as its owner, or move it")
    _check_access(home, home.stat())
    with os.scandir(home) as entries:
        for entry in entries:
            _check_entry(entry)


def _check_entry(entry: os.DirEntry[str]) -> None:
    """Refuse what could lead us to other data: a link, and what somebody else owns or may write."""
    if entry.is_symlink():
        raise HomeError(
            f"{entry.path} is a link, and meterd follows none in METERD_HOME: put there what it"
            " names, or set METERD_HOME to a folder where that is"
        )
    try:
        facts = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # a draft that another command has just given its name
    _check_access(Path(entry.path), facts)


def _check_access(path: Path, facts: os.stat_result) -> None:
    # As root all is ours to read; PostgreSQL's data, and only they, belong to the user it runs as.
    is_ours = facts.st_uid in (0, os.geteuid()) or (os.geteuid() == 0 and _is_postgres(path))
    if not is_ours:
        raise HomeError(
            f"{path} belongs to user {facts.st_uid}, not to user {os.geteuid()} who runs meterd:"
            f" chown it, or run meterd as its owner"
        )
    if facts.st_mode & stat.S_IWOTH:
        raise HomeError(f"{path} can be written by everybody: chmod o-w it first")


def _is_postgres(path: Path) -> bool:
    return path.name in ("postgres", "postgres.new")


def private_folder(path: Path) -> Path:
    """Make a folder with mode 700; one that is there stays as it is."""
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 600, whole or not at all, even if the power fails."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class HomeLock:
    """Held while a daemon runs in a home; the kernel frees it when the process dies."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file: int | None = None

    def take(self) -> None:
        """Take the lock and write our pid into it. Raises HomeInUseError: it is taken."""
        file = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(file, 32, 0).decode().strip()
            os.close(file)
            raise HomeInUseError(self._home, pid) from None
        os.truncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def free(self) -> None:
        """Give the lock back; without effect if it is not held."""
        if self._file is not None:
            # Said, not only closed: a child just being started may have a copy for a moment.
            fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = None
