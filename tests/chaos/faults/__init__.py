"""The catalogue: everything that can be broken, how, and how it is fixed."""

from tests.chaos.faults.fault import Fault, NothingThereError
from tests.chaos.faults.hangs import HANGS
from tests.chaos.faults.kills import KILLS
from tests.chaos.faults.machine import MACHINE
from tests.chaos.faults.postgres import POSTGRES
from tests.chaos.faults.queue import QUEUE
from tests.chaos.faults.redis import REDIS

GROUPS: tuple[tuple[Fault, ...], ...] = (
    (*KILLS, *HANGS),
    REDIS,
    POSTGRES,
    MACHINE,
    QUEUE,
)
"""Of different groups, two may be struck at once: the earlier group's first, healed last."""

CATALOGUE: dict[str, Fault] = {fault.name: fault for group in GROUPS for fault in group}

__all__ = ["CATALOGUE", "GROUPS", "Fault", "NothingThereError"]
