"""The data folder of the embedded PostgreSQL: made once, whole or not at all."""

import os
import shutil
import subprocess
from pathlib import Path

from daemon.embedded.errors import EmbeddedServerError
from daemon.embedded.home import private_folder, sync_folder
from daemon.embedded.log_file import LogFile
from daemon.embedded.postgres_account import ServerAccount

__all__ = ["OWNER", "make_cluster", "write_access_rules"]

OWNER = "meterd"
_TIMEOUT_S = 120
# Nothing but our password on loopback TCP: no trust, no peers, no replication.
_ACCESS_RULES = "host all all 127.0.0.1/32 scram-sha-256\n"


def make_cluster(
    folder: Path, account: ServerAccount, binaries: Path, password: str, log: LogFile
) -> None:
    """Make a database cluster in `folder`, durable when this returns.

    Raises EmbeddedServerError with the end of the log.
    """
    draft = folder.with_name(folder.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)  # left by a start that was killed
    private_folder(draft)
    _hand_over(draft, account)
    if not _run_initdb(draft, account, binaries, password, log):
        hint = account.named() and (
            f"User {os.geteuid()} has no name in /etc/passwd, which initdb wants: add one, or set"
            " postgres.url. "
        )
        raise EmbeddedServerError(
            f"PostgreSQL couldn't make its data in {draft}. {hint or ''}{log.tail()}"
        )
    draft.rename(folder)
    sync_folder(folder.parent)


def _hand_over(folder: Path, account: ServerAccount) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        account.own(descriptor)
    finally:
        os.close(descriptor)


def _run_initdb(
    draft: Path, account: ServerAccount, binaries: Path, password: str, log: LogFile
) -> bool:
    secret = _password_descriptor(password, account)
    command: list[Path | str] = [
        *account.named(),
        binaries / "initdb",
        f"--pgdata={account.data_path(draft)}",
        f"--username={OWNER}",
        "--auth=scram-sha-256",
        f"--pwfile=/proc/self/fd/{secret}",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    ]
    try:
        return _run(command, draft, account, log, secret)
    finally:
        os.close(secret)


def _run(
    command: list[Path | str], draft: Path, account: ServerAccount, log: LogFile, secret: int
) -> bool:
    with os.fdopen(log.open_new(), "wb") as output:
        try:
            done = subprocess.run(
                command,
                cwd=draft,
                stdout=output,
                stderr=output,
                pass_fds=[secret],
                timeout=_TIMEOUT_S,
                check=False,
                **account.process_options(),
            )
        except (OSError, subprocess.SubprocessError) as error:
            output.write(f"{type(error).__name__}: {error}\n".encode())
            return False
    return done.returncode == 0


def _password_descriptor(password: str, account: ServerAccount) -> int:
    """Hand the password over in memory: it stands in no file and no command line."""
    secret = os.memfd_create("password")
    os.write(secret, f"{password}\n".encode())
    os.fchmod(secret, 0o600)
    account.own(secret)
    return secret


def write_access_rules(folder: Path, account: ServerAccount) -> None:
    """Write pg_hba.conf at every start: meterd decides who may connect."""
    draft = folder / "pg_hba.conf.new"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(_ACCESS_RULES)
        account.own(file.fileno())
    draft.replace(folder / "pg_hba.conf")
