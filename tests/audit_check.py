"""What ``meterd audit`` finds, without its command line."""

import contextlib
import time
from collections.abc import Callable

from sqlalchemy import Engine

from daemon.audit.differences import Difference, Findings
from daemon.audit.run import Audit, Scope
from meterd.rules.partitions import ONLY, Partition
from meterd.rules.redis_keys import Keys
from persistence.redis.client import connect
from persistence.redis.snapshot_scan import SnapshotScan


def audited(
    engine: Engine,
    url: str,
    sleep: Callable[[float], None] = time.sleep,
    partition: Partition = ONLY,
) -> tuple[Findings, list[Difference]]:
    """Audit everything once."""
    told: list[Difference] = []
    findings = Findings(told.append)
    with contextlib.closing(connect(url)) as client:
        scan = SnapshotScan(client, Keys(partition.number))
        Audit(engine, scan, findings, sleep=sleep, partition=partition).run(Scope())
    return findings, told


def assert_clean(engine: Engine, url: str, partition: Partition = ONLY) -> None:
    """Nothing differs from the journal."""
    _, told = audited(engine, url, partition=partition)
    assert told == []
