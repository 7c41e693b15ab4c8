"""URLs in settings: every form that is of use, and what is said about the others."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import SettingsError
from daemon.settings.settings import load_settings
from tests.daemon.setting_files import complaint, with_file


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


A, B = "redis://a:1/0", "redis+sentinel://s:1,t:2/m"


@pytest.mark.parametrize("written", [f"{A},{B}", f" {A} , {B} ", json.dumps([A, B])])
def test_several_redis_are_named_in_their_order(written: str) -> None:
    """A comma within a URL separates hosts; the file has a list."""
    found = with_file("", METERD_PARTITIONS="2", METERD_REDIS__URLS=written).redis
    assert found.all_urls == (A, B)
    assert with_file(f"partitions: 2\nredis: {{urls: ['{A}', '{B}']}}").redis == found
    assert with_file("").redis.all_urls == ()
    assert with_file("", METERD_REDIS__URL=A).redis.all_urls == (A,)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"URL": A, "URLS": B}, "redis.url and redis.urls are both set"),
        ({"URLS": f"{A},{B},redis://me:hunter2@c"}, "names 3 servers for 2 partitions"),
        ({"URLS": f"{A},{A}"}, "no URL twice"),
        ({"URLS": f"{A},http://me:hunter2@c"}, "should begin with redis://"),
        ({"URLS": f"{A},redis+cluster://me:hunter2@c"}, "that of a cluster"),
        ({"URLS": "redis+cluster://me:hunter2@c/1"}, "database 0 only"),
        ({"URL": "redis+cluster://me:hunter2@c:x"}, "host:port"),
        ({"URLS": "[hunter2"}, "list of URLs"),
    ],
)
def test_servers_that_can_not_be_are_named_without_their_passwords(
    variables: dict[str, str], why: str
) -> None:
    env = {f"METERD_REDIS__{name}": value for name, value in variables.items()}
    told = complaint(METERD_PARTITIONS="2", **env)
    assert why in told
    assert "hunter2" not in told


POSTGRES = [
    "postgresql://u:p@h:5432/db",
    "postgres://h",
    "postgresql+psycopg2:///db",
    "postgresql://u:p%40ss%2Fw%C3%A9@h/db?sslmode=require&application_name=mine",
    "postgresql://u:p@a:5432,b,c:5434/db?connect_timeout=3",
    "postgresql://a,b:5433/db?sslmode=require",
    "postgresql://u:p@%2Frun%2Fpg/db",
    "postgresql://u:p@/db?host=%2Frun%2Fpg&port=5433",
    "postgresql://[::1]:5432/db",
    "postgresql://h/db?options=-c%20work_mem%3D1MB&options=-c%20jit%3Doff",
]
REDIS = [
    "redis://h",
    "redis://",
    "redis://u:p%40ss%2Fw%2C@h:6379/5",
    "redis://h:6379/?db=2&socket_timeout=3&client_name=a&health_check_interval=5",
    "redis://h/0?max_connections=50&protocol=3",
    "redis://[::1]:6379/0",
    "rediss://:p@h/0?ssl_cert_reqs=none&ssl_ca_certs=%2Fca.pem",
    "unix:///run/redis.sock?db=1",
    "unix://u:p@/run/a@b.sock",
    "redis+sentinel://u:p%40@a:26379,b/m/0?sentinel_username=s&sentinel_password=q%26",
    "rediss+sentinel://a/m",
    "redis+cluster://u:p%40@a:6379,b",
    "rediss+cluster://[::1]:6379,b/0",
]


@pytest.mark.parametrize(
    ("setting", "url"),
    [*(("POSTGRES__URL", url) for url in POSTGRES), *(("REDIS__URL", url) for url in REDIS)],
)
def test_a_url_of_every_form_is_accepted_as_it_is(setting: str, url: str) -> None:
    """Hosts, sockets, Sentinels, clusters, logins and options that the drivers take."""
    settings = with_file("", **{f"METERD_{setting}": url})
    assert url in (settings.postgres.url, settings.redis.url)
    if setting == "REDIS__URL":
        assert with_file("", METERD_REDIS__URLS=url).redis.urls == (url,)


NO_POSTGRES = [
    "postgresql://u:hunter2@h:port/db",
    "postgresql://u:hunter2@h:99999/db",
    "postgresql://u:hunter2@h:0/db",
    "postgresql://u:hunter2@h:/db",
    "postgresql://u:hunter2@a:port,b/db",
    "postgresql://u:hunter2@a:99999,b/db",
    "postgresql://u:hunter2@[::1/db",
    "postgresql://u:hunter2@[::1],b/db",
    "postgresql://u:hunter2@h/db?port=x",
    "postgresql://u:hunter2@h/db?hunter2=1",
    "postgresql://:hunter2",
]
NO_REDIS = [
    "redis://h:port/0",
    "redis://u:hunter2@h:99999",
    "redis://u:hunter2@a,garbage",
    "redis://u:hunter2@a:1,b:2/0",
    "redis://:hunter2",
    "redis://u:hunter2#2@h/0",
    "redis://u:1#hunter2@h/0",
    "redis://u:1/hunter2@h/0",
    "redis://u:hunter2@h/name",
    "redis://u:hunter2@[::1",
    "redis://u:hunter2@h?db=x",
    "redis://u:hunter2@h?hunter2=1",
    "redis://u:hunter2@h?max_connections=-1",
    "redis://u:hunter2@h?connection_class=1",
    "redis://u:hunter2@h?ssl_cert_reqs=none",
    "rediss://u:hunter2@h?ssl_cert_reqs=hunter2",
    "redis://u:hunter2\u2100@h/0",
    "unix://",
    "redis+sentinel://u:hunter2@h:99999/m",
    "redis+sentinel://u:p/x?hunter2@h/m",
    "redis+sentinel://u/x?hunter2=@h/m",
    "redis+cluster://u:hunter2@h:99999",
    "redis+cluster://u?hunter2=@h",
]


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        *(("POSTGRES__URL", url) for url in NO_POSTGRES),
        *((name, url) for name in ("REDIS__URL", "REDIS__URLS") for url in NO_REDIS),
    ],
)
def test_a_url_that_can_not_be_used_is_named_with_its_place_and_the_fix(
    setting: str, url: str
) -> None:
    """Whatever the driver would refuse later, the settings refuse, and show nothing of it."""
    told = complaint(**{f"METERD_{setting}": url})
    assert f"environment METERD_{setting}: should be a URL that can be used: " in told
    assert "hunter2" not in told
    section, key = setting.lower().split("__")
    assert f"config.yaml: {section}.{key}: should be" in complaint(
        yaml.safe_dump({section: {key: url}})
    )


def test_of_several_redis_a_wrong_one_is_found_wherever_it_stands() -> None:
    """A comma that no scheme follows belongs to the URL before it."""
    for urls in ("redis://a,garbage", "redis://a,redis://b:port", "redis://a:port,redis://b"):
        told = complaint(METERD_PARTITIONS="2", METERD_REDIS__URLS=urls)
        assert "environment METERD_REDIS__URLS: should be a URL that can be used: " in told


@given(
    st.sampled_from(["postgres.url", "redis.url"]),
    st.sampled_from(["", "+sentinel", "+cluster"]),
    st.text("ab01:/?#[]@,&=% é℀", max_size=8),
    st.sampled_from(["h", "h:1/0", "a,b/m"]),
)
def test_no_password_stands_in_a_message_as_it_was_typed(
    setting: str, kind: str, tail: str, rest: str
) -> None:
    """Letters that a URL can't hold as they are move parts of a password to other places."""
    section, key = setting.split(".")
    scheme = "postgresql" if section == "postgres" else f"redis{kind}"
    for password in (f"hunter2{tail}", f"{tail}hunter2", f"{tail}hunter2{tail}"):
        env = {f"METERD_{section}__{key}".upper(): f"{scheme}://me:{password}@{rest}"}
        try:
            load_settings(env=env)
        except SettingsError as error:
            assert "hunter2" not in str(error)  # noqa: PT017 - many are accepted
