"""Where settings come from, and what is said about wrong ones."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from daemon.errors import SettingsError
from daemon.settings.derived import policy_id
from daemon.settings.settings import Settings, load_all, load_settings
from meterd.rules.model import Policy, Tariff
from persistence.redis.commit import read_policy
from tests.daemon.setting_files import complaint, with_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_file_in_the_project_equals_the_defaults() -> None:
    """Whoever copies it changes nothing."""
    assert load_settings(ROOT / "config.yaml", env={}) == load_settings(env={})


def test_the_file_in_the_project_mentions_every_setting() -> None:
    """And nothing else."""
    content = yaml.safe_load((ROOT / "config.yaml").read_text())
    defaults = Settings().model_dump(mode="json", exclude={"home"})
    assert _names(content) == _names(defaults)


def _names(document: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, *key)
        for name, keys in document.items()
        for key in (((one,) for one in keys) if isinstance(keys, dict) else [()])
    ]


@pytest.mark.parametrize("partitions", [0, -1, 3, 6, 512, "many", True, 1.5])
def test_partitions_are_a_power_of_two_up_to_256(partitions: object) -> None:
    """The setting stands in no section; an error names it, its source and what it has to be."""
    assert with_file("", METERD_PARTITIONS="4").partitions == 4
    Path("config.yaml").write_text("\n\npartitions: 16\n")
    loaded = load_all(env={})
    assert loaded.settings.partitions == 16
    assert loaded.sources["partitions",] == "config.yaml:3"
    told = complaint(f"partitions: {json.dumps(partitions)}\n")
    assert told.startswith("config.yaml: partitions: should be")
    assert complaint("", METERD_PARTITIONS=str(partitions)).startswith(
        "environment METERD_PARTITIONS: should be"
    )


def test_the_environment_goes_before_the_file_before_the_defaults() -> None:
    """Key by key."""
    settings = with_file("actors: {max: 7, warm_pool_size: 3}\n", METERD_ACTORS__MAX="9")
    assert (
        settings.actors.max,
        settings.actors.warm_pool_size,
        settings.actors.chats_per_actor,
    ) == (
        9,
        3,
        25_000,
    )


def test_the_file_is_the_argument_else_the_variable_else_the_usual_one(folder: Path) -> None:
    """In this order."""
    for name in ("config", "named", "argument"):
        (folder / f"{name}.yaml").write_text(f"http: {{host: {name}}}")
    env = {"METERD_CONFIG": "named.yaml"}
    assert load_settings(Path("argument.yaml"), env).http.host == "argument"
    assert load_settings(env=env).http.host == "named"
    assert load_settings(env={}).http.host == "config"


@pytest.mark.parametrize("env", [{"METERD_CONFIG": "gone.yaml"}, {}])
def test_a_named_file_must_be_there(env: dict[str, str]) -> None:
    """Only the usual one may be missing."""
    with pytest.raises(SettingsError, match=r"gone\.yaml: there is no such file"):
        load_settings(None if env else Path("gone.yaml"), env)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `env`."""
    monkeypatch.setenv("METERD_HTTP__PORT", "9999")
    assert load_settings().http.port == 9999


def test_home_is_a_variable_and_absolute(folder: Path) -> None:
    """A later change of directory moves nothing."""
    assert load_settings(env={"METERD_HOME": "data"}).home == folder / "data"
    assert "home: unknown setting" in complaint("home: data")


def test_without_the_variable_home_does_not_depend_on_the_folder(folder: Path) -> None:
    """The XDG state folder; a relative XDG_STATE_HOME is none, as its specification says."""
    usual = Path("/home/u/.local/state/meterd")
    assert load_settings(env={"HOME": "/home/u"}).home == usual
    assert load_settings(env={"HOME": "/home/u", "XDG_STATE_HOME": "rel"}).home == usual
    assert load_settings(env={"XDG_STATE_HOME": "/s"}).home == Path("/s/meterd")
    (folder / ".meterd").mkdir()
    assert load_settings(env={"XDG_STATE_HOME": "/s"}).home == folder / ".meterd"


def test_in_a_checkout_home_is_in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """With or without make, and before it has been made."""
    monkeypatch.chdir(ROOT)
    assert load_all(env={}).home_source in ("a checkout of meterd", "./.meterd exists")
    assert load_settings(env={"XDG_STATE_HOME": "/s"}).home == ROOT / ".meterd"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("queue", "handled_keep_ms"), "queue.processed_retention_ms"),
        (("actors", "spares"), "actors.warm_pool_size"),
        (("actors", "answer_timeout_ms"), "actors.call_timeout_ms"),
    ],
)
def test_an_old_name_is_refused_with_the_new_one(old: tuple[str, str], new: str) -> None:
    """In the file and in the environment; the new name is a setting."""
    section, key = old
    variable = f"METERD_{section}__{key}".upper()
    assert f"config.yaml: {section}.{key}: renamed to {new}" in complaint(
        f"{section}: {{{key}: 1}}"
    )
    assert f"environment {variable}: renamed to {new}" in complaint(**{variable: "1"})
    assert tuple(new.split(".")) in _names(Settings().model_dump(mode="json"))


