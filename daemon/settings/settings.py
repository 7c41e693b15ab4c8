"""Settings: defaults, under `config.yaml`, under the environment.

`config.yaml` in the project root describes every setting, with its unit.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from daemon.errors import ConfigFileError, SettingsError
from daemon.settings.config_file import read_config_file, setting_lines
from daemon.settings.fingerprint import config_path as find_config
from daemon.settings.home import choose_home
from daemon.settings.legacy import LegacySettings  # migration seam
from daemon.settings.types import (
    MS_MAX,
    Count,
    Decimal6,
    Label,
    Lowercase,
    Milliseconds,
    OptionalPort,
    OptionalText,
    Origins,
    PartitionCount,
    PositiveMilliseconds,
    PostgresUrl,
    RedisUrl,
    RedisUrlList,
    Secret,
    Section,
    Warnings,
    at_least,
    between,
)
from meterd.rules.model import FreeScope, IncrementDue

__all__ = ["RENAMED", "LoadedSettings", "Settings", "SettingsError", "load_all", "load_settings"]

_PREFIX = "METERD_"
_NOT_SETTINGS = ("METERD_HOME", "METERD_CONFIG")
_OTHERS = ("METERD_TEST_", "METERD_LOAD_")  # of the tests and the load tests
_DAY_MS = 86_400_000
_SECRETS = {"url", "urls", "jwt_secret"}

RENAMED = {
    ("queue", "handled_keep_ms"): "queue.processed_retention_ms",
    ("actors", "spares"): "actors.warm_pool_size",
    ("actors", "answer_timeout_ms"): "actors.call_timeout_ms",
}
"""Settings of earlier versions and their present names."""


class RedisSettings(Section):
    """The queue's server, or several that share the partitions; without a URL, an embedded one."""

    url: RedisUrl = None
    urls: RedisUrlList = ()
    socket_timeout_ms: PositiveMilliseconds = 5000
    connect_timeout_ms: PositiveMilliseconds = 2000

    @property
    def all_urls(self) -> tuple[str, ...]:
        """Those of all servers in their order; empty where meterd starts its own."""
        return self.urls or ((self.url,) if self.url else ())


class PostgresSettings(Section):
    """The records' server; without a URL, an embedded one."""

    url: PostgresUrl = None
    pool_size: Count = between(2, 1, 1000)


class HttpSettings(Section):
    """The gateway: where it listens, which tokens are valid, and its limits."""

    enabled: bool = True
    environment: Label = ""
    host: str = "127.0.0.1"
    port: OptionalPort = None
    jwt_secret: Secret = None
    jwks_file: OptionalText = None
    metrics_open: bool = False
    audience: str = "meterd"
    cors_origins: Origins = ()
    requests_per_s: Count = at_least(200, 1)
    requests_burst: Count = at_least(400, 1)
    streams_max: Count = at_least(10_000, 1)
    streams_per_caller_max: Count = at_least(50, 1)
    stream_messages_max: Count = at_least(256, 1)
    # The clock takes a silence of 40 s for a dead connection.
    keep_alive_ms: Count = between(15_000, 1, 30_000)
    reply_timeout_ms: PositiveMilliseconds = 10_000


class RaySettings(Section):
    """The Ray cluster to join; without an address, one of its own on this machine."""

    address: OptionalText = None
    spread: bool = False
    start_timeout_ms: Count = between(60_000, 1_000, MS_MAX)


class ActorsSettings(Section):
    """How many chat actors (processes) there are, and how many chats share one."""

    max: Count = between(4, 1, 1000)
    chats_per_actor: Count = at_least(25_000, 1)
    warm_pool_size: Count = between(1, 0, 100)
    call_timeout_ms: PositiveMilliseconds = 10_000
    start_timeout_ms: PositiveMilliseconds = 60_000


class CreditsSettings(Section):
    """What happens as an account runs out."""

    at_zero: Literal["end", "suspend"] = "end"
    grace_ms: Milliseconds = 120_000
    warn_ms: Warnings = (300_000, 60_000, 30_000)
    open_chats_max: Count = at_least(100, 1)


