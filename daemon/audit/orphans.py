"""What Redis has and Postgres knows nothing of: accounts, users with open chats, outbox entries."""

from collections.abc import Iterable, Iterator
from typing import Final

from sqlalchemy import Engine

from daemon.audit.differences import NOTHING, Difference, cut
from persistence.postgres.reader import known_users
from persistence.redis.snapshot_scan import SnapshotScan

WAITING_MAX: Final = 50_000
"""Unknown users that are held until the outbox is looked through for them."""


class Orphans:
    """Looks for users in Redis that Postgres does not know."""

    def __init__(self, engine: Engine, scan: SnapshotScan) -> None:
        """Ask both."""
        self._engine = engine
        self._scan = scan

    def find(self) -> Iterator[Difference]:
        """Each of them, unless what Postgres is to know of it is on its way."""
        for users in self._unknown(self._scan.accounts()):
            yield from map(_account, users)
        for users in self._unknown(self._scan.open_users()):
            yield from map(_open, users)

    def _unknown(self, pages: Iterable[list[str]]) -> Iterator[list[str]]:
        waiting: set[str] = set()
        for users in pages:
            waiting |= self._unknown_of(users)
            if len(waiting) >= WAITING_MAX:
                yield self._still_unknown(waiting)
                waiting = set()
        yield self._still_unknown(waiting)

    def _still_unknown(self, waiting: set[str]) -> list[str]:
        # First those on their way, then Postgres again: what has left the outbox is there.
        for on_their_way in self._scan.users_in_outbox() if waiting else ():
            waiting = waiting - on_their_way
        return sorted(self._unknown_of(sorted(waiting)))

    def _unknown_of(self, users: list[str]) -> set[str]:
        if not users:
            return set()
        with self._engine.connect() as connection:
            return set(users) - known_users(connection, users)


def compare_refused(scan: SnapshotScan, user: str | None) -> Iterator[Difference]:
    """A difference for each outbox entry that Postgres refused, of one user or of all."""
    for entry in scan.refused():
        if user is None or user in entry.users:
            whose = user or min(entry.users, default=None)
            yield Difference(
                kind="refused",
                user=whose,
                chat=None,
                entry=entry.entry,
                expected=NOTHING,
                found=cut(entry.why),
            )


def _account(user: str) -> Difference:
    return Difference(
        kind="unknown_account",
        user=user,
        chat=None,
        entry=None,
        expected=NOTHING,
        found="an account in Redis",
    )


def _open(user: str) -> Difference:
    return Difference(
        kind="open",
        user=user,
        chat=None,
        entry=None,
        expected="in the set=False",
        found="in the set=True",
    )
