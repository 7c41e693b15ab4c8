"""A backlog of commands: sent at once, then watched until it is handled and in Postgres."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from loadtests.bench.daemon import HANDLED_S_MAX, BenchDaemon
from loadtests.bench.wire import blast
from loadtests.common.statistics import ProgressSample, rate_per_s


class Throughput(NamedTuple):
    """How fast a backlog went."""

    handled_per_s: float
    """Between a tenth and nine tenths of it: committed, replied to, acknowledged."""
    recorded_per_s: float
    """From the first command sent until Postgres had the last one."""


def work_off(daemon: BenchDaemon, commands: Sequence[bytes]) -> Throughput:
    """Send commands that were made before, and see how fast they are handled."""
    before, url = daemon.handled(), daemon.redis_url
    with ThreadPoolExecutor(1) as sender:
        began = ProgressSample(time.perf_counter(), 0)
        sending = sender.submit(blast, url, commands)
        samples = [began, *daemon.watch(len(commands), before)]
        sending.result()
    daemon.until_handled(HANDLED_S_MAX)
    took_s = time.perf_counter() - began.at_s
    return Throughput(rate_per_s(samples, len(commands)), len(commands) / took_s)
