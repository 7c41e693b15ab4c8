"""Both systems in one database, and a daemon that works while something happens."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import pytest
import redis
from sqlalchemy import Engine

from actors.supervisor.supervisor import SupervisorConfig
from daemon.legacy.balances import Targets
from daemon.legacy.diff import Databases
from daemon.legacy.store.shape import LegacyShape
from meterd.rules.model import Policy
from meterd.rules.partitions import Partition
from meterd.rules.redis_keys import Keys
from persistence.postgres.layout import write_partitions
from persistence.redis.client import connect
from persistence.redis.layout import PartitionLayout, write_layout
from tests.engine.harness import idle, running
from tests.engine.play import until
from tests.legacy.cutover.old import make_tables
from tests.servers import redis_server

T = TypeVar("T")

SETTINGS = SupervisorConfig(actors_max=2)


class Both(NamedTuple):
    """The old system's tables and a meterd."""

    engine: Engine
    redis_url: str
    client: redis.Redis
    partitions: int = 1

    @property
    def targets(self) -> Targets:
        sides = Databases(self.engine, self.engine, LegacyShape())
        return Targets.of(sides, lambda _number: self.client)

    def while_working(self, act: Callable[[], T], policy: Policy = Policy()) -> T:  # noqa: B008 - immutable
        """Do something while a daemon works; all of it is in Postgres afterwards."""

        async def play() -> T:
            async with contextlib.AsyncExitStack() as stack:
                for one in self.all_partitions:
                    working = running(self.redis_url, self.engine, policy, SETTINGS, partition=one)
                    await stack.enter_async_context(working)
                for keys in self.all_keys:
                    await until(lambda keys=keys: self.client.get(keys.instance_id))
                result = await asyncio.to_thread(act)
                for keys in self.all_keys:
                    if self.client.xlen(keys.commands):
                        await idle(self.redis_url, keys=keys)
                return result

        return asyncio.run(play())

    @property
    def all_partitions(self) -> list[Partition]:
        """Those of the queue."""
        return [Partition(number, self.partitions) for number in range(self.partitions)]

    @property
    def all_keys(self) -> list[Keys]:
        """The keys of each."""
        return [Keys(number) for number in range(self.partitions)]


SEVERAL = pytest.mark.parametrize("both", [1, 4], indirect=True, ids=["1", "4"])
"""With one partition and with several: it comes to the same."""
SLOWLY_SEVERAL = pytest.mark.parametrize(
    "both", [1, pytest.param(4, marks=pytest.mark.slow)], indirect=True, ids=["1", "4"]
)
"""Likewise; those with several are long, and run by ``make test-slow``."""


@pytest.fixture
def both(engine: Engine, request: pytest.FixtureRequest) -> Iterator[Both]:
    """Both, in as many partitions as ``SEVERAL`` says; else in one."""
    partitions = getattr(request, "param", 1)
    make_tables(engine)
    with engine.begin() as connection:
        write_partitions(connection, partitions)
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        for number in range(partitions):
            write_layout(client, PartitionLayout(number, partitions))
        yield Both(engine, url, client, partitions)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/legacy/cutover/" in item.path.as_posix():
            item.add_marker(pytest.mark.postgres)
            item.add_marker(pytest.mark.redis)
