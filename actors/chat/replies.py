"""What a reply says to a person."""

from datetime import UTC, datetime

from meterd.rules import outcomes
from meterd.rules.commands import entry_ms
from meterd.rules.idempotency import IdempotencyRecord
from meterd.rules.outcomes import Outcome


def reply_message(command_type: str, outcome: Outcome, repeated: IdempotencyRecord | None) -> str:
    """Return the sentence that goes with an outcome.

    Args:
        command_type: the type of the command.
        outcome: what came of the command.
        repeated: of an id that was used before with the same content, that first use: a refusal
            then is no new one.
    """
    said = outcomes.message_of(command_type, outcome)
    if repeated is None or outcome == outcomes.OK:
        return said
    at = f", of {_time_text(repeated.entry)}" if repeated.entry else ""
    return f"{said} (this is the first answer to this id{at}; a new try needs a new id)"


def _time_text(entry: str) -> str:
    seconds, ms = divmod(entry_ms(entry), 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
