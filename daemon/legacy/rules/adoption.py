"""What a chat that runs in the old system carries along when it is adopted at the cut-over."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from daemon.legacy.rules.rows import AMOUNT_MAX, DURATION_MS_MAX, Running
from meterd.rules.commands import is_identifier
from meterd.rules.model import RUNNING
from meterd.rules.money import MS_PER_MINUTE, format_micro

Fields = dict[str, str | int]
NO_TARIFF: Final[Mapping[str, str | int]] = {}


class Adoption(NamedTuple):
    """A chat on its way over."""

    chat_id: str
    user_id: str
    advisor_id: str
    share_ms: int
    """Of the old record's time, the chat's."""
    share_micro: int
    carried_ms: int
    """The same with what it has run since it was last resumed."""
    carried_micro: int
    unflushed_micro: int
    """The cost of that time, which the old system has taken from nobody yet."""
    rate_micro: int
    """Credits a minute, of that time and from the cut-over on."""
    started_at: int
    was_paused: bool
    at_ms: int
    """The cut-over."""
    carried_free_ms: int | None = None
    """Free time in ``carried_ms``; None: nothing is known of it."""
    tariff: Mapping[str, str | int] = NO_TARIFF
    """Fields of the tariff besides the rate; what is not in it is as configured."""


class OldTariff(NamedTuple):
    """What chats cost in the old system, and go on to cost."""

    rate_micro: int
    """Credits a minute, of chats whose own rate is not known."""
    fields: Mapping[str, str | int] = NO_TARIFF
    """The others, as fields of a command; what is not in it is as configured."""


def adoption_of(running: Running, at_ms: int, tariff: OldTariff) -> Adoption:
    """All that the chat would carry, if its user can pay for what is not yet paid.

    Args:
        running: the chat in the old system.
        at_ms: the cut-over, in milliseconds since 1970.
        tariff: the old system's.
    """
    rate_micro = tariff.rate_micro if running.rate_micro is None else running.rate_micro
    since = running.since if running.status == RUNNING else None
    unflushed_ms = max(0, at_ms - since) if since is not None else 0
    carried_ms = min(running.carried_ms + unflushed_ms, DURATION_MS_MAX, at_ms)
    share_micro = min(running.carried_cost_micro, AMOUNT_MAX)
    cost = min(unflushed_ms * rate_micro // MS_PER_MINUTE, AMOUNT_MAX - share_micro)
    free_ms = running.free_ms
    return Adoption(
        chat_id=running.chat_id,
        user_id=running.user_id,
        advisor_id=running.advisor_id,
        share_ms=running.carried_ms,
        share_micro=share_micro,
        carried_ms=carried_ms,
        carried_micro=share_micro + cost,
        unflushed_micro=cost,
        rate_micro=rate_micro,
        # A record's time may be more than its chat's span: all of it has been before the cut-over.
        started_at=max(0, min(running.started_at, at_ms - carried_ms)),
        was_paused=running.status != RUNNING,
        at_ms=at_ms,
        carried_free_ms=None if free_ms is None else min(free_ms, carried_ms),
        tariff=tariff.fields,
    )


def affordable(adoptions: Iterable[Adoption], balance_micro: int) -> list[Adoption]:
    """One user's, in order of chats: of what is not yet paid, what the balance pays for."""
    left, able = max(0, balance_micro), []
    for adoption in sorted(adoptions, key=lambda one: one.chat_id):
        paid = min(adoption.unflushed_micro, left)
        left -= paid
        able.append(paying(adoption, paid))
    return able


def paying(adoption: Adoption, unflushed_micro: int) -> Adoption:
    """With so much paid of what was not yet paid; the time is carried all the same."""
    carried = adoption.share_micro + unflushed_micro
    return adoption._replace(unflushed_micro=unflushed_micro, carried_micro=carried)


def commands_of(adoption: Adoption) -> list[Fields]:
    """What is sent: the same however often it is made out.

    A paused chat may not burn for even a millisecond between two commands: it gets its rate last.
    """
    rate = format_micro(adoption.rate_micro)
    if not adoption.was_paused:
        return [_adopt(adoption, ADOPT, rate)]
    return [
        _adopt(adoption, ADOPT, _FREE),
        _of_chat(adoption, "pause", "legacy-pause"),
        {**_of_chat(adoption, "set_rate", "legacy-rate"), "rate": rate},
    ]


def ending_of(adoption: Adoption, reason: str) -> list[Fields]:
    """What is sent for a chat that can't go on here: its time and cost get their record."""
    return [
        _adopt(adoption, "legacy-adopt-ended", _FREE),
        {**_of_chat(adoption, "end", "legacy-end"), "reason": reason},
    ]


def again(fields: Fields, attempt: int) -> Fields:
    """The same command for another attempt: its id before stands for an answer it got then."""
    name, _, rest = str(fields["id"]).partition(":")
    return {**fields, "id": _id(f"{name}.{attempt}", rest) if attempt > 1 else fields["id"]}


ADOPT: Final = "legacy-adopt"
_FREE: Final = "0"


def _adopt(adoption: Adoption, name: str, rate: str) -> Fields:
    free_ms = adoption.carried_free_ms
    return {
        **adoption.tariff,
        **({} if free_ms is None else {"carried_free_ms": free_ms}),
        **_of_chat(adoption, "adopt", name),
        "advisor_id": adoption.advisor_id,
        "started_at": adoption.started_at,
        "carried_ms": adoption.carried_ms,
        "carried_cost": format_micro(adoption.carried_micro),
        "rate": rate,
    }


def _of_chat(adoption: Adoption, type_: str, name: str) -> Fields:
    chat_id = adoption.chat_id
    return {
        "type": type_,
        "id": _id(name, chat_id),
        "chat_id": chat_id,
        "user_id": adoption.user_id,
    }


def _id(name: str, chat_id: str) -> str:
    named = f"{name}:{chat_id}"
    if is_identifier(named):
        return named
    return f"{name}:{blake2b(chat_id.encode(), digest_size=16).hexdigest()}"
