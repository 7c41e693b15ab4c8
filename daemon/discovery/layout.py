"""Partitions are counted once: a daemon with another number than the data was made with refuses.

A user's commands would go to another stream than the one that has the account.
"""

import contextlib
from collections.abc import Iterable
from typing import Final

from redis import Redis, RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from daemon.errors import PartitionsError
from daemon.logging.masking import mask_credentials
from meterd.redis_servers import RedisServers
from meterd.rules.redis_keys import Keys
from persistence.postgres.engine import make_engine
from persistence.postgres.layout import fetch_partitions, write_partitions
from persistence.redis.client import RedisClients
from persistence.redis.layout import (
    PartitionLayout,
    read_layout,
    write_layout,
    written_here,
    written_layout,
)

CHECK_S: Final = 2.0
_NAME: Final = "meterd layout check"


def check_redis(clients: RedisClients, url: str, partitions: int) -> None:
    """Look at one of the servers; nothing is written.

    Raises:
        PartitionsError: its data was made with another number of partitions, or it has one that
            should be on another server.
    """
    client, mine = clients.at(url), clients.servers.groups(partitions)[url]
    _compare("Redis", _in_redis(client, mine), partitions)
    _check_order(client, clients.servers, url, partitions)


def check_servers(redis: RedisServers, postgres_url: str, partitions: int) -> None:
    """Look at all servers; one that does not answer, or has no data yet, is no obstacle.

    Of Redis only the layout is read, which every role may, so data of one partition are known by
    PostgreSQL alone.

    Raises:
        PartitionsError: as ``check_redis``.
    """
    with RedisClients(redis, CHECK_S) as clients:
        for url, numbers in redis.groups(partitions).items():
            with contextlib.suppress(RedisError):
                client = clients.at(url)
                found = [written_layout(client, Keys(number)) for number in numbers]
                _compare("Redis", [one.partitions for one in found if one is not None], partitions)
                _check_order(client, redis, url, partitions)
    engine = make_engine(
        postgres_url, pool_size=1, statement_timeout_ms=int(CHECK_S * 1_000), application_name=_NAME
    )
    try:
        with contextlib.suppress(SQLAlchemyError), engine.connect() as connection:
            _compare("PostgreSQL", [fetch_partitions(connection)], partitions)
    finally:
        engine.dispose()


def settle_redis(clients: RedisClients, url: str, partitions: int) -> None:
    """Write the layout where there is none; of two daemons that do so, the first has said it.

    Raises:
        PartitionsError: as ``check_redis``.
    """
    client = clients.at(url)
    for number in clients.servers.groups(partitions)[url]:
        if read_layout(client, Keys(number)) is None:  # a full server takes nothing more
            write_layout(client, PartitionLayout(number, partitions))
    check_redis(clients, url, partitions)


def settle_postgres(engine: Engine, partitions: int) -> None:
    """The same in PostgreSQL, which outlives a Redis that is lost.

    Raises:
        PartitionsError: the data was made with another number of partitions.
    """
    with engine.begin() as connection:
        found = fetch_partitions(connection)
        if found is None:
            write_partitions(connection, partitions)
            found = fetch_partitions(connection)
    _compare("PostgreSQL", [found], partitions)


def _in_redis(client: Redis, numbers: Iterable[int]) -> Iterable[int | None]:
    for number in numbers:
        layout = read_layout(client, Keys(number))
        if layout is not None and layout.partition != number:
            raise PartitionsError(
                f"this Redis has partition {layout.partition} where {number} should be: "
                "correct redis.url"
            )
        yield layout.partitions if layout is not None else None


def _check_order(client: Redis, servers: RedisServers, url: str, partitions: int) -> None:
    """Of several servers, none has what is another's by the order of the URLs."""
    if len(servers.urls) == 1:
        return
    others = [Keys(n) for n in range(partitions) if servers.url_of(n) != url]
    for number in written_here(client, others)[:1]:
        here, there = mask_credentials(url), mask_credentials(servers.url_of(number))
        raise PartitionsError(
            f"the Redis at {here} has partition {number}, which by redis.urls is at {there}: name "
            "the servers in the order that the data was made with"
        )


def _compare(server: str, found: Iterable[int | None], partitions: int) -> None:
    for number in found:
        if number not in (None, partitions):
            raise PartitionsError(
                f"partitions is {partitions}, and the data in {server} was made with {number}: set "
                f"partitions to {number}, or use other servers. It can't be changed afterwards."
            )
