"""What the migration raises."""

from collections.abc import Sequence
from typing import Final

_SHOWN: Final = 5


class CutoverError(Exception):
    """The cut-over can't be then; the message says why."""


class CarriesTooMuchError(CutoverError):
    """Chats would carry more time than is allowed without being asked for."""

    def __init__(self, chats: Sequence[tuple[str, int]], carried_ms_max: int) -> None:
        """Take in the chats with what each would carry, and how much is allowed: milliseconds."""
        self.chats = chats
        self.carried_ms_max = carried_ms_max
        some = ", ".join(f"{chat_id} ({ms} ms)" for chat_id, ms in chats[:_SHOWN])
        more = f" and {len(chats) - _SHOWN} more" if len(chats) > _SHOWN else ""
        super().__init__(
            f"{len(chats)} chats would carry more than legacy.adopt_ms_max, {carried_ms_max} ms:"
            f" {some}{more}. Look at them with meterd legacy adopt --dry-run, and end there what"
            " nobody is in any more; or adopt them all the same with --yes"
        )


class FlushTimeoutError(RuntimeError):
    """What was opened does not reach Postgres."""


class CannotResolveError(ValueError):
    """A record can't belong to that chat; the message says why."""


class ChangedMeanwhileError(RuntimeError):
    """Somebody else changed a record between looking and writing; looking again helps."""


class LegacyError(RuntimeError):
    """The old tables are not as the settings ``legacy:`` say; the message names each setting."""
