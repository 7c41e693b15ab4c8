"""The shapes of the status of the whole service, now and in the last hour."""

from typing import Annotated, Any, Literal

from pydantic import Field

from daemon.gateway.schemas.base import Credits, MomentMs, Ms, Now, Number, Shape, about


class FiringAlarm(Shape):
    """An alarm that holds now; Prometheus has the same (deploy/prometheus/)."""

    name: Annotated[str, Field(description="As in Prometheus", examples=["MeterdNotReady"])]
    severity: Annotated[
        Literal["critical", "warning"], about("`critical`: somebody has to look at once")
    ]
    summary: Annotated[str, about("What is wrong, for a person")]
    tile: Annotated[str, about("The figure that it is about")]


class RecoveryProgress(Shape):
    """How far a new leader is."""

    chats_done: Annotated[Number, about("Open chats whose actor is up")]
    chats_total: Annotated[Number, about("Open chats that were found so far")]


class QueueStatus(Shape):
    """How full everything is that grows in Redis, asked for now."""

    lag: Annotated[Number, about("Commands that nobody has read yet")]
    pending: Annotated[Number, about("Commands that were read and have no effect yet")]
    oldest_ms: Annotated[Ms, about("Age of the oldest command without its effect; 0 without one")]
    outbox: Annotated[Number, about("Commits that PostgreSQL does not have yet")]
    outbox_oldest_ms: Annotated[Ms, about("Age of the oldest of these; 0 without one")]
    refused: Annotated[Number, about("Commits that PostgreSQL has refused for good")]
    dead: Annotated[Number, about("Dead letters")]
    events: Annotated[Number, about("Events that are kept")]
    missing: Annotated[Number, about("Commands that were deleted before anybody read them, ever")]
    claimed: Annotated[Number, about("Commands that another consumer of the group read, ever")]
    recreated: Annotated[Number, about("How often the consumer group was gone, ever")]
    unanswered: Annotated[
        Number, about("Replies not written as there were too many reply streams, ever")
    ]
    dead_dropped: Annotated[Number, about("Dead letters that went as there were too many, ever")]


class Durations(Shape):
    """A histogram of durations since the supervisor began."""

    buckets_ms: Annotated[list[int], about("The largest duration of each bucket, ascending")]
    counts: Annotated[
        list[Number],
        about("How many were in each bucket and in none before, and at last those beyond all"),
    ]
    sum_ms: Annotated[Ms, about("The sum of all durations")]
    count: Annotated[Number, about("How many there were")]


class Recent(Shape):
    """The last sample of the history: ten seconds, `null` where there was nothing to measure."""

    open_chats: Annotated[Number | None, about("Chats that actors held")]
    commands_per_s: Annotated[float | None, about("Entries that had their effect, a second")]
    queue_lag: Annotated[Number | None, about("Commands that nobody had read yet")]
    queue_oldest_ms: Annotated[Ms | None, about("Age of the oldest command without its effect")]
    pending: Annotated[Number | None, about("Commands that were read and had no effect yet")]
    outbox: Annotated[Number | None, about("Commits that PostgreSQL did not have yet")]
    dead: Annotated[Number | None, about("Dead letters")]
    memory_bytes: Annotated[Number | None, about("Memory that Redis used")]
    latency_p50_ms: Annotated[
        Ms | None, about("Half of the commands had their effect within so long of their entry")
    ]
    latency_p99_ms: Annotated[Ms | None, about("The same of 99 in 100")]
    lateness_p99_ms: Annotated[
        Ms | None,
        about("99 in 100 changes that time brought took effect within so long of their time"),
    ]


class StatusLimits(Shape):
    """What may be there at most."""

    open_chats: Annotated[Number, about("Open chats; a start beyond gets `at_capacity`")]
    outbox: Annotated[Number, about("Commits that wait for PostgreSQL; beyond, no chat opens")]
    reply_streams: Annotated[Number, about("Reply streams; beyond, no new one is made")]
    dead_bytes: Annotated[Number, about("Bytes of dead letters; beyond, the oldest go")]