class TariffSettings(Section):
    """The tariff of a chat whose `start` names none; `rate` is credits a minute."""

    rate: Decimal6 = "1"
    free_ms: Milliseconds = 0
    free_scope: FreeScope = "chat"
    min_ms: Milliseconds = 0
    increment_ms: PositiveMilliseconds = 1
    increment_due: IncrementDue = "begin"
    idle_ms: Milliseconds = 0
    abandon_ms: Milliseconds = 0
    max_ms: Milliseconds = 0


class QueueSettings(Section):
    """Batches, and how long and how much is kept in Redis."""

    batch_max: Count = at_least(1000, 1)
    block_ms: PositiveMilliseconds = 1000
    in_flight_batches_max: Count = at_least(4, 1)
    reply_entries_max: Count = at_least(10_000, 1)
    reply_streams_max: Count = at_least(50_000, 1)
    reply_ttl_ms: PositiveMilliseconds = 3_600_000
    event_entries_max: Count = at_least(100_000, 1)
    dead_entries_max: Count = at_least(100_000, 1)
    # Room for the largest entry there may be, with the reason beside it.
    dead_bytes_max: Count = at_least(64 * 2**20, 65_536)
    # The contract promises the first outcome again for at least 24 hours.
    id_ttl_ms: Count = between(90_000_000, _DAY_MS, MS_MAX)
    # And for 30 days where credits come or go.
    credit_id_ttl_ms: Count = between(2_595_600_000, 30 * _DAY_MS, MS_MAX)
    ended_ttl_ms: PositiveMilliseconds = _DAY_MS
    processed_retention_ms: Milliseconds = 600_000


class RecorderSettings(Section):
    """How changes are moved to Postgres."""

    batch_max: Count = at_least(1000, 1)
    retry_ms_max: PositiveMilliseconds = 5000
    outbox_entries_max: Count = at_least(1_000_000, 1)


class SupervisorSettings(Section):
    """How the supervisor keeps its place and how long it may take to stop."""

    lease_ms: PositiveMilliseconds = 2000
    balance_after_ms: Milliseconds = 30_000
    stop_timeout_ms: PositiveMilliseconds = 8000


class ClockSettings(Section):
    """When the queue's clock counts as having stepped."""

    step_ms_max: PositiveMilliseconds = 5000


class LogSettings(Section):
    """How much is logged, and in which form."""

    level: Lowercase[Literal["debug", "info", "warning", "error", "critical"]] = "info"
    format: Lowercase[Literal["auto", "json", "console"]] = "auto"


class Settings(BaseSettings):
    """All settings of a daemon, checked; unchangeable once made. `home` is absolute."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    partitions: PartitionCount = 1
    redis: RedisSettings = RedisSettings()
    postgres: PostgresSettings = PostgresSettings()
    http: HttpSettings = HttpSettings()
    ray: RaySettings = RaySettings()
    actors: ActorsSettings = ActorsSettings()
    credits: CreditsSettings = CreditsSettings()
    tariff: TariffSettings = TariffSettings()
    queue: QueueSettings = QueueSettings()
    recorder: RecorderSettings = RecorderSettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    clock: ClockSettings = ClockSettings()
    legacy: LegacySettings = LegacySettings()  # migration seam
    log: LogSettings = LogSettings()
    home: Path = Path(".meterd")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` hands over: it knows each value's place, for the errors."""
        return (init_settings,)

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        if self.redis.url and self.redis.urls:
            raise ValueError("redis.url and redis.urls are both set: set one of them")
        if len(self.redis.urls) > self.partitions:
            raise ValueError(
                f"redis.urls names {len(self.redis.urls)} servers for {self.partitions} partitions:"
                " name at most one for each, or set partitions"
            )
        block_ms, timeout_ms = self.queue.block_ms, self.redis.socket_timeout_ms
        if block_ms >= timeout_ms:
            raise ValueError(
                f"queue.block_ms ({block_ms}) must be below redis.socket_timeout_ms ({timeout_ms}):"
                " else every quiet moment looks like a lost connection"
            )
        if timeout_ms >= self.actors.call_timeout_ms:
            raise ValueError(
                f"redis.socket_timeout_ms ({timeout_ms}) must be below actors.call_timeout_ms"
                f" ({self.actors.call_timeout_ms}): else an actor that waits for Redis looks hung"
            )
        return self


