"""Connections: every form of URL, limits, and no password in sight."""

import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url, text
from sqlalchemy.exc import DataError, OperationalError

from persistence.errors import PostgresURLError
from persistence.postgres.engine import make_engine, safe_url


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_usual_scheme_connects_with_psycopg2(server_url: str, scheme: str) -> None:
    url = make_url(server_url).set(drivername=scheme).render_as_string(hide_password=False)
    engine = make_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    assert engine.driver == "psycopg2"


@pytest.mark.parametrize(
    "url", ["postgresql://me:pw@/db?host=%2Frun%2Fpg", "postgresql://me:pw@%2Frun%2Fpg/db"]
)
def test_a_unix_socket_is_found_in_the_query_or_in_place_of_the_host(url: str) -> None:
    found = make_engine(url).url
    assert (found.host, found.query["host"], found.database) == (None, "/run/pg", "db")


@pytest.mark.parametrize("login", ["", "me:pw@"])
def test_several_hosts_need_no_login(login: str) -> None:
    """Both hosts are tried, each at its port, with a login or without."""
    engine = make_engine(f"postgresql://{login}a:1,b/db")
    _, options = engine.dialect.create_connect_args(engine.url)
    assert (options["host"], options["port"], options["dbname"]) == ("a,b", "1,", "db")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:s3cret@h/d",
        "postgresql+asyncpg://u:s3cret@h/d",
        "postgresql://u:s3cret@h:port/d",
        "postgresql://u:s3cret@h:99999/d",
        "postgresql://u:s3cret@h:0/d",
        "postgresql://u:s3cret@a:port,b/d",
        "postgresql://u:s3cret@[::1],b/d",
        "postgresql://u:s3cret@h/d?port=x",
        "postgresql://u:s3cret@h/d?s3cret=1",
        "not a url s3cret",
        "",
    ],
)
def test_another_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(PostgresURLError, match="want") as caught:
        make_engine(url)
    assert "s3cret" not in str(caught.value)


_SECRETS = st.text("abcXYZ0189!$&+=@:/ %é", min_size=1).map(lambda s: f"s3cret{s}")


@given(_SECRETS)
def test_a_safe_url_never_shows_a_password(secret: str) -> None:
    url = make_url("postgresql://me@host/db").set(password=secret)
    url = url.update_query_dict({"password": secret, "sslpassword": secret})
    safe = safe_url(url.render_as_string(hide_password=False))
    assert "s3cret" not in safe
    assert safe.startswith("postgresql://me:***@host/db")
    assert "s3cret" not in safe_url(f"nonsense {secret}")
    assert "s3cret" not in repr(make_engine(url.render_as_string(hide_password=False)))


def test_the_server_sees_who_it_is(server_url: str) -> None:
    with make_engine(server_url).connect() as connection:
        assert connection.scalar(text("SHOW application_name")) == "meterd"
        assert connection.scalar(text("SHOW timezone")) == "UTC"
    given = make_url(server_url).update_query_dict({"application_name": "mine"})
    with make_engine(given.render_as_string(hide_password=False)).connect() as connection:
        assert connection.scalar(text("SHOW application_name")) == "mine"


def test_a_statement_that_takes_too_long_is_ended(server_url: str) -> None:
    given = make_url(server_url).update_query_dict({"options": "-c work_mem=1234kB"})
    url = given.render_as_string(hide_password=False)
    with make_engine(url, statement_timeout_ms=50).connect() as connection:
        assert connection.scalar(text("SHOW work_mem")) == "1234kB", "options of the URL are kept"
        with pytest.raises(OperationalError, match="statement timeout"):
            connection.execute(text("SELECT pg_sleep(10)"))


def test_a_connection_that_died_in_the_pool_is_replaced(server_url: str) -> None:
    engine, other = make_engine(server_url), make_engine(server_url)
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    with other.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1


def test_a_server_that_is_silent_costs_five_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = make_engine(f"postgresql://me:s3cret@127.0.0.1:{silent.getsockname()[1]}/db")
        started_s = time.monotonic()
        with pytest.raises(OperationalError, match="timeout expired") as caught:
            engine.connect()
    assert 4 < time.monotonic() - started_s < 8
    assert "s3cret" not in str(caught.value)


def test_parameters_are_not_in_errors(server_url: str) -> None:
    query = text("SELECT 1 / (:secret - 77777)")
    with (
        make_engine(server_url).connect() as connection,
        pytest.raises(DataError, match="hidden") as caught,
    ):
        connection.execute(query, {"secret": 77777})
    assert "{'secret'" not in str(caught.value)
