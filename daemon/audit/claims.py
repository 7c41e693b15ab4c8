"""What Redis says of stream entries, against their rows in the journal."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from sqlalchemy import Engine

from daemon.audit.differences import Difference
from meterd.rules.commands import entry_ms, is_entry_id
from persistence.postgres.archives import archived_until_ms
from persistence.postgres.reader import journal_rows
from persistence.postgres.rows import JournalRow
from persistence.redis.snapshot_scan import SnapshotScan

PAGE: Final = 1_000
WAITING_MAX: Final = 50_000
"""Entries without a row that are held until the outbox is looked through for them."""


class Claim(NamedTuple):
    """Something in Redis that can only be if the journal has, or will have, a row."""

    entry: str
    compare: Callable[[JournalRow | None], Iterator[Difference]]
    """What differs, by the entry's row; None if there is none."""


class ClaimCheck:
    """Finds the rows; one that is on its way to Postgres is found in the outbox."""

    def __init__(self, engine: Engine, scan: SnapshotScan) -> None:
        """Ask both."""
        self._engine = engine
        self._scan = scan

    def differences(self, claims: Iterable[Claim]) -> Iterator[Difference]:
        """What differs of all of them."""
        waiting: list[Claim] = []
        for page in _pages(claims):
            rows = self._journaled(page)
            for claim in page:
                if claim.entry in rows:
                    yield from claim.compare(rows[claim.entry])
                else:
                    waiting.append(claim)
            if len(waiting) >= WAITING_MAX:
                yield from self._late(waiting)
                waiting = []
        yield from self._late(waiting)

    def row_of(self, entry: str) -> JournalRow | None:
        """The entry's row, wherever it is."""
        return self._all_rows({entry}).get(entry)

    def _late(self, waiting: list[Claim]) -> Iterator[Difference]:
        if not waiting:
            return
        rows = self._all_rows({claim.entry for claim in waiting})
        with self._engine.connect() as connection:
            cut_ms = archived_until_ms(connection)
        for claim in waiting:
            row = rows.get(claim.entry)
            is_archived = is_entry_id(claim.entry) and entry_ms(claim.entry) < cut_ms
            if row or not is_archived:
                yield from claim.compare(row)

    def _all_rows(self, entries: set[str]) -> dict[str, JournalRow]:
        # First those on their way, then Postgres: what has left the outbox is there.
        on_their_way = self._scan.journal_in_outbox()
        rows = {row.stream_id: row for row in on_their_way if row.stream_id in entries}
        with self._engine.connect() as connection:
            return rows | journal_rows(connection, entries, self._scan.keys.partition)

    def _journaled(self, page: list[Claim]) -> Mapping[str, JournalRow]:
        with self._engine.connect() as connection:
            entries = {claim.entry for claim in page}
            return journal_rows(connection, entries, self._scan.keys.partition)


def _pages(claims: Iterable[Claim]) -> Iterator[list[Claim]]:
    rest = iter(claims)
    while page := list(islice(rest, PAGE)):
        yield page
