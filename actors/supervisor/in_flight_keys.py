"""Who is being worked on: keeps every account, chat and id in stream order across actors.

Two commands may be on their way at the same time unless they share an account, a chat or an id.
If they do, the later one may follow only to the same actor and in the same account, which takes
them one after the other; otherwise it waits until the earlier one has had its effect.
"""

from collections.abc import Iterable, Iterator

from meterd.rules.commands import Command

BatchKey = tuple[str, str]
"""Account and actor."""


def keys_of(user: str, command: Command) -> Iterator[str]:
    """What a command shares with others: its account, its chat, its id."""
    if user:
        yield f"u{user}"
    if command.chat_id:
        yield f"c{command.chat_id}"
    if command.id:
        yield f"i{command.id}"


class InFlightKeys:
    """The keys on their way, with the batch that each of them is in."""

    def __init__(self) -> None:
        """Begin with nothing on its way."""
        self._busy: dict[str, tuple[BatchKey, int]] = {}

    def free(self, keys: Iterable[str], batch: BatchKey) -> bool:
        """Whether a command with these keys may follow in ``batch`` now."""
        for key in keys:
            found = self._busy.get(key)
            if found is not None and (found[0] != batch or not batch[0]):
                return False
        return True

    def batch_of(self, key: str) -> BatchKey | None:
        """The batch that a key is in, if it is on its way."""
        found = self._busy.get(key)
        return found[0] if found else None

    def enter(self, keys: Iterable[str], batch: BatchKey) -> None:
        """A command is on its way."""
        for key in keys:
            found = self._busy.get(key)
            self._busy[key] = (batch, found[1] + 1 if found else 1)

    def leave(self, keys: Iterable[str]) -> None:
        """A command has had its effect."""
        for key in keys:
            batch, count = self._busy[key]
            if count == 1:
                del self._busy[key]
            else:
                self._busy[key] = (batch, count - 1)

    def __len__(self) -> int:
        """How many keys are on their way."""
        return len(self._busy)
