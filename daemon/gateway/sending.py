"""Commands on their way from a request into the queue, and what comes back as an answer."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from daemon.gateway.container import Dependencies
from daemon.gateway.errors import ProblemError, busy, invalid, postgres_unavailable
from daemon.gateway.json_values import value_fault
from meterd import (
    BusyError,
    CommandRefusedError,
    NoReplyError,
    NotConfirmedError,
    UnavailableError,
)
from meterd.rules import outcomes

STATUS_OF: Final = {
    outcomes.OK: 200,
    outcomes.INSUFFICIENT_CREDITS: 402,
    outcomes.UNKNOWN_CHAT: 404,
    outcomes.USER_MISMATCH: 409,
    outcomes.ALREADY_STARTED: 409,
    outcomes.ALREADY_ENDED: 409,
    outcomes.NOT_RUNNING: 409,
    outcomes.NOT_PAUSED: 409,
    outcomes.NOT_ENDED: 409,
    outcomes.ID_CONFLICT: 409,
    outcomes.WRONG_PARTITION: 421,
    outcomes.INVALID_COMMAND: 422,
    outcomes.EXCEEDS_COST: 422,
    outcomes.INTERNAL_ERROR: 500,
    outcomes.AT_CAPACITY: 503,
}
"""The status of each outcome."""


def refuse_doubles(pairs: Iterable[tuple[str, Any]]) -> None:
    """Refuse an object that has a field twice: which one counts is for nobody to guess."""
    for name, number in Counter(name for name, _ in pairs).items():
        if number > 1:
            raise invalid(name, "it is there twice; send it once")


async def send(
    parts: Dependencies, fields: dict[str, Any], wait: bool, timeout_s: float
) -> dict[str, Any]:
    """Send a command; give the reply, or without ``wait`` where it stands in the queue.

    Raises:
        ProblemError: it was refused, can't be a command, or got no reply within ``timeout_s``.
    """
    _check_types(fields)
    id_ = fields.pop("id", None)
    try:
        return await _sent(parts, fields, id_, wait, timeout_s)
    except CommandRefusedError as error:
        raise _refused(error) from None
    except UnicodeError as error:
        raise invalid("body", str(error)) from None
    except BusyError as error:
        raise busy(str(error)) from None
    except NoReplyError as error:
        raise ProblemError(504, "no_reply", str(error), id=error.id) from None
    except NotConfirmedError as error:
        raise ProblemError(
            503, "not_confirmed", str(error), {"Retry-After": "1"}, id=error.id
        ) from None
    except UnavailableError as error:  # nobody knows whose the chat is; nothing was sent
        raise postgres_unavailable("whose the chat is can not be read") from error


def _check_types(fields: dict[str, Any]) -> None:
    """Refuse what the client would refuse in words of Python. Raises ProblemError."""
    for name, value in fields.items():
        fault = value_fault(name, value)
        if fault is not None:
            raise invalid(name, fault)


async def _sent(
    parts: Dependencies, fields: dict[str, Any], id_: str | None, wait: bool, timeout_s: float
) -> dict[str, Any]:
    if not wait:
        queued = await parts.meter.enqueue.command(fields, id=id_, timeout_s=timeout_s)
        return dict(msgspec.to_builtins(queued))
    reply = await parts.meter.command(fields, id=id_, timeout_s=timeout_s)
    return {**msgspec.to_builtins(reply), "snapshot": _plain(reply.snapshot)}


def _plain(snapshot: Any) -> Any:
    return None if snapshot is None else msgspec.to_builtins(snapshot)


def _refused(error: CommandRefusedError) -> ProblemError:
    """An outcome that is not ok, with the reply as far as there is one."""
    more: dict[str, Any] = {"outcome": error.outcome, "id": error.id}
    reply = error.reply
    if reply is not None:
        more |= {"entry": reply.entry, "replayed": reply.replayed}
        more["snapshot"] = _plain(reply.snapshot)
    headers = {"Retry-After": "1"} if error.outcome == outcomes.AT_CAPACITY else None
    return ProblemError(STATUS_OF[error.outcome], error.outcome, str(error), headers, **more)