class _Value(NamedTuple):
    value: object
    place: str
    """Where it stands, as errors name it."""
    source: str
    """Where it stands, in short."""


_Layer = dict[tuple[str, ...], _Value]


class LoadedSettings(NamedTuple):
    """The settings, and where each that is set comes from."""

    settings: Settings
    sources: Mapping[tuple[str, ...], str]
    """`file:line` or the variable's name by (section, key); a default has no entry."""
    home_source: str


def load_settings(
    config_path: Path | None = None, env: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings: defaults, over them the file, over it the environment.

    The file is `config_path`, else the one METERD_CONFIG names, else ./config.yaml if there
    is one. `env` replaces the process's environment. Raises SettingsError, which names
    every wrong or unknown setting with its place and never shows a credential.
    """
    return load_all(config_path, env).settings


def load_all(
    config_path: Path | None = None, env: Mapping[str, str] | None = None
) -> LoadedSettings:
    """The same, with the source of every setting."""
    variables = dict(os.environ if env is None else env)
    values = {**_file_layer(find_config(config_path, variables)), **_environment_layer(variables)}
    unknown = [_unknown(path, value) for path, value in values.items() if path not in _KNOWN]
    home = choose_home(variables)
    try:
        settings = Settings(**_nested(values), home=home.path)
    except ValidationError as error:
        wrong = [_problem(detail, values) for detail in error.errors(include_url=False)]
        raise SettingsError("\n".join(unknown + wrong)) from None
    if unknown:
        raise SettingsError("\n".join(unknown))
    sources = {path: value.source for path, value in values.items()}
    return LoadedSettings(settings, sources, home.source)


def _known() -> Iterator[tuple[str, ...]]:
    for name, field in Settings.model_fields.items():
        keys = getattr(field.annotation, "model_fields", None)
        if keys is not None:
            yield from ((name, key) for key in keys)
        elif name != "home":  # a variable only: it is known before any file is
            yield (name,)


_KNOWN = tuple(_known())


def _file_layer(path: Path | None) -> _Layer:
    if path is None:
        return {}
    try:
        found, lines = read_config_file(path), setting_lines(path)
    except ConfigFileError as error:
        raise SettingsError(str(error)) from None
    return {
        key: _Value(value, f"{path}: {'.'.join(key)}", f"{path}:{lines.get(key, 1)}")
        for key, value in found.items()
    }


def _environment_layer(variables: Mapping[str, str]) -> _Layer:
    return {
        tuple(name.removeprefix(_PREFIX).lower().split("__")): _Value(
            text, f"environment {name}", name
        )
        for name, text in sorted(variables.items())
        if name.startswith(_PREFIX) and name not in _NOT_SETTINGS and not name.startswith(_OTHERS)
    }


def _nested(values: _Layer) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path in _KNOWN:
        if path in values:
            *section, key = path
            place = nested.setdefault(section[0], {}) if section else nested
            place[key] = values[path].value
    return nested


def _unknown(path: tuple[str, ...], value: _Value) -> str:
    if path in RENAMED:
        return f"{value.place}: renamed to {RENAMED[path]}"
    known = [".".join(names) for names in _KNOWN]
    close = difflib.get_close_matches(".".join(path), known, n=1)
    return f"{value.place}: unknown setting" + (f" (did you mean {close[0]}?)" if close else "")


def _problem(detail: ErrorDetails, values: _Layer) -> str:
    message = detail["msg"].removeprefix("Input ").removeprefix("Value error, ")
    value = values.get(tuple(str(part) for part in detail["loc"][:2]))
    if value is None:
        return f"settings: {message}"
    is_secret = not _SECRETS.isdisjoint(detail["loc"])
    return f"{value.place}: {message}" + ("" if is_secret else f", got {_shown(value.value)}")


def _shown(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"  # noqa: PLR2004 - enough to recognise
