"""What ``meterd audit`` finds, without its command line."""

import contextlib
import time
from collections.abc import Callable

from sqlalchemy import Engine

from daemon.audit.differences import Difference, Findings
from daemon.audit.run import Audit, Scope
from meterd.rules.partitions import Partition
from meterd.rules.redis_keys import Keys
from persistence.postgres.layout import fetch_partitions
from persistence.redis.client import connect
from persistence.redis.snapshot_scan import SnapshotScan


def audited(
    engine: Engine, url: str, sleep: Callable[[float], None] = time.sleep
) -> tuple[Findings, list[Difference]]:
    """Audit everything once, partition by partition."""
    told: list[Difference] = []
    findings = Findings(told.append)
    with contextlib.closing(connect(url)) as client:
        for one in _partitions(engine):
            scan = SnapshotScan(client, Keys(one.number))
            Audit(engine, scan, findings, sleep=sleep, partition=one).run(Scope())
    return findings, told


def _partitions(engine: Engine) -> list[Partition]:
    with engine.connect() as connection:
        partitions = fetch_partitions(connection) or 1
    return [Partition(number, partitions) for number in range(partitions)]


def assert_clean(engine: Engine, url: str) -> None:
    """Nothing differs from the journal."""
    _, told = audited(engine, url)
    assert told == []