class MemoryStatus(Shape):
    """What takes memory in Redis and space in logs, looked at once in ten seconds."""

    used_bytes: Annotated[Number, about("What Redis uses, for everything in it")]
    limit_bytes: Annotated[Number, about("Its `maxmemory`; 0 without one")]
    remembered_ids: Annotated[Number, about("Ids that are remembered")]
    reply_streams: Annotated[Number, about("Reply streams that there are")]
    kinds: Annotated[dict[str, Number], about("Bytes in Redis by kind, about")]
    log_bytes: Annotated[Number, about("Bytes of log files in METERD_HOME")]


class Work(Shape):
    """What the actors did, since the supervisor began."""

    replayed: Annotated[Number, about("Commands whose id had been used before")]
    commits: Annotated[Number, about("Calls of the commit function")]
    redecided: Annotated[Number, about("Accounts that were decided once more")]
    failed: Annotated[Number, about("Attempts at an entry in which the code failed")]


class CreditsMoved(Shape):
    """Credits that moved since the supervisor began; what is in the books, GET /v1/usage has."""

    charged: Annotated[Credits, about("For chats that ended")]
    refunded: Annotated[Credits, about("Of chats that had ended")]
    topped_up: Annotated[Credits, about("Added to accounts")]
    adjusted_up: Annotated[Credits, about("Given by hand")]
    adjusted_down: Annotated[Credits, about("Taken by hand, above 0")]


class Replacing(Shape):
    """A process that was lost and is not there again."""

    since: Annotated[Ms, about("When it was lost")]
    attempt: Annotated[Number, about("How often another one was tried")]
    why: Annotated[str, about("Why the last one was lost or did not start")]


class RecorderStatus(Shape):
    """The process that moves commits to PostgreSQL; fields but `restarts` from its first answer."""

    up: Annotated[bool | None, about("Whether it works")] = None
    pid: Annotated[int | None, about("Its process")] = None
    written: Annotated[Number | None, about("Commits it has written")] = None
    refused: Annotated[Number | None, about("Commits that PostgreSQL has refused it")] = None
    trouble: Annotated[str | None, about("Why it can't write; empty while it can")] = None
    table_bytes: Annotated[
        dict[str, int] | None,
        about("What `journal`, `ledger` and `records` take in PostgreSQL, indexes with them"),
    ] = None
    restarts: Annotated[Number, about("Recorders that were replaced")]
    replacing: Annotated[Replacing | None, about("While it is being replaced")] = None


class ActorStatus(Shape):
    """One chat actor."""

    name: Annotated[str, about("Which actor it is; its processes change")]
    pid: Annotated[int | None, about("Its process; null before its first start")]
    node: Annotated[str | None, about("The Ray node it runs on")]
    up: Annotated[bool, about("Whether it works")]
    restarts: Annotated[Number, about("Processes of it that were replaced")]
    trouble: Annotated[str, about("What its server could not do; empty if nothing")]
    replacing: Annotated[Replacing | None, about("While its process is being replaced")] = None
    waiting: Annotated[Number, about("Batches that it has not answered")]
    chats: Annotated[Number, about("Open chats that it has")]
    chat_ids: Annotated[list[str], about("Some of them")]


State = Literal[
    "starting", "recovering", "ready", "degraded", "held", "lost", "standby", "stopping", "down",
]  # fmt: skip


class PartitionStatus(Shape):
    """One partition of the queue."""

    partition: Annotated[Number, about("Which one")]
    state: Annotated[State, about("Its state; that of the whole is the worst one")]
    why: Annotated[str, about("Why it is so; empty if there is nothing to say")]
    epoch: Annotated[str, about("Under which its supervisor writes; empty while none does")]
    open_chats: Annotated[Number, about("Chats that its actors hold")]
    host: Annotated[str | None, about("The machine whose daemon leads it")] = None


