"""What the gateway is made of, put together once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import redis

from daemon.discovery.runfile import Addresses
from daemon.gateway.fallback import ChatFallback
from daemon.gateway.key_source import keys_of
from daemon.gateway.legacy_fallback import legacy_fallback  # migration seam
from daemon.gateway.metrics import Metrics
from daemon.gateway.partition_keys import PartitionKeys
from daemon.gateway.postgres_reader import STATEMENT_MS_MAX, PostgresReader
from daemon.gateway.queries import Queries
from daemon.gateway.queue_clock import QueueClock
from daemon.gateway.rate_limit import Buckets
from daemon.gateway.redis_reader import RedisReader
from daemon.gateway.streams.event_broadcaster import EventBroadcaster
from daemon.gateway.streams.event_feed import EventFeed
from daemon.gateway.streams.stream import Streams
from daemon.gateway.tokens import Tokens
from daemon.settings.derived import policy_of
from daemon.settings.settings import Settings
from meterd import AsyncMeter
from meterd.rules.model import Policy
from persistence.postgres.engine import make_engine
from persistence.redis.client import AsyncRedisClients

SOCKET_TIMEOUT_S = 2.0
"""Less than the daemon's: a reader gets another answer from Postgres meanwhile."""


class Dependencies(NamedTuple):
    """Everything a route may need."""

    settings: Settings
    policy: Policy
    keys: PartitionKeys
    clients: AsyncRedisClients
    redis_reader: RedisReader
    postgres_reader: PostgresReader
    clock: QueueClock
    queries: Queries
    meter: AsyncMeter
    broadcaster: EventBroadcaster
    streams: Streams
    feed: EventFeed
    tokens: Tokens
    buckets: Buckets
    metrics: Metrics
    fallback: ChatFallback | None


def make_dependencies(settings: Settings, addresses: Addresses) -> Dependencies:
    """Nothing is connected yet. Raises KeysError: nothing says whose tokens count."""
    tokens = Tokens(keys_of(settings), settings.http.audience)
    keys, http = PartitionKeys(settings.partitions), settings.http
    clients = AsyncRedisClients(addresses.redis, SOCKET_TIMEOUT_S)
    engine = make_engine(
        addresses.postgres_url,
        pool_size=settings.postgres.pool_size,
        statement_timeout_ms=STATEMENT_MS_MAX,
        application_name="meterd gateway",
    )
    records = PostgresReader(engine, 2 * settings.postgres.pool_size)
    live, clock = RedisReader(clients), QueueClock(clients)
    meter = AsyncMeter(addresses.redis.urls, addresses.postgres_url)
    broadcaster = EventBroadcaster(meter, live, keys, clock, http)
    fallback: ChatFallback | None = None
    fallback = legacy_fallback(settings, addresses.postgres_url)  # migration seam
    reading = Queries(live, records, keys, clock, fallback)
    parts = broadcaster, live, meter, clock, reading
    streams = Streams(clients, parts, keys, http.stream_messages_max)
    return Dependencies(
        settings=settings,
        policy=policy_of(settings),
        keys=keys,
        clients=clients,
        redis_reader=live,
        postgres_reader=records,
        clock=clock,
        queries=reading,
        meter=meter,
        broadcaster=broadcaster,
        streams=streams,
        feed=EventFeed(meter, http.keep_alive_ms / 1000),
        tokens=tokens,
        buckets=Buckets(http.requests_per_s, http.requests_burst),
        metrics=Metrics(broadcaster),
        fallback=fallback,
    )


@contextlib.asynccontextmanager
async def running(parts: Dependencies) -> AsyncIterator[None]:
    """Follow the clock and the events; let go of everything afterwards."""
    with contextlib.suppress(redis.RedisError):
        await parts.clock.sample()
    tasks = [
        asyncio.create_task(parts.clock.keep(), name="clock"),
        asyncio.create_task(parts.broadcaster.keep(), name="broadcaster"),
        asyncio.create_task(parts.broadcaster.tick(), name="broadcaster-tick"),
    ]
    if parts.fallback is not None:
        tasks.append(asyncio.create_task(parts.fallback.probe(), name="fallback"))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await parts.meter.close()
        await parts.clients.aclose()
        parts.postgres_reader.close()
        if parts.fallback is not None:
            parts.fallback.close()
