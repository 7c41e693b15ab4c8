"""What an admin does by hand: recorded before it is done, with who and why."""

import hashlib
from typing import Any, Final, NamedTuple

import msgspec
import redis

from daemon.gateway.authorization import Caller
from daemon.gateway.container import Dependencies
from daemon.gateway.dead_letter_lists import read_name
from daemon.gateway.errors import ProblemError, forbidden, redis_unavailable
from daemon.gateway.operation_schemas import (
    AccountOperation,
    ChatOperation,
    LetterOperation,
    Operation,
)
from daemon.gateway.sending import send
from meterd.rules import outcomes
from meterd.rules.commands import InvalidCommand, parse_entry
from meterd.rules.partitions import entry_name
from meterd.rules.redis_keys import Keys
from persistence.postgres.operations import (
    COMMAND,
    COMMAND_ID,
    USER_ID,
    WHY,
    PastOperation,
    find_operation,
)
from persistence.postgres.rows import OperationRow
from persistence.redis.commit import OutboxPayload, pack_payload
from persistence.redis.dead_letters import (
    RESOLVE,
    RETRY,
    operation_of,
    pack_resolution,
    read_letter,
)
from persistence.redis.functions import MISSING, is_missing

COMMAND_OF: Final = {
    "chat.end": "end",
    "chat.refund": "refund",
    "account.adjust": "adjust",
    "account.top_up": "top_up",
}
"""The type of the command that an operation sends."""
REASON: Final = "operator"
"""The ``reason`` of a command that an operation sends, where it has one."""
DONE_BY_MAX: Final = 128

_FAR: Final = f"{10**15 - 1}-0"
_DIGEST_BYTES: Final = 8


class Done(NamedTuple):
    """What became of an operation."""

    operation: OperationRow
    reply: dict[str, Any] | None = None
    """Of an operation that sends a command: the daemon's reply."""
    entry: str | None = None
    """Of a letter that was sent again: its new place in the queue."""


async def act(parts: Dependencies, caller: Caller, wanted: Operation) -> Done:
    """Do what the admin wants, once however often it is asked for with the same id.

    Raises:
        ProblemError: it is refused; or Redis does not answer.
    """
    _check_name(caller.sub)
    if isinstance(wanted, LetterOperation):
        return await _resolve(parts, caller, wanted)
    return await _command(parts, caller, wanted)


async def _command(
    parts: Dependencies, caller: Caller, wanted: ChatOperation | AccountOperation
) -> Done:
    command = _fields_of(wanted, await _user_of(parts, caller, wanted))
    _check(command, wanted.id)
    operation = _operation_of(wanted, command, caller.sub, parts.clock.now_ms())
    await _record(parts, operation)
    timeout_s = parts.settings.http.reply_timeout_ms / 1000
    reply = await send(parts, {**command, "id": wanted.id}, wait=True, timeout_s=timeout_s)
    return Done(operation, reply)


async def _user_of(
    parts: Dependencies, caller: Caller, wanted: ChatOperation | AccountOperation
) -> str:
    """Whose account it is about. Raises ProblemError: the chat never started."""
    if isinstance(wanted, AccountOperation):
        return wanted.user_id
    chat = await parts.queries.view(wanted.chat_id, caller)
    if chat is None:
        why = outcomes.MESSAGES[outcomes.UNKNOWN_CHAT]
        raise ProblemError(404, outcomes.UNKNOWN_CHAT, why, id=wanted.id)
    return chat.user_id


def _fields_of(wanted: ChatOperation | AccountOperation, user_id: str) -> dict[str, str]:
    """The command's fields but for its id, as the queue and the journal have them."""
    fields: dict[str, Any] = wanted.model_dump(exclude={"id", "operation", "reason"})
    fields |= {"type": COMMAND_OF[wanted.operation], USER_ID: user_id}
    if wanted.operation != "account.top_up":
        fields["reason"] = REASON
    return {name: _text(value) for name, value in fields.items() if value is not None}


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _check(command: dict[str, str], id_: str) -> None:
    """Refuse what can't be a command before anything is recorded. Raises ProblemError."""
    flat = [part.encode() for pair in {**command, "id": id_}.items() for part in pair]
    parsed = parse_entry(_FAR, flat)
    if isinstance(parsed, InvalidCommand):
        raise ProblemError(422, outcomes.INVALID_COMMAND, parsed.reason, id=id_)


def _check_name(done_by: str) -> None:
    """Refuse a token whose ``sub`` can't be recorded. Raises ProblemError."""
    if len(done_by) > DONE_BY_MAX or not done_by.isprintable():
        raise forbidden(f"sub of the token: want 1 to {DONE_BY_MAX} printable characters")


