"""URLs of Sentinels: what they say is what clients use, and what can't be one is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd.sentinel_url import is_sentinel, parse_sentinel_url

_NAMES = st.text("abcXYZ019.-_", min_size=1, max_size=8).filter(lambda n: not n.startswith("."))
_PORTS = st.integers(1, 65535)


@given(
    st.lists(st.tuples(_NAMES, st.none() | _PORTS), min_size=1, max_size=4),
    _NAMES,
    st.none() | st.integers(0, 15),
)
def test_hosts_service_and_database_are_read(
    hosts: list[tuple[str, int | None]], service: str, database: int | None
) -> None:
    """In their order, with 26379 where no port is named and 0 where no database is."""
    named = ",".join(host if port is None else f"{host}:{port}" for host, port in hosts)
    tail = "" if database is None else f"/{database}"
    url = parse_sentinel_url(f"redis+sentinel://{named}/{service}{tail}")
    assert url.hosts == [(host, port or 26379) for host, port in hosts]
    assert url.service == service
    assert url.options == {"db": database or 0}


def test_logins_of_master_and_sentinels_are_apart() -> None:
    """Each may have one, with letters that a URL can't hold as they are."""
    url = parse_sentinel_url(
        "rediss+sentinel://me:p%40ss@[::1]:1/m/2?sentinel_username=s&sentinel_password=q%26"
    )
    assert url.hosts == [("::1", 1)]
    assert url.options == {"db": 2, "username": "me", "password": "p@ss"}
    assert url.sentinel_options["username"] == "s"
    assert url.sentinel_options["password"] == "q&"
    assert url.sentinel_options["ssl"] is True


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "/m",
        "h:1",
        "h:1/",
        "h:x/m",
        "h:65536/m",
        "h:1,/m",
        ":1/m",
        "h:1/m/x",
        "h:1/m?password=secret",
        "h/m?a",
        "h/m?hunter2",
        "h/m?hunter2=1",
        "[::1/m",
    ],
)
def test_what_can_not_be_one_is_refused_without_its_password(rest: str) -> None:
    """The message names the form that is wanted, and never repeats the URL."""
    url = f"redis+sentinel://me:hunter2@{rest}"
    assert is_sentinel(url)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at below
        parse_sentinel_url(url)
    assert "hunter2" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_other_urls_name_no_sentinels() -> None:
    """They are the library's to read."""
    assert not any(map(is_sentinel, ["redis://h/0", "rediss://h", "unix:///s", "redis+sentinel"]))
