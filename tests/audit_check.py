"""What ``meterd audit`` finds, without its command line."""

import contextlib
import time
from collections.abc import Callable

from sqlalchemy import Engine

from daemon.audit.differences import Difference, Findings
from daemon.audit.run import Audit, Scope
from meterd.rules.redis_keys import Keys
from persistence.redis.client import connect
from persistence.redis.snapshot_scan import SnapshotScan


def audited(
    engine: Engine, url: str, sleep: Callable[[float], None] = time.sleep
) -> tuple[Findings, list[Difference]]:
    """Audit everything once."""
    told: list[Difference] = []
    findings = Findings(told.append)
    with contextlib.closing(connect(url)) as client:
        Audit(engine, SnapshotScan(client, Keys()), findings, sleep=sleep).run(Scope())
    return findings, told


def assert_clean(engine: Engine, url: str) -> None:
    """Nothing differs from the journal."""
    _, told = audited(engine, url)
    assert told == []