def test_every_setting_that_is_set_has_its_source() -> None:
    """The file with the line, or the variable; a default has none."""
    Path("config.yaml").write_text("actors:\n  max: 7\n\nlog: {level: debug}\n")
    loaded = load_all(env={"METERD_LOG__LEVEL": "error", "METERD_HOME": "/h"})
    assert loaded.sources == {
        ("actors", "max"): "config.yaml:2",
        ("log", "level"): "METERD_LOG__LEVEL",
    }
    assert loaded.home_source == "METERD_HOME"


def test_settings_cannot_be_changed() -> None:
    """Neither sections nor values."""
    settings = load_settings(env={})
    with pytest.raises(ValidationError):
        settings.actors.max = 5
    with pytest.raises(ValidationError):
        settings.home = Path()


@pytest.mark.parametrize("text", ["60000,300000", "[300000, 60000]", " 300000 , 60000 "])
def test_warnings_from_the_environment(text: str) -> None:
    """Commas or JSON; kept in descending order."""
    assert with_file("", METERD_CREDITS__WARN_MS=text).credits.warn_ms == (300_000, 60_000)


def test_no_warnings() -> None:
    """An empty list in either place."""
    assert with_file("", METERD_CREDITS__WARN_MS="").credits.warn_ms == ()
    assert with_file("credits: {warn_ms: []}").credits.warn_ms == ()


@pytest.mark.parametrize(
    "text", ["0", "5,5", "[1", "x", "1,,2", ",".join(map(str, range(1, 18))), '{"a":1}']
)
def test_impossible_warnings(text: str) -> None:
    """Zero, twice, too many, no numbers."""
    assert "environment METERD_CREDITS__WARN_MS: " in complaint(METERD_CREDITS__WARN_MS=text)


@pytest.mark.parametrize(
    ("yaml_text", "rate"),
    [
        ("0.1", "0.1"),
        ("2", "2"),
        ('"2.50"', "2.50"),
        ("1.0", "1"),
        ("0", "0"),
        ("123456789.123456", "123456789.123456"),
    ],
)
def test_rates(yaml_text: str, rate: str) -> None:
    """Text and numbers, never a binary fraction."""
    assert with_file(f"tariff: {{rate: {yaml_text}}}").tariff.rate == rate


@pytest.mark.parametrize(
    "yaml_text", ["-1", "1e3", "0.1234567", "1234567890", ".inf", "true", '"1."', '"٣"', "null"]
)
def test_impossible_rates(yaml_text: str) -> None:
    """Signs, exponents, too many digits, other alphabets."""
    assert "config.yaml: tariff.rate: should be up to 9 digits" in complaint(
        f"tariff: {{rate: {yaml_text}}}"
    )


def test_every_wrong_setting_is_named_at_once_with_its_place() -> None:
    """One run shows all there is to fix."""
    text = complaint(
        "actors: {maximum: 3, warm_pool_size: -1}\nqueu: {batch_max: 1}\nlog: loud\n",
        METERD_ACTORS__MAX="many",
        METERD_FOO__BAR="1",
        METERD_REDIS="x",
    )
    assert "config.yaml: actors.maximum: unknown setting (did you mean actors.max?)" in text
    assert "actors.warm_pool_size: should be greater than or equal to 0, got -1" in text
    assert "config.yaml: queu.batch_max: unknown setting (did you mean queue.batch_max?)" in text
    assert "config.yaml: log: unknown setting" in text
    assert "environment METERD_ACTORS__MAX: should be a valid integer" in text
    assert 'got "many"' in text
    assert "environment METERD_FOO__BAR: unknown setting" in text
    assert "environment METERD_REDIS: unknown setting" in text


