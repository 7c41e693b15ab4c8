"""The catalogue: everything that can be broken, how, and how it is mended."""

from tests.chaos.faults.fault import Fault, NothingThereError
from tests.chaos.faults.hangs import HANGS
from tests.chaos.faults.kills import KILLS
from tests.chaos.faults.postgres import POSTGRES
from tests.chaos.faults.redis import REDIS

CATALOGUE: dict[str, Fault] = {fault.name: fault for fault in (*KILLS, *HANGS, *REDIS, *POSTGRES)}

__all__ = ["CATALOGUE", "Fault", "NothingThereError"]
