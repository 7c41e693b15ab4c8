"""One timer structure per actor: which account has something due, and when.

Nothing ticks. Accounts stand in a heap by due millisecond; an entry that was overtaken by a later
arming stays there until it comes up and is then passed over.
"""

import heapq


class Timers:
    """Due milliseconds of accounts. Not thread-safe: the owner holds a lock."""

    def __init__(self) -> None:
        """Begin with nothing due."""
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, tuple[int, int, str]] = {}

    def __len__(self) -> int:
        """How many accounts have something due."""
        return len(self._due)

    def arm(self, user_id: str, due_at: int, applied: str, wake_at: int | None = None) -> None:
        """Replace what is due for an account; ``wake_at``: when to ask for it, if not then."""
        wake_at = due_at if wake_at is None else wake_at
        self._due[user_id] = (wake_at, due_at, applied)
        heapq.heappush(self._heap, (wake_at, user_id))
        self._compact()

    def disarm(self, user_id: str) -> None:
        """Nothing is due for the account any more."""
        self._due.pop(user_id, None)

    def is_armed(self, user_id: str) -> bool:
        """Whether something is due for the account."""
        return user_id in self._due

    def next_at(self) -> int | None:
        """The next millisecond to wake up after."""
        while self._heap:
            wake_at, user_id = self._heap[0]
            if self._due.get(user_id, (None,))[0] == wake_at:
                return wake_at
            heapq.heappop(self._heap)
        return None

    def take_due(self, now: int, most: int) -> list[tuple[str, int, str]]:
        """Take out what to ask for before ``now``: user, due millisecond, last applied entry."""
        taken: list[tuple[str, int, str]] = []
        while len(taken) < most:
            wake_at = self.next_at()
            if wake_at is None or wake_at >= now:
                break
            _, user_id = heapq.heappop(self._heap)
            _, due_at, applied = self._due.pop(user_id)
            taken.append((user_id, due_at, applied))
        return taken

    def _compact(self) -> None:
        """Overtaken entries never outnumber live ones by more than the live ones and 64."""
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [(wake_at, user_id) for user_id, (wake_at, _, _) in self._due.items()]
            heapq.heapify(self._heap)
