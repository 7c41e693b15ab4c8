"""What Postgres has refused for good."""

from collections.abc import Iterator

from daemon.audit.differences import NOTHING, Difference, cut
from persistence.redis.snapshot_scan import SnapshotScan


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
