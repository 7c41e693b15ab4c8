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
from persistence.redis.client import connect
from tests.engine.harness import KEYS, idle, running
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

    @property
    def targets(self) -> Targets:
        return Targets.of(Databases(self.engine, self.engine, LegacyShape()), self.client)

    def while_working(self, act: Callable[[], T], policy: Policy = Policy()) -> T:  # noqa: B008 - immutable
        """Do something while a daemon works; all of it is in Postgres afterwards."""

        async def play() -> T:
            async with running(self.redis_url, self.engine, policy, SETTINGS):
                await until(lambda: self.client.get(KEYS.instance_id))
                result = await asyncio.to_thread(act)
                if self.client.xlen(KEYS.commands):
                    await idle(self.redis_url)
                return result

        return asyncio.run(play())


@pytest.fixture
def both(engine: Engine) -> Iterator[Both]:
    make_tables(engine)
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        yield Both(engine, url, client)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/legacy/cutover/" in item.path.as_posix():
            item.add_marker(pytest.mark.postgres)
            item.add_marker(pytest.mark.redis)
