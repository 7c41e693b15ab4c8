"""What is sent, against the committed document."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft7Validator, ValidationError
from jsonschema.validators import extend

FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.json"
DOCUMENT: Final = json.loads(FILE.read_text("utf-8"))


def _pattern(_validator: object, pattern: str, value: object, _schema: object) -> Iterator[Any]:
    # As ECMA-262 has it: Python's $ would let a newline follow.
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield ValidationError(f"{value!r} does not match {pattern}")


_Validator: Final[Any] = extend(Draft7Validator, {"pattern": _pattern})


@cache
def _validator(message: str) -> Any:
    pointer = f"#/components/messages/{message}/payload"
    return _Validator({"$ref": pointer, "components": DOCUMENT["components"]})


def faults(message: str, payload: object) -> list[str]:
    """What is wrong with a payload of a message."""
    return [fault.message for fault in _validator(message).iter_errors(payload)]


def check(message: str, payload: Mapping[str, Any]) -> None:
    """It is as described, and nothing is in it that the document does not mention."""
    assert faults(message, payload) == []
    described = DOCUMENT["components"]["messages"][message]["payload"]
    if "$ref" in described:
        described = DOCUMENT["components"]["schemas"][message]
    assert payload.keys() <= described["properties"].keys()


def fields_of(flat: Sequence[str]) -> dict[str, str]:
    """Names and values in turn as a map."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def check_reply(flat: Sequence[str]) -> None:
    """A reply, and the snapshot in it."""
    reply = fields_of(flat)
    check("reply", reply)
    if "snapshot" in reply:
        check_snapshot(reply["snapshot"])


def check_snapshot(text: str) -> None:
    """A chat's or a wallet's snapshot."""
    snapshot = json.loads(text)
    check("chat" if "chat_id" in snapshot else "wallet", snapshot)
