"""An hour of the daemon's past in Redis: a sample every ten seconds, which outlives the daemon."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import redis
import redis.asyncio

from meterd.rules.commands import entry_ms
from meterd.rules.redis_keys import Keys
from persistence.redis.client import AsyncRedisClients

STEP_MS: Final = 10_000
SAMPLES_MAX: Final = 360


class StatusSample(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the daemon was for ten seconds; None where nothing is known."""

    open_chats: int | None = None
    commands_per_s: float | None = None
    """Handled in the ten seconds before."""
    queue_lag: int | None = None
    """Commands that nobody had read yet."""
    queue_oldest_ms: int | None = None
    pending: int | None = None
    outbox: int | None = None
    dead: int | None = None
    memory_bytes: int | None = None
    """What Redis used."""
    latency_p50_ms: int | None = None
    """Of the commands of these ten seconds, within a bucket of the histogram; None without any."""
    latency_p99_ms: int | None = None
    lateness_p99_ms: int | None = None


SERIES: Final = StatusSample.__struct_fields__
"""The names of the figures in a sample."""

_LARGEST: Final = {
    "queue_oldest_ms",
    "memory_bytes",
    "latency_p50_ms",
    "latency_p99_ms",
    "lateness_p99_ms",
}
"""Of all partitions at once: the worst one's, or the server's."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(StatusSample).decode


async def add_sample(client: redis.asyncio.Redis, keys: Keys, sample: StatusSample) -> None:
    """Append a sample; its stream ID says when it was taken, and the oldest goes."""
    fields: Any = {"sample": _encode(sample)}
    await client.xadd(keys.history, fields, maxlen=SAMPLES_MAX, approximate=False)


async def read_history(
    clients: AsyncRedisClients, partitions: Iterable[Keys], now_ms: int
) -> dict[str, Any]:
    """The last hour in steps: the first one's beginning, and a list of figures for each series.

    What a Redis has that does not answer is missing.

    Raises:
        redis.RedisError: none answers.
    """
    from_ms = (now_ms // STEP_MS - SAMPLES_MAX + 1) * STEP_MS
    by_step: list[list[StatusSample]] = [[] for _ in range(SAMPLES_MAX)]
    failures: list[redis.RedisError] = []
    found: list[dict[int, StatusSample]] = []
    for keys in partitions:
        try:
            found.append(await _samples(clients.of(keys.partition), keys, from_ms))
        except redis.RedisError as error:
            failures.append(error)
    if failures and not found:
        raise failures[0]
    for step, sample in (pair for samples in found for pair in samples.items()):
        by_step[step].append(sample)
    steps = [merge_samples(samples) for samples in by_step]
    series = {name: [getattr(sample, name, None) for sample in steps] for name in SERIES}
    return {"step_ms": STEP_MS, "from": from_ms, "series": series}


async def _samples(
    client: redis.asyncio.Redis, keys: Keys, from_ms: int
) -> dict[int, StatusSample]:
    """A partition's samples by step; of several in one step, the last."""
    found: Any = await client.xrange(keys.history, min=str(max(0, from_ms)))
    samples = {
        (entry_ms(entry.decode()) - from_ms) // STEP_MS: _decode(fields[b"sample"])
        for entry, fields in found
    }
    # The queue's clock may have been ahead for a while.
    return {step: sample for step, sample in samples.items() if 0 <= step < SAMPLES_MAX}


def merge_samples(samples: Sequence[StatusSample]) -> StatusSample | None:
    """One sample of all partitions: a sum; of times and of the server's figures, the largest.

    A figure that one partition lacks is what the others have.
    """
    if len(samples) < 2:  # noqa: PLR2004 - nothing to merge
        return samples[0] if samples else None
    merged: dict[str, Any] = {}
    for name in SERIES:
        values = [value for one in samples if (value := getattr(one, name)) is not None]
        merge = max if name in _LARGEST else sum
        merged[name] = merge(values) if values else None
    return StatusSample(**merged)