def _operation_of(
    wanted: ChatOperation | AccountOperation, command: dict[str, str], done_by: str, at_ms: int
) -> OperationRow:
    """What is recorded: the same act of the same person is the same row."""
    what = msgspec.json.encode([done_by, wanted.reason, command])
    digest = hashlib.blake2b(what, digest_size=_DIGEST_BYTES).hexdigest()
    return OperationRow(
        operation_id=f"{wanted.operation}:{wanted.id}:{digest}",
        at_ms=at_ms,
        done_by=done_by,
        operation=wanted.operation,
        subject=command.get("chat_id", command[USER_ID]),
        details={
            WHY: wanted.reason,
            COMMAND_ID: wanted.id,
            USER_ID: command[USER_ID],
            COMMAND: command,
        },
    )


async def _record(parts: Dependencies, operation: OperationRow) -> None:
    """Leave it in the outbox, from where the daemon brings it to Postgres. Raises ProblemError."""
    facts = pack_payload(OutboxPayload([], [], [], [operation]))
    try:
        keys = parts.keys.of_user(operation.details[USER_ID])
        await parts.clients.of(keys.partition).xadd(keys.outbox, {"facts": facts})
    except redis.RedisError as error:
        raise _refused(error) from error


async def _resolve(parts: Dependencies, caller: Caller, wanted: LetterOperation) -> Done:
    """Send a dead letter again, or drop it."""
    place = read_name(wanted.letter, len(parts.keys))
    if place is None:
        raise _unknown(wanted)
    keys, name = parts.keys[place[0]], place[1]
    try:
        found: Any = await parts.clients.of(keys.partition).xrange(keys.dead, name, name)
        letter = read_letter(found[0]) if found else None
    except redis.RedisError as error:
        raise redis_unavailable(error) from error
    operation_id = entry_name(wanted.operation, name, keys.partition)
    if letter is None:
        return await _resolved(parts, caller, wanted, operation_id)
    why = {WHY: wanted.reason, COMMAND_ID: wanted.id}
    operation = operation_of(letter, keys.partition, wanted.operation, caller.sub, **why)
    order = pack_resolution(letter, operation)
    answer = await _call(parts, wanted.id, keys, order)
    if not answer:
        return await _resolved(parts, caller, wanted, operation_id)
    return Done(operation, entry=answer if wanted.operation == RETRY else None)


async def _call(parts: Dependencies, id_: str, keys: Keys, order: Any) -> str:
    try:
        client = parts.clients.of(keys.partition)
        answer: Any = await client.fcall(RESOLVE, 1, keys.commands, order)
    except redis.exceptions.NoPermissionError as error:
        raise _refused(error) from error
    except redis.RedisError as error:
        if is_missing(error):
            raise ProblemError(503, "redis_away", MISSING, {"Retry-After": "1"}, id=id_) from error
        detail = f"Redis did not confirm it ({error}); it may be done: send it again as it is"
        raise ProblemError(503, "not_confirmed", detail, {"Retry-After": "1"}, id=id_) from error
    return str(answer.decode())


async def _resolved(
    parts: Dependencies, caller: Caller, wanted: LetterOperation, operation_id: str
) -> Done:
    """What this request did before, if its answer got lost. Raises ProblemError: somebody else."""
    known = await parts.postgres_reader.ask(lambda c: find_operation(c, operation_id))
    if known and known.done_by == caller.sub and known.details.get(COMMAND_ID) == wanted.id:
        return Done(known)
    raise _unknown(wanted)


def _unknown(wanted: LetterOperation) -> ProblemError:
    detail = "there is no such dead letter, or no more: see which there are with GET /v1/dead"
    return ProblemError(404, "unknown_letter", detail, id=wanted.id)


def _refused(error: redis.RedisError) -> ProblemError:
    """Redis did not take what is to be recorded: nothing was done."""
    if isinstance(error, redis.exceptions.NoPermissionError):
        return forbidden("the gateway's user in Redis may not act: docs/security.md")
    return redis_unavailable(error)


def operation_json(operation: OperationRow) -> dict[str, Any]:
    """An operation as it is told."""
    return {
        "operation_id": operation.operation_id,
        "at": operation.at_ms,
        "done_by": operation.done_by,
        "operation": operation.operation,
        "subject": operation.subject,
        "reason": operation.details.get(WHY),
        "command_id": operation.details.get(COMMAND_ID),
        "details": operation.details,
    }


def past_json(past: PastOperation) -> dict[str, Any]:
    """An operation with what became of its command."""
    return {**operation_json(past.operation), "outcome": past.outcome, "entry": past.entry}
