"""What happens in the demonstration, and when."""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias
from uuid import uuid4

from meterd import ChatSnapshot, Meter, Reply, WalletSnapshot

AnyReply: TypeAlias = Reply[ChatSnapshot] | Reply[WalletSnapshot]

TOP_UP: Final = "10"
RATE_A: Final = "24"
RATE_B: Final = "36"
FREE_MS: Final = 4_000
"""Free time with the advisor, which both chats share."""
RUN_S_MAX: Final = 20.0
"""By then the credits have ended, even if every step took a second."""


class Cast(NamedTuple):
    """Who takes part; new names in every run, so that none has a past."""

    user: str
    advisor: str
    chat_a: str
    chat_b: str

    @property
    def chats(self) -> tuple[str, str]:
        """Both chats."""
        return self.chat_a, self.chat_b


class ScriptStep(NamedTuple):
    """Something that somebody does."""

    at_s: float
    says: str
    do: Callable[[Meter, Cast], AnyReply]


def new_cast() -> Cast:
    """People and chats that nobody has heard of."""
    run = uuid4().hex[:8]
    return Cast(f"demo-user-{run}", f"demo-advisor-{run}", f"demo-{run}-A", f"demo-{run}-B")


def _start(meter: Meter, cast: Cast, chat_id: str, rate: str) -> AnyReply:
    # Every part of the tariff, so that it is the same whatever the operator has configured.
    return meter.start(
        chat_id,
        cast.user,
        cast.advisor,
        rate=rate,
        free_ms=FREE_MS,
        free_scope="advisor",
        min_ms=0,
        increment_ms=1,
        increment_due="begin",
        idle_ms=0,
        abandon_ms=0,
        max_ms=0,
    )


STEPS: Final = (
    ScriptStep(
        0.0, f"tops up {TOP_UP} credits", lambda meter, cast: meter.top_up(cast.user, TOP_UP)
    ),
    ScriptStep(
        0.0,
        f"starts chat A, {RATE_A} credits a minute; {FREE_MS // 1000} s with the advisor are free",
        lambda meter, cast: _start(meter, cast, cast.chat_a, RATE_A),
    ),
    ScriptStep(3.0, "leaves chat A for a while", lambda meter, cast: meter.pause(cast.chat_a)),
    ScriptStep(
        3.0,
        f"starts chat B with the same advisor, {RATE_B} credits a minute after the free time left",
        lambda meter, cast: _start(meter, cast, cast.chat_b, RATE_B),
    ),
    ScriptStep(6.0, "leaves chat B", lambda meter, cast: meter.pause(cast.chat_b)),
    ScriptStep(6.0, "goes back to chat A", lambda meter, cast: meter.resume(cast.chat_a)),
    ScriptStep(
        9.0,
        "opens chat B again: both run at once, on one wallet",
        lambda meter, cast: meter.resume(cast.chat_b),
    ),
)