class Status(Shape):
    """What runs where, as the daemon said last, and what to make of it.

    What only a daemon can know is not there while there is none.
    """

    now: Now
    state: Annotated[State, about("`ready` while commands are handled; docs/operations.md")]
    state_since: Annotated[MomentMs, about("Since when; of `down`, since this gateway has noticed")]
    why: Annotated[str, about("Why it is so; empty if there is nothing to say")]
    next_step: Annotated[str | None, about("What to do; null if nothing")]
    alarms: Annotated[list[FiringAlarm], about("What is wrong now, by the alarms of Prometheus")]
    environment: Annotated[str, about("`http.environment`: what people call this deployment")]
    version: Annotated[str, about("The daemon's; without one, the gateway's")]
    queue: Annotated[QueueStatus, about("How full everything is that grows in Redis")]
    recovery: Annotated[RecoveryProgress | None, about("Progress; null unless `recovering`")] = None
    functions: Annotated[
        int | None, about("Version of the function library in Redis that the daemon calls")
    ] = None
    pid: Annotated[int | None, about("The supervisor's process")] = None
    epoch: Annotated[str | None, about("Under which the supervisor writes")] = None
    partitions: Annotated[list[PartitionStatus] | None, about("Each partition in short")] = None
    uptime_ms: Annotated[Ms | None, about("Since the supervisor began")] = None
    open_chats: Annotated[Number | None, about("Chats that actors hold")] = None
    in_flight: Annotated[Number | None, about("Commands on their way to actors")] = None
    commands: Annotated[
        dict[str, dict[str, Number]] | None,
        about("Type, outcome, how many; `invalid` is the type of what can't be a command"),
    ] = None
    outcomes: Annotated[dict[str, Number] | None, about("The same by outcome alone")] = None
    work: Annotated[Work | None, about("What the actors did")] = None
    credits: Annotated[CreditsMoved | None, about("Credits that moved")] = None
    events: Annotated[dict[str, Number] | None, about("Event, how many since it began")] = None
    dead_letters: Annotated[
        dict[str, Number] | None, about("Outcome, entries set aside since it began")
    ] = None
    active_ms: Annotated[Ms | None, about("Of chats that ended since it began")] = None
    clock_steps: Annotated[
        Number | None, about("Steps of the queue's clock, seen since it began")
    ] = None
    lease_changes: Annotated[Number | None, about("How often a supervisor has taken the lead")] = (
        None
    )
    latency_ms: Annotated[Durations | None, about("From a command's entry until its effect")] = None
    lateness_ms: Annotated[
        Durations | None, about("From the millisecond computed for a change to its effect")
    ] = None
    stages_ms: Annotated[
        dict[str, Ms] | None, about("Stage, the time of all commands in it; all of them: latency")
    ] = None
    recent: Annotated[Recent | None, about("The last ten seconds")] = None
    memory: Annotated[MemoryStatus | None, about("Memory and log files, by kind")] = None
    limits: Annotated[StatusLimits | None, about("What may be there at most")] = None
    recorder: Annotated[RecorderStatus | None, about("The recorder")] = None
    actor_restarts: Annotated[Number | None, about("Actors that were replaced")] = None
    actors: Annotated[list[ActorStatus] | None, about("The chat actors")] = None


def _series(text: str) -> Any:
    return Field(description=f"{text}; null where nothing is known")


class HistorySeries(Shape):
    """A list of figures for each series, the oldest first."""

    open_chats: Annotated[list[Number | None], _series("Chats that actors held")]
    commands_per_s: Annotated[list[float | None], _series("Commands handled, a second")]
    queue_lag: Annotated[list[Number | None], _series("Commands that nobody had read yet")]
    queue_oldest_ms: Annotated[list[Ms | None], _series("Age of the oldest without its effect")]
    pending: Annotated[list[Number | None], _series("Commands that were read, without effect yet")]
    outbox: Annotated[list[Number | None], _series("Commits that PostgreSQL did not have yet")]
    dead: Annotated[list[Number | None], _series("Dead letters")]
    memory_bytes: Annotated[list[Number | None], _series("Memory that Redis used")]
    latency_p50_ms: Annotated[list[Ms | None], _series("Half of the commands took at most so long")]
    latency_p99_ms: Annotated[list[Ms | None], _series("99 in 100 took at most so long")]
    lateness_p99_ms: Annotated[
        list[Ms | None], _series("99 in 100 changes that time brought were at most so late")
    ]


class StatusHistory(Shape):
    """The last hour, a figure for each ten seconds, whichever daemon worked."""

    now: Now
    step_ms: Annotated[int, Field(ge=1, description="What one figure stands for")]
    from_: Annotated[MomentMs, Field(alias="from", description="Where the first step begins")]
    series: Annotated[HistorySeries, about("A list of figures for each")]
