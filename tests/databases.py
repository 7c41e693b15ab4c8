"""One real server for the session, one fresh database for each test."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, make_url, text

from daemon.embedded.home import make_home
from daemon.embedded.postgres import PostgresServer
from loadtests.common.timeouts import scaled
from loadtests.common.watchdog import end_with_us, remove_with_us
from persistence.postgres import migrate
from persistence.postgres.engine import make_engine

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a server on which databases can be made."""
    with a_server() as url:
        yield url


@contextmanager
def a_server() -> Iterator[str]:
    """The server that METERD_TEST_POSTGRES_URL names, or one for as long as it is wanted."""
    given = os.environ.get("METERD_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="meterd-pg-", dir="/tmp"))
    remove_with_us(folder)
    make_home(folder)
    server = PostgresServer(folder)
    server.start()
    end_with_us(int((folder / "postgres" / "postmaster.pid").read_text().split("\n")[0]))
    try:
        yield server.url
    finally:
        server.stop(int(scaled(60) * 1000))
        shutil.rmtree(folder, ignore_errors=True)


def in_database(url: str, name: str) -> str:
    """The same server's other database."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def run(url: str, sql: str) -> None:
    """Run what cannot run in a transaction."""
    engine = make_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(sql))
    engine.dispose()


def fresh(server_url: str, template: str) -> Iterator[str]:
    """A database made like the template, for as long as it is wanted."""
    name = f"meterd_test_{os.getpid()}_{next(_NUMBERS)}"
    run(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield in_database(server_url, name)
    run(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    for url in fresh(server_url, "template0"):
        migrate.upgrade(url)
        yield make_url(url).database or ""


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """A database with nothing in it."""
    yield from fresh(server_url, "template0")


@pytest.fixture
def other_url(server_url: str) -> Iterator[str]:
    """Another one."""
    yield from fresh(server_url, "template0")


@pytest.fixture
def url(server_url: str, template: str) -> Iterator[str]:
    """A database with the schema as the migrations make it."""
    yield from fresh(server_url, template)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = make_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection
