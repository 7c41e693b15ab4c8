"""Between integers and what the database stores, exactly: no float on the way."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Final

from msgspec import Raw

from persistence.errors import UnstorableError

# The last millisecond of the year 9999: Python's dates, with which rows are read, end there.
MOMENT_MS_MAX: Final = 253_402_300_799_999

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# A context of our own: somebody else's decimal.getcontext() may round to fewer digits.
_EXACT = Context(prec=60)
_NUL = "\x00"


def micro_from_credits(amount: Decimal) -> int:
    """Give whole micro-credits."""
    return int(amount.scaleb(6, _EXACT))


def ms_from_datetime(at: datetime) -> int:
    """Give milliseconds since 1970."""
    return (at - _EPOCH) // _MILLISECOND


_INTEGERS: Final[dict[type, Callable[[Any], int]]] = {
    datetime: ms_from_datetime,
    Decimal: micro_from_credits,
}


def datetime_from_ms(at_ms: int) -> datetime:
    """Give the moment so many milliseconds after 1970; see ``check_moments``."""
    return _EPOCH + at_ms * _MILLISECOND


def integers(row: Iterable[Any]) -> Iterator[Any]:
    """Give the row's values, moments as milliseconds and credits as micro-credits."""
    for value in row:
        convert = _INTEGERS.get(type(value))
        yield value if convert is None else convert(value)


def check_moments(moments_ms: Iterable[int | None]) -> None:
    """Refuse what is no moment between 1970 and the end of 9999."""
    for at_ms in moments_ms:
        if at_ms is not None and not 0 <= at_ms <= MOMENT_MS_MAX:
            raise UnstorableError(f"{at_ms} ms is outside the years 1970 to 9999")


def check_texts(texts: Iterable[str | None]) -> None:
    """Refuse NUL characters and halves of surrogate pairs."""
    # One look at the whole column: a look at each of a batch's texts would cost ten times that.
    joined = "".join(filter(None, texts))
    if _NUL in joined:
        raise UnstorableError(f"a NUL character at {_around(joined, joined.index(_NUL))}")
    try:
        joined.encode()
    except UnicodeEncodeError as error:
        place = _around(joined, error.start)
        raise UnstorableError(f"half of a surrogate pair at {place}") from error


def json_text(value: Mapping[str, object]) -> str:
    """Give the JSON text, refusing NUL, which jsonb cannot hold."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # The dump writes NUL as an escape; a backslash somebody typed looks alike, so look closer.
    if "\\u0000" in text and _has_nul(value):
        raise UnstorableError(f"a NUL character in {text}")
    return text


def raw_json_text(raw: Raw) -> str:
    """Give JSON as it came, refusing NUL; no half of a surrogate pair is valid UTF-8.

    Raises:
        UnstorableError: what jsonb cannot hold.
    """
    try:
        text = bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise UnstorableError(f"not UTF-8: {bytes(raw)!r}") from error
    # What may hide NUL or half of a surrogate pair is written again, which finds it.
    return json_text(json.loads(text)) if "\\u" in text else text


def _around(text: str, at: int) -> str:
    return repr(text[max(0, at - 20) : at + 20])


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return _NUL in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list | tuple) and any(map(_has_nul, value))
