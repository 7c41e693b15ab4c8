"""What can't be a command is refused by name and leaves no trace."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.gateway.json_values import value_fault
from loadtests.common.live import LiveDaemon
from meterd import InvalidCommandError
from meterd._fields import flat_fields
from meterd.rules.field_formats import FIELD_FORMATS
from tests.gateway.conftest import Gateway
from tests.shared_daemon import nothing_sent

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


@pytest.fixture
def untouched(gateway: Gateway, live: LiveDaemon) -> Iterator[None]:
    """Nothing reaches the queue meanwhile, so nothing can be set aside."""
    with nothing_sent(live):
        yield


def _posted(gateway: Gateway, body: bytes | str) -> httpx.Response:
    headers = {**gateway.bearer("a-backend", "backend"), "Content-Type": "application/json"}
    return gateway.http.post("/v1/commands", content=body, headers=headers)


PYTHONS_WORDS: Final = re.compile(r"\b(str|int|bool|float|dict|Decimal|NoneType)\b")

NONSENSE: dict[str, tuple[str, str]] = {
    "a float": ('{"type":"top_up","user_id":"u","amount":1.5}', "amount"),
    "a float that is whole": ('{"type":"top_up","user_id":"u","amount":1.0}', "amount"),
    "a truth": ('{"type":"top_up","user_id":"u","amount":true}', "amount"),
    "a list": ('{"type":"top_up","user_id":"u","amount":["1"]}', "amount"),
    "nothing": ('{"type":"top_up","user_id":"u","amount":null}', "amount"),
    "too much": ('{"type":"top_up","user_id":"u","amount":1000000000}', "amount"),
    "far too much": ('{"type":"top_up","user_id":"u","amount":1%s}' % ("0" * 5_000), ""),
    "less than nothing": ('{"type":"top_up","user_id":"u","amount":-1}', "amount"),
    "a time that is no number": ('{"type":"start","chat_id":"c","free_ms":"soon"}', "free_ms"),
    "a float for a time": ('{"type":"start","chat_id":"c","free_ms":1.0}', "free_ms"),
    "a long time": ('{"type":"start","chat_id":"c","free_ms":"%s"}' % ("9" * 5_000), "free_ms"),
    "an unknown field that is a number": ('{"type":"pause","chat_id":"c","a_ms":5}', "a_ms"),
    "a number in an unknown type": ('{"type":"begin","colour":5}', ""),
    "an unknown field": ('{"type":"top_up","user_id":"u","amount":"1","colour":"red"}', "colour"),
    "a field of another type": ('{"type":"pause","chat_id":"c","amount":"1"}', "amount"),
    "a field that is missing": ('{"type":"pause"}', "chat_id"),
    "a field twice": ('{"type":"top_up","user_id":"u","amount":"1","amount":"9"}', "amount"),
    "an adjustment by nothing": ('{"type":"adjust","user_id":"u","amount":"-0"}', "amount"),
    "an adjustment by a float": ('{"type":"adjust","user_id":"u","amount":-1.5}', "amount"),
    "a flag that is none": (
        '{"type":"adjust","user_id":"u","amount":"1","partial":"yes"}', "partial",
    ),
    "a flag that is another number": (
        '{"type":"adjust","user_id":"u","amount":"1","partial":2}', "partial",
    ),
    "an unknown scope": (
        '{"type":"start","chat_id":"c","user_id":"u","advisor_id":"a","free_scope":"city"}',
        "free_scope",
    ),
    "a scope of another command": (
        '{"type":"pause","chat_id":"c","free_scope":"user"}', "free_scope",
    ),
    "more free time than time": (
        (
            '{"type":"adopt","chat_id":"c","user_id":"u","advisor_id":"a","started_at":0,'
            '"carried_ms":5,"carried_cost":0,"carried_free_ms":6}'
        ),
        "carried_free_ms",
    ),
    "an unknown type": ('{"type":"begin"}', "type"),
    "an unknown field without a value": ('{"type":"pause","chat_id":"c","colour":null}', "colour"),
    "no type": ("{}", "type"),
    "a type that is no text": ('{"type":5}', "type"),
    "the daemon's own type": ('{"type":"settle","user_id":"u"}', "type"),
    "where to reply": ('{"type":"pause","chat_id":"c","reply_to":"me"}', "reply_to"),
    "an id that is no text": ('{"type":"pause","chat_id":"c","id":5}', "id"),
    "an id that is no identifier": ('{"type":"pause","chat_id":"c","id":"a b"}', "id"),
    "a chat that is no identifier": ('{"type":"pause","chat_id":"c\\u0000"}', "chat_id"),
    "half a letter": ('{"type":"pause","chat_id":"c","reason":"\\ud800"}', ""),
    "half a letter in a name": ('{"type":"pause","\\ud800":"c"}', ""),
    "no JSON": ("type=pause", "body"),
    "no end": ('{"type":"pause"', "body"),
    "more than one": ('{"type":"pause"}{"type":"pause"}', "body"),
    "a list of commands": ('[{"type":"pause"}]', "body"),
    "nothing at all": ("", "body"),
    "no number": ('{"type":"top_up","user_id":"u","amount":NaN}', "body"),
    "depth": ('{"type":' + "[" * 7_000 + "]" * 7_000 + "}", ""),
}  # fmt: skip


@pytest.mark.parametrize(("body", "field"), NONSENSE.values(), ids=NONSENSE.keys())
@pytest.mark.usefixtures("untouched")
def test_what_can_not_be_a_command_is_refused_and_leaves_no_trace(
    gateway: Gateway, body: str, field: str
) -> None:
    """The answer names the field that is wrong."""
    answer = _posted(gateway, body)
    told = answer.json()
    assert answer.status_code == 422, answer.text
    assert told["code"] in ("invalid_request", "invalid_command")
    assert field in told["detail"]
    assert not PYTHONS_WORDS.search(told["detail"]), told["detail"]


@pytest.mark.parametrize(
    ("amount", "why"),
    [
        ("1.5", 'send "1.5" as a string: a JSON number with a fraction may not be exact'),
        ("1e400", "send"),
        ("1e30", "send it as a string: a JSON number with a fraction may not be exact"),
        ("true", "send a string or a whole number, not true or false"),
        ("[]", "send a string or a whole number, not an array"),
        ("{}", "send a string or a whole number, not an object"),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_credits_that_are_no_text_and_no_whole_number_are_told_in_words_of_json(
    gateway: Gateway, amount: str, why: str
) -> None:
    """The same for a command and for an operation of an admin."""
    command = f'{{"type":"adjust","user_id":"u","amount":{amount}}}'
    operation = (
        '{"operation":"account.adjust","id":"o","reason":"typo","user_id":"u",'
        f'"amount":{amount},"partial":false}}'
    )
    headers = {**gateway.bearer("ann", "admin"), "Content-Type": "application/json"}
    sent = gateway.http.post("/v1/operations", content=operation, headers=headers)
    for answer in (_posted(gateway, command), sent):
        assert answer.status_code == 422, answer.text
        detail = answer.json()["detail"]
        assert why in detail
        assert not PYTHONS_WORDS.search(detail), detail
        assert "Value error" not in detail


JSON_VALUES = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


@given(st.sampled_from(["type", *FIELD_FORMATS, "colour"]), JSON_VALUES)
def test_a_value_of_a_wrong_type_never_gets_as_far_as_the_client(name: str, value: Any) -> None:
    """It would be refused there in words of Python; digits of a time are a number by then."""
    if value_fault(name, value) is None:
        with contextlib.suppress(InvalidCommandError):
            flat_fields({"type": "pause", "id": "i", "chat_id": "c", name: value})


@pytest.mark.usefixtures("untouched")
def test_bytes_that_are_no_text_are_refused(gateway: Gateway) -> None:
    for body in (b"\xff", b'{"type":"\xff"}', '{"type":"pause"}'.encode("utf-16")):
        assert _posted(gateway, body).status_code == 422


@pytest.mark.parametrize("size", [65_537, 100_000, 5_000_000])
@pytest.mark.usefixtures("untouched")
def test_a_large_body_is_413(gateway: Gateway, size: int) -> None:
    """Whatever it is, and whether its length is told before or not."""
    headers = gateway.bearer("a-backend", "backend")
    pieces = iter([b" " * 1_000] * (size // 1_000 + 1))
    for content in (b" " * size, pieces):
        answer = gateway.http.post("/v1/commands", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_body_of_the_most_bytes_is_read(gateway: Gateway, name: str) -> None:
    body = b'{"type":"top_up","user_id":"%s","amount":"5"}' % name.encode()
    assert _posted(gateway, body.ljust(64 * 1024)).status_code == 200
