"""From settings to the configuration of the actors."""

import hashlib
import json
from functools import partial
from pathlib import Path

from actors.supervisor.supervisor import SupervisorConfig
from daemon.settings.settings import Settings
from meterd.rules.model import Policy, Tariff
from meterd.rules.money import parse_micro
from persistence.redis.commit import Limits, policy_document


def policy_of(settings: Settings) -> Policy:
    """The settings that the fold depends on."""
    tariff = settings.tariff
    return Policy(
        Tariff(
            rate_micro=parse_micro(tariff.rate),
            free_ms=tariff.free_ms,
            min_ms=tariff.min_ms,
            increment_ms=tariff.increment_ms,
            idle_ms=tariff.idle_ms,
            free_scope=tariff.free_scope,
            increment_due=tariff.increment_due,
            abandon_ms=tariff.abandon_ms,
            max_ms=tariff.max_ms,
        ),
        at_zero=settings.credits.at_zero,
        grace_ms=settings.credits.grace_ms,
        warn_ms=tuple(settings.credits.warn_ms),
        open_chats_max=settings.credits.open_chats_max,
    )


def policy_id(policy: Policy) -> str:
    """A short name for exactly this policy; the journal has it in every row."""
    text = json.dumps(policy_document(policy), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def limits_of(settings: Settings) -> Limits:
    """How much and how long Redis keeps."""
    queue, share = settings.queue, partial(_share, settings.partitions)
    return Limits(
        id_ttl_ms=queue.id_ttl_ms,
        credit_id_ttl_ms=queue.credit_id_ttl_ms,
        reply_ttl_ms=queue.reply_ttl_ms,
        reply_entries_max=queue.reply_entries_max,
        reply_streams_max=share(queue.reply_streams_max),
        event_entries_max=queue.event_entries_max,
        dead_entries_max=queue.dead_entries_max,
        dead_bytes_max=share(queue.dead_bytes_max),
    )


def _share(partitions: int, bound: int) -> int:
    """What one of so many partitions may have of something, at least one."""
    return max(1, bound // partitions)


def ray_log_of(settings: Settings) -> Path:
    """The file that gets what Ray prints."""
    return settings.home / "logs" / "ray.log"


def supervisor_settings(settings: Settings) -> SupervisorConfig:
    """The configuration of a partition's supervisor: its share of what is bounded for all."""
    share = partial(_share, settings.partitions)
    return SupervisorConfig(
        actors_max=share(settings.actors.max),
        chats_per_actor=settings.actors.chats_per_actor,
        warm_pool_size=settings.actors.warm_pool_size,
        batch_max=settings.queue.batch_max,
        block_ms=settings.queue.block_ms,
        in_flight_batches_max=settings.queue.in_flight_batches_max,
        lease_ms=settings.supervisor.lease_ms,
        balance_after_ms=settings.supervisor.balance_after_ms,
        stop_timeout_ms=settings.supervisor.stop_timeout_ms,
        processed_retention_ms=settings.queue.processed_retention_ms,
        call_timeout_ms=settings.actors.call_timeout_ms,
        start_timeout_ms=settings.actors.start_timeout_ms,
        step_ms_max=settings.clock.step_ms_max,
        reply_streams_max=share(settings.queue.reply_streams_max),
        dead_bytes_max=share(settings.queue.dead_bytes_max),
        outbox_entries_max=share(settings.recorder.outbox_entries_max),
        log_file=str(ray_log_of(settings)),
    )
