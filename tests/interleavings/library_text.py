"""The library's text under the play's own clock, and the same with one guard taken out."""

import re
from typing import Final, NamedTuple

from persistence.redis.functions import source

CLOCK_KEY: Final = "interleavings:clock"

_REAL_CLOCK: Final = """  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
"""
_PLAYED_CLOCK: Final = f"  return tonumber(redis.call('GET', '{CLOCK_KEY}'))\n"
_REAL_ADD: Final = "redis.call('XADD', keys[1], '*', "
_PLAYED_ADD: Final = "redis.call('XADD', keys[1], string.format('%.0f-*', now_ms()), "


def played(text: str = "") -> str:
    """The library with the clock in a key: everything happens when the play says so."""
    text = text or source()
    assert text.count(_REAL_CLOCK) == 1
    assert text.count(_REAL_ADD) == 2, "settle and dispose append to the commands"
    return text.replace(_REAL_CLOCK, _PLAYED_CLOCK).replace(_REAL_ADD, _PLAYED_ADD)


class Guard(NamedTuple):
    """A line of the library, and what stands there without the guard."""

    function: str
    line: str
    instead: str = ""


def without(text: str, guards: tuple[Guard, ...]) -> str:
    """The text, each of these guards being gone from its function."""
    for guard in guards:
        found = re.search(rf"^local function {guard.function}\(.*?^end$", text, re.M | re.S)
        assert found, guard.function
        assert found[0].count(guard.line) == 1, guard
        text = text.replace(found[0], found[0].replace(guard.line, guard.instead))
    return text
