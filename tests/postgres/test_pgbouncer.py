"""PgBouncer as Debian ships it, with transaction pooling: everything works through it."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError

from loadtests.common.timeouts import scaled
from loadtests.common.watchdog import end_with_us, remove_with_us
from persistence.errors import PostgresURLError
from persistence.postgres.engine import make_engine, server_message
from tests.servers import free_port

PGBOUNCER = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(
        not Path(PGBOUNCER).exists() and not os.environ.get("METERD_TEST_REQUIRE_PGBOUNCER"),
        reason="pgbouncer is not installed",
    ),
]


@contextlib.contextmanager
def pgbouncer(postgres_url: str) -> Iterator[str]:
    """A URL of the same database through a pooler, each transaction on any of two connections."""
    target, port = make_url(postgres_url), free_port()
    folder = Path(tempfile.mkdtemp(prefix="meterd-pgbouncer-", dir="/tmp"))
    remove_with_us(folder)
    host = target.query.get("host", target.host)
    name, user = target.database, target.username
    (folder / "users.txt").write_text(f'"{user}" "{target.password or ""}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{name} = host={host} port={target.port or 5432} dbname={name}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {folder}/users.txt\n"
        "pool_mode = transaction\ndefault_pool_size = 2\n"
    )
    command = [PGBOUNCER, str(folder / "pgbouncer.ini")]
    if os.getuid() == 0:  # it refuses root
        nobody = pwd.getpwnam("nobody")
        for path in (folder, *folder.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        command[1:1] = ["-u", "nobody"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    end_with_us(process.pid)
    try:
        url = target._replace(host="127.0.0.1", port=port).difference_update_query(["host"])
        yield _answering(url.render_as_string(hide_password=False), process, folder / "log")
    finally:
        process.terminate()
        process.wait(timeout=scaled(20))
        shutil.rmtree(folder, ignore_errors=True)


def _answering(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + scaled(20)
    while True:
        engine = make_engine(url)
        try:
            with engine.connect():
                return url
        except OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        finally:
            engine.dispose()


@pytest.fixture
def pooled_url(engine: Engine) -> Iterator[str]:
    """A URL that leads through PgBouncer."""
    with pgbouncer(engine.url.render_as_string(hide_password=False)) as url:
        yield url


def test_each_transaction_has_the_settings_that_a_session_would_have(pooled_url: str) -> None:
    """The time zone, the limits, and what the URL gives; and no later client inherits them."""
    url = f"{pooled_url}?options=-c%20search_path%3Dpublic%2Cpg_catalog"
    engine = make_engine(url, statement_timeout_ms=300, idle_in_transaction_ms=9_000)
    for _ in range(3):
        with engine.connect() as connection:
            assert connection.scalar(text("SHOW timezone")) == "UTC"
            assert connection.scalar(text("SHOW search_path")) == "public,pg_catalog"
            assert connection.scalar(text("SHOW statement_timeout")) == "300ms"
            with pytest.raises(DBAPIError, match="statement timeout"):
                connection.execute(text("SELECT pg_sleep(5)"))
    plain = make_engine(pooled_url)
    with plain.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "0"
        assert connection.scalar(text("SHOW timezone")) == "UTC"
    engine.dispose()
    plain.dispose()


def test_options_that_can_not_be_set_so_are_named(pooled_url: str) -> None:
    """Nothing is left out in silence."""
    engine = make_engine(f"{pooled_url}?options=-e")
    with pytest.raises(PostgresURLError, match="options"), engine.connect():
        pass


def test_several_hosts_lead_to_the_one_that_takes_writes(server_url: str) -> None:
    """Those before it refuse, or are not there."""
    parts = urlsplit(server_url)
    login, _, address = parts.netloc.rpartition("@")
    hosts = f"127.0.0.1:{free_port()},{address}"
    engine = make_engine(parts._replace(netloc=f"{login}@{hosts}").geturl())
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW transaction_read_only")) == "off"
    engine.dispose()


def test_a_message_is_what_the_server_says(server_url: str) -> None:
    """Its first line alone, without the statement and its parameters."""
    engine = make_engine(server_url)
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text("SELECT 1 / :n"), {"n": 0})
    assert server_message(caught.value) == "DivisionByZero: division by zero"
    with engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises(DBAPIError) as caught:
            connection.execute(text("CREATE TABLE nothing ()"))
    said = server_message(caught.value)
    assert said == "ReadOnlySqlTransaction: cannot execute CREATE TABLE in a read-only transaction"
    engine.dispose()
