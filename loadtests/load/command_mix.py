"""Which commands, how often: named mixes, or weights of one's own."""

from typing import Final

HEARTBEAT: Final = "heartbeat"
SET_RATE: Final = "set_rate"
TOP_UP: Final = "top_up"
PAUSE: Final = "pause"
RESUME: Final = "resume"
SWITCH: Final = "switch"
"""The user leaves a chat for another one with the same advisor: a pause and a resume (or start)."""
REPLACE: Final = "replace"
"""A chat ends and another one begins: an end and a start."""

ACTS: Final = (HEARTBEAT, SET_RATE, TOP_UP, PAUSE, RESUME, SWITCH, REPLACE)
WEIGHT_MAX: Final = 1_000_000

Mix = dict[str, int]

MIXES: Final[dict[str, Mix]] = {
    "typical": {
        HEARTBEAT: 55, SWITCH: 15, PAUSE: 6, RESUME: 6, SET_RATE: 4, TOP_UP: 6, REPLACE: 8,
    },
    "heartbeats": {HEARTBEAT: 1},
    "switching": {SWITCH: 9, HEARTBEAT: 1},
    "churn": {REPLACE: 8, HEARTBEAT: 1, TOP_UP: 1},
}  # fmt: skip


class MixError(ValueError):
    """No mix is called so, and it is no list of weights either; the message says what would be."""


def mix_of(text: str) -> Mix:
    """A named mix, or one such as ``heartbeat=70,switch=30``."""
    if text in MIXES:
        return MIXES[text]
    if "=" not in text:
        raise MixError(
            f"{text!r} is no mix: take one of {', '.join(MIXES)}, "
            "or weights such as heartbeat=70,switch=30"
        )
    mix: Mix = {}
    for part in text.split(","):
        act, weight = _weight(part)
        if act in mix:
            raise MixError(f"{act} is there twice: give it one weight")
        mix[act] = weight
    if not any(mix.values()):
        raise MixError("all weights are 0: give at least one act a weight above 0")
    return mix


def _weight(part: str) -> tuple[str, int]:
    act, _, number = (word.strip() for word in part.partition("="))
    if act not in ACTS:
        raise MixError(f"{act!r} is no act: take some of {', '.join(ACTS)}")
    if not (number.isascii() and number.isdecimal() and int(number) <= WEIGHT_MAX):
        raise MixError(f"{act}={number}: a weight is a whole number from 0 to {WEIGHT_MAX}")
    return act, int(number)