def test_variables_for_tests_are_left_alone() -> None:
    """And those that are not ours."""
    assert (
        with_file("", METERD_TEST_REDIS="1", METERD_LOAD_CHATS="1", METERD="1", PATH="/").actors.max
        == 4
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("actors: {max: 0}", "actors.max"),
        ("actors: {max: 1001}", "actors.max"),
        ("actors: {max: true}", "actors.max"),
        ("actors: {max: 1.5}", "actors.max"),
        ("actors: {max: null}", "actors.max"),
        ("actors: {chats_per_actor: 0}", "actors.chats_per_actor"),
        ("queue: {id_ttl_ms: 86399999}", "queue.id_ttl_ms"),
        ("credits: {at_zero: stop}", "credits.at_zero"),
        ("credits: {grace_ms: 1000000000000}", "credits.grace_ms"),
        ("tariff: {increment_ms: 0}", "tariff.increment_ms"),
        ("http: {cors_origins: [a.b]}", "http.cors_origins"),
        ("http: {keep_alive_ms: 60000}", "http.keep_alive_ms"),
        ("http: {port: 65536}", "http.port"),
        ("log: {level: loud}", "log.level"),
    ],
)
def test_impossible_values(text: str, place: str) -> None:
    """Bounds are part of the setting."""
    assert f"config.yaml: {place}: should be" in complaint(text)


@pytest.mark.parametrize("url", ["http://me:hunter2@h/x", "me:hunter2@h", "[hunter2, 1]"])
@pytest.mark.parametrize("section", ["redis", "postgres"])
def test_urls_never_stand_in_messages(section: str, url: str) -> None:
    """They may hold a password."""
    text = complaint(f"{section}: {{url: {url}}}")
    assert f"config.yaml: {section}.url: should be" in text
    assert "hunter2" not in text


def test_a_short_secret_is_refused_and_never_stands_in_messages() -> None:
    """It may be the beginning of the right one."""
    text = complaint("http: {jwt_secret: hunter2}")
    assert "config.yaml: http.jwt_secret: should have at least 32 bytes" in text
    assert "hunter2" not in text


def test_an_empty_url_is_none() -> None:
    """As compose files write it."""
    assert with_file("", METERD_REDIS__URL="", METERD_POSTGRES__URL="").redis.url is None


def test_levels_in_capitals() -> None:
    """As other programs write them."""
    assert with_file("", METERD_LOG__LEVEL="INFO").log.level == "info"


def test_a_read_must_be_shorter_than_the_timeout() -> None:
    """Both settings are named."""
    text = complaint("queue: {block_ms: 5000}")
    assert "queue.block_ms (5000) must be below redis.socket_timeout_ms (5000)" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("actors:\n  max: [1\n", "is not valid YAML in line 3"),
        ("actors:\n  max: 1\n  max: 2\n", "max: is given twice (the second time in line 3)"),
        (
            "actors: {max: 1}\nactors: {max: 1}\n",
            "actors: is given twice (the second time in line 2)",
        ),
        ("actors:\n  max: 010\n", "line 2: write 010 as a plain whole number"),
        ("- 1\n", "should hold sections"),
        ("a: 2026-99-99\n", "config.yaml: "),
    ],
)
def test_bad_files_are_named_with_the_line(text: str, message: str) -> None:
    """Also what YAML itself would let pass."""
    assert f"config.yaml: {message.removeprefix('config.yaml: ')}" in complaint(text)


def test_an_empty_file_and_empty_sections_are_the_defaults() -> None:
    """All lines may be commented out."""
    assert with_file("") == with_file("redis:\nactors:\n") == load_settings(env={})


def test_the_id_of_a_policy_stays() -> None:
    """The journal names policies by it: the same settings under the same rules have the same id."""
    assert policy_id(Policy()) == "4a4da90fcd521e5a"


def test_a_policy_of_version_0_1_goes_by_the_rules_of_that_version() -> None:
    """Its document names neither the limit of open chats nor the version of the rules."""
    tariff = {"rate": 7, "free_ms": 1, "min_ms": 2, "increment_ms": 3, "idle_ms": 4}
    stored = {"tariff": tariff, "at_zero": "end", "grace_ms": 5, "warn_ms": [6]}
    assert read_policy(stored) == Policy(
        tariff=Tariff(rate_micro=7, free_ms=1, min_ms=2, increment_ms=3, idle_ms=4),
        grace_ms=5,
        warn_ms=(6,),
        open_chats_max=0,
        rules_version=1,
    )


@pytest.mark.parametrize("name", ["", "production", "eu-1/staging", "x" * 32])
def test_an_environment_is_a_short_name(name: str) -> None:
    """Pages show it in one line."""
    assert with_file("", METERD_HTTP__ENVIRONMENT=name).http.environment == name


@pytest.mark.parametrize("name", ["x" * 33, "two words", "<b>", "é", "a\n"])
def test_what_is_no_name_of_an_environment_is_refused(name: str) -> None:
    assert "METERD_HTTP__ENVIRONMENT: should be up to 32 of" in complaint(
        METERD_HTTP__ENVIRONMENT=name
    )
