"""Cursors: what was given goes back in whole; anything else is refused as the caller's mistake."""

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.gateway.cursors import (
    pack_cursor,
    page_and_next,
    unpack_cursor,
    unpack_letter,
    unpack_number,
    unpack_place,
)
from daemon.gateway.errors import ProblemError

PARTS = st.integers() | st.text()


def _packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode()


@given(st.lists(PARTS, max_size=4))
def test_a_cursor_gives_back_what_was_put_in(parts: list[str | int]) -> None:
    cursor = pack_cursor(*parts)
    assert cursor.isascii()
    assert unpack_cursor(cursor, *map(type, parts)) == parts


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | PARTS, lambda inner: st.lists(inner, max_size=3)
)


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
@example("")
@example("=")
@example("a")
@example("é")
@example("\ud800")
@example(_packed('[NaN,"a"]'))
@example(_packed('[1e400,"a"]'))
@example(_packed('[true,"a"]'))
@example(_packed("[" * 100_000))
@example(_packed("[" + "9" * 5_000 + ',"a"]'))
@example(_packed('[1,"\ud800"]'))
def test_any_text_is_a_cursor_or_a_problem(text: str) -> None:
    _is_cursor_or_problem(text)


@given(_JSON)
def test_any_json_is_a_cursor_or_a_problem(document: Any) -> None:
    _is_cursor_or_problem(_packed(json.dumps(document)))


def _is_cursor_or_problem(text: str) -> None:
    parts, refused = [0, ""], None
    try:
        parts = unpack_cursor(text, int, str)
    except ProblemError as problem:
        refused = problem.code, [error["field"] for error in problem.more["errors"]]
    assert refused in (None, ("invalid_request", ["after"]))
    assert [type(part) for part in parts] == [int, str]


@pytest.mark.parametrize("types", [(int,), (str, int), (int, str, str), ()])
def test_a_cursor_of_another_list_is_refused(types: tuple[type, ...]) -> None:
    with pytest.raises(ProblemError):
        unpack_cursor(pack_cursor(5, "a"), *types)


@given(st.lists(st.integers(), max_size=20), st.integers(1, 19))
def test_a_page_has_a_next_exactly_if_there_is_more(rows: list[int], limit: int) -> None:
    page, last = page_and_next(rows[: limit + 1], limit)
    assert page == rows[:limit]
    assert last == (page[-1] if len(rows) > limit else None)


IMPOSSIBLE = [(10**30, "a"), (-1, "a"), (10**17, "a"), (0, "\0"), (0, "\ud800")]


@pytest.mark.parametrize("place", IMPOSSIBLE, ids=repr)
def test_a_place_that_no_list_can_have_is_refused(place: tuple[int, str]) -> None:
    """PostgreSQL is not asked for what it can't hold."""
    with pytest.raises(ProblemError):
        unpack_place(pack_cursor(*place))


@pytest.mark.parametrize("number", [-1, 10**9 + 1, 10**30])
def test_a_number_that_no_list_can_have_is_refused(number: int) -> None:
    with pytest.raises(ProblemError):
        unpack_number(pack_cursor(number))


@pytest.mark.parametrize("entry", ["", "-", "0-0", "5", "1-²", f"{2**64}-0", f"1-{2**64}", "+"])
def test_a_letter_that_no_stream_can_have_is_refused(entry: str) -> None:
    with pytest.raises(ProblemError):
        unpack_letter(pack_cursor(entry), 1)
    with pytest.raises(ProblemError):
        unpack_letter(pack_cursor(f"1:{entry}"), 2)


@pytest.mark.parametrize(("name", "partitions"), [("1-1", 2), ("0:1-1", 1), ("2:1-1", 2)])
def test_a_letter_of_another_number_of_partitions_is_refused(name: str, partitions: int) -> None:
    with pytest.raises(ProblemError):
        unpack_letter(pack_cursor(name), partitions)


def test_the_last_of_each_list_can_be_named() -> None:
    assert unpack_place(pack_cursor(0, "é")) == (0, "é")
    assert unpack_number(pack_cursor(0)) == 0
    last = f"{2**64 - 1}-{2**64 - 1}"
    assert unpack_letter(pack_cursor(last), 1) == (0, last)
    assert unpack_letter(pack_cursor(f"255:{last}"), 256) == (255, last)
