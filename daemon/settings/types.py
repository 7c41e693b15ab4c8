"""The kinds of value a setting may have, with what is accepted for each."""

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from daemon.logging.masking import mask_credentials
from meterd.cluster_url import CLUSTER_SCHEMES, is_cluster
from meterd.rules.partitions import PARTITIONS_MAX, is_partitions
from meterd.sentinel_url import SENTINEL_SCHEMES

__all__ = [
    "MS_MAX",
    "Count",
    "Decimal6",
    "Label",
    "Lowercase",
    "Milliseconds",
    "OptionalPort",
    "OptionalText",
    "Origins",
    "PartitionCount",
    "PositiveMilliseconds",
    "PostgresUrl",
    "RedisUrl",
    "RedisUrlList",
    "Secret",
    "Section",
    "Warnings",
    "at_least",
    "between",
]

MS_MAX = 999_999_999_999
_COUNT_MAX = 1_000_000_000
_WARNINGS_MAX = 16
_SECRET_BYTES_MIN = 32  # as many as HS256 has: RFC 7518, 3.2
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")
_URL_COMMA = re.compile(r"\s*,\s*(?=[a-z+]+://)")
_LABEL = re.compile(r"[A-Za-z0-9_.:@/+=-]{0,32}")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")


class Section(BaseModel):
    """A section of the settings: unchangeable, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def between(default: int, least: int, most: int) -> Any:
    """Make a whole-number field with a default and inclusive bounds."""
    return Field(default=default, ge=least, le=most, validate_default=True)


def at_least(default: int, least: int) -> Any:
    """Make a whole-number field with a default and a lower bound."""
    return between(default, least, _COUNT_MAX)


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("should be a number")
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


def _decimal_text(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = str(value) if is_number or isinstance(value, str) else ""
    if isinstance(value, float):
        text = text.removesuffix(".0")
    if not _DECIMAL.fullmatch(text):
        raise ValueError("should be up to 9 digits, then optionally a point and up to 6 digits")
    return text


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError("should be up to 32 of A-Z a-z 0-9 _ . : @ / + = -")
    return value


def _split(value: object) -> object:
    if not isinstance(value, str):
        return [value] if isinstance(value, int) else value
    if value.strip().startswith("["):
        return _json_list(value, "milliseconds")
    return [part.strip() for part in value.split(",")] if value.strip() else []


def _json_list(text: str, of: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"should be a list of {of}") from None


def _split_texts(value: object) -> object:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _ORIGIN.fullmatch(value):
            raise ValueError("should be origins, such as https://app.example.com, apart by commas")
    return values


def _long_enough(value: str | None) -> str | None:
    if value is not None and len(value.encode()) < _SECRET_BYTES_MIN:
        raise ValueError(f"should have at least {_SECRET_BYTES_MIN} bytes: openssl rand -hex 32")
    return value


def _descending(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) != len(values):
        raise ValueError("should have no value twice")
    if len(values) > _WARNINGS_MAX:
        raise ValueError(f"should have at most {_WARNINGS_MAX} values")
    return tuple(sorted(values, reverse=True))


def _power_of_two(value: int) -> int:
    if not is_partitions(value):
        raise ValueError(f"should be a power of two, at most {PARTITIONS_MAX}")
    return value


def _url_check(read: Callable[[str], object], *schemes: str) -> AfterValidator:
    def check(value: str | None) -> str | None:
        # The URL may hold a password: it stands in no message.
        if value is None:
            return None
        if not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(
                f"should begin with {' or '.join(f'{scheme}://' for scheme in schemes)}"
            )
        try:
            read(value)
        except ValueError as error:
            raise ValueError(f"should be a URL that can be used: {error}") from None
        return value

    return AfterValidator(check)


def _read_redis(url: str) -> None:
    from persistence.redis.client import check_url  # noqa: PLC0415 - only where a URL is set

    check_url(url)


def _read_postgres(url: str) -> None:
    from persistence.postgres.engine import parse_url  # noqa: PLC0415 - only where a URL is set

    parse_url(url)


def _split_urls(value: object) -> object:
    """A text of several URLs; a comma within one names hosts, not the next URL."""
    if not isinstance(value, str):
        return value
    if value.strip().startswith("["):
        return _json_list(value, "URLs")
    return [part for part in _URL_COMMA.split(value.strip()) if part]


def _fit_together(urls: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(urls)) != len(urls):
        raise ValueError("should have no URL twice")
    if len(urls) > 1 and any(map(is_cluster, urls)):
        raise ValueError("should be one URL if it is that of a cluster, which has all partitions")
    return urls


def _no_credentials(value: str | None) -> str | None:
    if value is not None and mask_credentials(value) != value:
        raise ValueError("should hold no password")
    return value


_T = TypeVar("_T")
Lowercase = Annotated[_T, BeforeValidator(_lower)]
OptionalText = Annotated[
    str | None, BeforeValidator(_none_if_empty), AfterValidator(_no_credentials)
]
OptionalPort = Annotated[
    Annotated[int, Field(ge=0, le=65535)] | None,
    BeforeValidator(_none_if_empty),
    BeforeValidator(_no_bool),
]
Secret = Annotated[str | None, BeforeValidator(_none_if_empty), AfterValidator(_long_enough)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_split_texts), AfterValidator(_origins)]
_REDIS_SCHEMES = ("redis", "rediss", "unix", *SENTINEL_SCHEMES, *CLUSTER_SCHEMES)
_redis_check = _url_check(_read_redis, *_REDIS_SCHEMES)
RedisUrl = Annotated[str | None, BeforeValidator(_none_if_empty), _redis_check]
RedisUrlList = Annotated[
    tuple[Annotated[str, _redis_check], ...],
    BeforeValidator(_split_urls),
    AfterValidator(_fit_together),
]
PostgresUrl = Annotated[
    str | None,
    BeforeValidator(_none_if_empty),
    _url_check(_read_postgres, "postgresql", "postgres", "postgresql+psycopg2"),
]
Count = Annotated[int, BeforeValidator(_no_bool)]
PartitionCount = Annotated[int, BeforeValidator(_no_bool), AfterValidator(_power_of_two)]
Milliseconds = Annotated[int, Field(ge=0, le=MS_MAX), BeforeValidator(_no_bool)]
PositiveMilliseconds = Annotated[int, Field(ge=1, le=MS_MAX), BeforeValidator(_no_bool)]
Decimal6 = Annotated[str, BeforeValidator(_decimal_text)]
Label = Annotated[str, AfterValidator(_label)]
Warnings = Annotated[
    tuple[PositiveMilliseconds, ...], BeforeValidator(_split), AfterValidator(_descending)
]
