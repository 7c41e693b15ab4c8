"""The shapes of answers, for the OpenAPI description alone: what is sent is made elsewhere."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from daemon.asyncapi import words
from meterd.rules.model import FreeScope, IncrementDue, LedgerKind


def _about(text: str) -> Any:
    return Field(description=text)


Number = Annotated[int, Field(ge=0)]
Credits = Annotated[
    str,
    Field(
        pattern=r"^-?[0-9]+\.[0-9]{6}$",
        description="Credits, with 6 places",
        examples=["1.500000"],
    ),
]
Ms = Annotated[int, Field(ge=0, description="Milliseconds")]
MomentMs = Annotated[int, Field(ge=0, description="Milliseconds since 1970, of the queue's clock")]
Source = Annotated[
    Literal["live", "record", "legacy", "none"],
    Field(deprecated=True, description="As in 0.1: `live` (Redis), `record` (PostgreSQL), …"),
]
ReadFrom = Annotated[
    Literal["redis", "postgres", "legacy", "none"], Field(description="Where the answer was read")
]
Now = Annotated[MomentMs, _about("The queue's clock at the moment of the answer, in ms since 1970")]
Moment = Annotated[MomentMs, _about("When, in ms since 1970 by the queue's clock")]
ChatId = Annotated[str, _about(words.FIELDS["chat_id"])]
UserId = Annotated[str, _about(words.FIELDS["user_id"])]
AdvisorId = Annotated[str, _about(words.FIELDS["advisor_id"])]
CommandId = Annotated[str, _about("The command's idempotency key")]
Entry = Annotated[str, _about(words.FIELDS["entry"])]
MinMs = Annotated[Ms, _about(words.FIELDS["min_ms"])]
Increment = Annotated[IncrementDue, _about(words.FIELDS["increment_due"])]


def _of_chat(field: str) -> Any:
    return _about(words.CHAT.get(field) or words.FIELDS[field])


def _of_wallet(field: str) -> Any:
    return _about(words.WALLET[field])


class Shape(BaseModel):
    """The base of all answers: nothing else is in them."""

    model_config = ConfigDict(extra="forbid")


class Burner(Shape):
    """A running chat, as far as its cost depends on time."""

    chat_id: ChatId
    as_of: Annotated[MomentMs, _of_chat("as_of")]
    active_ms: Annotated[Ms, _of_chat("active_ms")]
    rate: Annotated[Credits, _of_chat("rate")]
    free_ms: Annotated[Ms, _of_chat("free_ms")]
    min_ms: MinMs
    increment_ms: Annotated[int, Field(ge=1, description=words.FIELDS["increment_ms"])]
    increment_due: Increment


class WalletSnapshot(Shape):
    """A user's account as of its last change."""

    user_id: UserId
    as_of: Annotated[MomentMs | None, _about("The moment of its last change; null: none so far")]
    balance: Annotated[Credits, _of_wallet("balance")]
    burn_rate: Annotated[Credits, _of_wallet("burn_rate")]
    zero_at: Annotated[MomentMs | None, _of_wallet("zero_at")]
    open_chats: Annotated[Number, _about("Open chats of the user")]
    seq: Annotated[Number, _of_wallet("seq")]


class Wallet(WalletSnapshot):
    """A user's account as of its last change, with what its balance falls by."""

    running: Annotated[
        list[Burner], _about("Its running chats that cost something, at most 100 of them")
    ]


class WhatIf(Shape):
    """How long the account would last with one more chat."""

    rate: Annotated[Credits, _about("The rate that was asked for, in credits a minute")]
    zero_at: Annotated[
        MomentMs | None, _about("The last millisecond that could be paid for; null: no end")
    ]
    left_ms: Annotated[Ms | None, _about("Time until then; 0: it could not start; null: no end")]


class WalletAnswer(Wallet):
    """A wallet."""

    now: Now
    source: Source
    read_from: ReadFrom
    what_if: Annotated[WhatIf | None, _about("The answer to `with_rate`")] = None


class Chat(Shape):
    """A chat as of its last change."""

    chat_id: ChatId
    user_id: Annotated[str | None, _about(words.FIELDS["user_id"])]
    advisor_id: Annotated[str | None, _about(words.FIELDS["advisor_id"])]
    status: Annotated[
        Literal["running", "paused", "suspended", "ended", "not_started"],
        _about("`suspended`: out of credits, waiting for some; `not_started`: it has no record"),
    ]
    as_of: Annotated[MomentMs | None, _of_chat("as_of")]
    started_at: Annotated[MomentMs | None, _of_chat("started_at")]
    ended_at: Annotated[MomentMs | None, _about("When it ended; null while it is open")]
    end_reason: Annotated[str | None, _about("Why it ended; null while it is open")]
    pause_reason: Annotated[str | None, _about("Why it is paused; null unless it is")]
    active_ms: Annotated[Ms, _of_chat("active_ms")]
    paused_ms: Annotated[Ms, _of_chat("paused_ms")]
    billed_ms: Annotated[Ms, _of_chat("billed_ms")]
    cost: Annotated[Credits, _of_chat("cost")]
    refunded: Annotated[Credits, _of_chat("refunded")]
    rate: Annotated[Credits, _of_chat("rate")]
    free_ms: Annotated[Ms, _of_chat("free_ms")]
    free_scope: Annotated[FreeScope, _of_chat("free_scope")]
    min_ms: MinMs
    increment_ms: Annotated[Ms, _of_chat("increment_ms")]
    increment_due: Increment
    idle_ms: Annotated[Ms, _of_chat("idle_ms")]
    abandon_ms: Annotated[Ms, _of_chat("abandon_ms")]
    max_ms: Annotated[Ms, _of_chat("max_ms")]
    seq: Annotated[Number, _of_chat("seq")]
    carried_cost: Annotated[
        Credits | None, _about("What an adopted chat had cost before; never charged here")
    ] = None


class ChatAnswer(Chat):
    """A chat with its wallet."""

    now: Now
    source: Source
    read_from: ReadFrom
    chat_source: Annotated[
        Literal["live", "migrated", "legacy"] | None,
        Field(description="Where the chat was metered, as its record has it; null: not started"),
    ]
    wallet: Annotated[
        Wallet | None, _about("The account that pays; null for an advisor, or if not started")
    ]


class Page(Shape):
    """Part of a list."""

    now: Now
    next: Annotated[str | None, _about("`after` of the next page; null on the last one")]


class ChatPage(Page):
    """Chats, the newest first."""

    chats: Annotated[list[Chat], _about("The chats of this page")]


class OpenChats(Shape):
    """How many chats are open, by status."""

    running: Annotated[Number, _about("Their timer runs")]
    paused: Annotated[Number, _about("Their timer stands still")]
    suspended: Annotated[Number, _about("Out of credits, they wait for some")]


class EndedTotals(Shape):
    """What chats that ended came to, of all time."""

    chats: Annotated[Number, _about("How many ended")]
    active_ms: Annotated[Ms, _about("Time running")]
    billed_ms: Annotated[Ms, _about("Time billed, after free time, minimum and increments")]
    cost: Annotated[Credits, _about("What they cost")]
    refunded: Annotated[Credits, _about("What was given back of that")]


class Advisor(Shape):
    """An advisor's chats summed up, as their records are."""

    now: Now
    advisor_id: AdvisorId
    open: Annotated[OpenChats, _about("How many chats are open, by status")]
    burn_rate: Annotated[Credits, Field(description="Credits a minute of the running chats")]
    totals: Annotated[EndedTotals, _about("What the chats that ended came to")]


class LedgerEntry(Shape):
    """A movement of credits."""

    entry_id: Annotated[str, _about("The entry's key")]
    at: Moment
    kind: Annotated[LedgerKind, _about("Why credits moved; `charge`: a chat ended")]
    amount: Annotated[Credits, _about("Credits: above 0 given, below 0 taken")]
    chat_id: Annotated[str | None, _about("The chat; null if it is about none")]
    command_id: Annotated[str | None, _about("Its command's id; null where time did it")]


class LedgerPage(Page):
    """Movements of credits, the newest first."""

    entries: Annotated[list[LedgerEntry], _about("The movements of this page")]


class EventLine(Shape):
    """Something that happened; what it is not about is left out."""

    id: Annotated[str, Field(description="Its place: `after` of the next question")]
    event: Annotated[
        str, Field(description="What happened", examples=["chat.started", "credits.low"])
    ]
    at: Moment
    user_id: Annotated[str, _about("Whose account it is about")]
    chat_id: Annotated[str | None, _about("The chat; not there if it is about none")] = None
    seq: Annotated[Number, Field(description="Of the snapshot that it made")]
    reason: Annotated[str | None, _about("Why, of an end and of a pause")] = None
    threshold_ms: Annotated[Ms | None, _about("Of `credits.low`: how much time is left")] = None


class EventPage(Shape):
    """What happened after a place, in order."""

    now: Now
    events: Annotated[list[EventLine], _about("What happened, the oldest first")]
    next: Annotated[str, Field(description="The place to go on after, also if nothing happened")]


class UsageLine(Shape):
    """What one user, advisor or day came to in a period; one of the first three is there."""

    user_id: Annotated[str | None, _about("By user: whose account")] = None
    advisor_id: Annotated[str | None, _about("By advisor: who is paid for")] = None
    day: Annotated[
        Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None,
        Field(description="By day: the day of UTC", examples=["2026-11-28"]),
    ] = None
    chats: Annotated[Number, Field(description="How many chats ended")]
    active_ms: Annotated[Ms, _about("Time running, of these")]
    billed_ms: Annotated[Ms, _about("Time billed, of these")]
    cost: Annotated[Credits, Field(description="Of the chats that ended, `carried_cost` included")]
    charged: Annotated[Credits, Field(description="Taken from accounts for chats")]
    refunded: Annotated[Credits, _about("Given back of chats")]
    adjusted: Annotated[
        Credits | None, Field(description="Given, less what was taken; null where it is of chats")
    ]
    topped_up: Annotated[
        Credits | None, _about("Added to accounts; null where it is of chats alone")
    ]


class UsagePage(Page):
    """The usage of a period, in order of names or days."""

    by: Annotated[Literal["user", "advisor", "day"], _about("What a line is about")]
    from_: Annotated[MomentMs, Field(alias="from", description="First millisecond of the period")]
    to: Annotated[MomentMs, _about("First millisecond after the period")]
    usage: Annotated[list[UsageLine], _about("The lines of this page")]


class Line(Shape):
    """Something that happened to a chat, or to its account while it was open."""

    at: Moment
    event: Annotated[
        str, _about("An event's name; `refused`, `repeated` (no effect) or `free_time.moved`")
    ]
    why: Annotated[str, _about("Why, in a sentence for people")]
    active_ms: Annotated[Ms, _about("Time running by then")]
    cost: Annotated[Credits, _about("What the chat had cost by then")]
    outcome: Annotated[str | None, _about("Of a command; null where time did it")]
    entry: Annotated[str | None, _about("The command's place in the queue, if there was one")]
    id: Annotated[str | None, _about("The command's id, if there was one")]


class HistoryPage(Page):
    """A chat's history, the oldest first."""

    chat_id: ChatId
    archived_until: Annotated[
        MomentMs | None,
        _about("What happened before it was archived and is not told; null if nothing was"),
    ]
    history: Annotated[list[Line], _about("What happened, the oldest first")]


class Letter(Shape):
    """An entry that was set aside."""

    letter: Annotated[str, _about("What it is called: operations name it")]
    entry: Annotated[str, _about("Where the entry stood in the queue")]
    outcome: Annotated[str, _about("`invalid_command` or `internal_error`")]
    reason: Annotated[str, _about("What is wrong with it, for a person")]
    fields: Annotated[
        dict[str, Any], _about("What was sent; a field that came twice is a list of its values")
    ]


class DeadPage(Page):
    """Entries that were set aside, the newest first."""

    letters: Annotated[list[Letter], _about("The entries of this page")]


class FiringAlarm(Shape):
    """An alarm that holds now; Prometheus has the same (deploy/prometheus/)."""

    name: Annotated[str, Field(description="As in Prometheus", examples=["MeterdNotReady"])]
    severity: Annotated[
        Literal["critical", "warning"], _about("`critical`: somebody has to look at once")
    ]
    summary: Annotated[str, _about("What is wrong, for a person")]
    tile: Annotated[str, _about("The figure that it is about")]


class RecoveryProgress(Shape):
    """How far a new leader is."""

    chats_done: Annotated[Number, _about("Open chats whose actor is up")]
    chats_total: Annotated[Number, _about("Open chats that were found so far")]


class QueueStatus(Shape):
    """How full everything is that grows in Redis, asked for now."""

    lag: Annotated[Number, _about("Commands that nobody has read yet")]
    pending: Annotated[Number, _about("Commands that were read and have no effect yet")]
    oldest_ms: Annotated[Ms, _about("Age of the oldest command without its effect; 0 without one")]
    outbox: Annotated[Number, _about("Commits that PostgreSQL does not have yet")]
    outbox_oldest_ms: Annotated[Ms, _about("Age of the oldest of these; 0 without one")]
    refused: Annotated[Number, _about("Commits that PostgreSQL has refused for good")]
    dead: Annotated[Number, _about("Dead letters")]
    events: Annotated[Number, _about("Events that are kept")]
    missing: Annotated[Number, _about("Commands that were deleted before anybody read them, ever")]
    claimed: Annotated[Number, _about("Commands that another consumer of the group read, ever")]
    recreated: Annotated[Number, _about("How often the consumer group was gone, ever")]
    unanswered: Annotated[
        Number, _about("Replies not written as there were too many reply streams, ever")
    ]
    dead_dropped: Annotated[Number, _about("Dead letters that went as there were too many, ever")]


class Durations(Shape):
    """A histogram of durations since the supervisor began."""

    buckets_ms: Annotated[list[int], _about("The largest duration of each bucket, ascending")]
    counts: Annotated[
        list[Number],
        _about("How many were in each bucket and in none before, and at last those beyond all"),
    ]
    sum_ms: Annotated[Ms, _about("The sum of all durations")]
    count: Annotated[Number, _about("How many there were")]


class Recent(Shape):
    """The last sample of the history: ten seconds, `null` where there was nothing to measure."""

    open_chats: Annotated[Number | None, _about("Chats that actors held")]
    commands_per_s: Annotated[float | None, _about("Entries that had their effect, a second")]
    queue_lag: Annotated[Number | None, _about("Commands that nobody had read yet")]
    queue_oldest_ms: Annotated[Ms | None, _about("Age of the oldest command without its effect")]
    pending: Annotated[Number | None, _about("Commands that were read and had no effect yet")]
    outbox: Annotated[Number | None, _about("Commits that PostgreSQL did not have yet")]
    dead: Annotated[Number | None, _about("Dead letters")]
    memory_bytes: Annotated[Number | None, _about("Memory that Redis used")]
    latency_p50_ms: Annotated[
        Ms | None, _about("Half of the commands had their effect within so long of their entry")
    ]
    latency_p99_ms: Annotated[Ms | None, _about("The same of 99 in 100")]
    lateness_p99_ms: Annotated[
        Ms | None,
        _about("99 in 100 changes that time brought took effect within so long of their time"),
    ]


class StatusLimits(Shape):
    """What may be there at most."""

    open_chats: Annotated[Number, _about("Open chats; a start beyond gets `at_capacity`")]
    outbox: Annotated[Number, _about("Commits that wait for PostgreSQL; beyond, no chat opens")]
    reply_streams: Annotated[Number, _about("Reply streams; beyond, no new one is made")]
    dead_bytes: Annotated[Number, _about("Bytes of dead letters; beyond, the oldest go")]


class MemoryStatus(Shape):
    """What takes memory in Redis and space in logs, looked at once in ten seconds."""

    used_bytes: Annotated[Number, _about("What Redis uses, for everything in it")]
    limit_bytes: Annotated[Number, _about("Its `maxmemory`; 0 without one")]
    remembered_ids: Annotated[Number, _about("Ids that are remembered")]
    reply_streams: Annotated[Number, _about("Reply streams that there are")]
    kinds: Annotated[dict[str, Number], _about("Bytes in Redis by kind, about")]
    log_bytes: Annotated[Number, _about("Bytes of log files in METERD_HOME")]


class Work(Shape):
    """What the actors did, since the supervisor began."""

    replayed: Annotated[Number, _about("Commands whose id had been used before")]
    commits: Annotated[Number, _about("Calls of the commit function")]
    redecided: Annotated[Number, _about("Accounts that were decided once more")]
    failed: Annotated[Number, _about("Attempts at an entry in which the code failed")]


class CreditsMoved(Shape):
    """Credits that moved since the supervisor began; what is in the books, GET /v1/usage has."""

    charged: Annotated[Credits, _about("For chats that ended")]
    refunded: Annotated[Credits, _about("Of chats that had ended")]
    topped_up: Annotated[Credits, _about("Added to accounts")]
    adjusted_up: Annotated[Credits, _about("Given by hand")]
    adjusted_down: Annotated[Credits, _about("Taken by hand, above 0")]


class Replacing(Shape):
    """A process that was lost and is not there again."""

    since: Annotated[Ms, _about("When it was lost")]
    attempt: Annotated[Number, _about("How often another one was tried")]
    why: Annotated[str, _about("Why the last one was lost or did not start")]


class RecorderStatus(Shape):
    """The process that moves commits to PostgreSQL; fields but `restarts` from its first answer."""

    up: Annotated[bool | None, _about("Whether it works")] = None
    pid: Annotated[int | None, _about("Its process")] = None
    written: Annotated[Number | None, _about("Commits it has written")] = None
    refused: Annotated[Number | None, _about("Commits that PostgreSQL has refused it")] = None
    trouble: Annotated[str | None, _about("Why it can't write; empty while it can")] = None
    table_bytes: Annotated[
        dict[str, int] | None,
        _about("What `journal`, `ledger` and `records` take in PostgreSQL, indexes with them"),
    ] = None
    restarts: Annotated[Number, _about("Recorders that were replaced")]
    replacing: Annotated[Replacing | None, _about("While it is being replaced")] = None


class ActorStatus(Shape):
    """One chat actor."""

    name: Annotated[str, _about("Which actor it is; its processes change")]
    pid: Annotated[int | None, _about("Its process; null before its first start")]
    node: Annotated[str | None, _about("The Ray node it runs on")]
    up: Annotated[bool, _about("Whether it works")]
    restarts: Annotated[Number, _about("Processes of it that were replaced")]
    trouble: Annotated[str, _about("What its server could not do; empty if nothing")]
    replacing: Annotated[Replacing | None, _about("While its process is being replaced")] = None
    waiting: Annotated[Number, _about("Batches that it has not answered")]
    chats: Annotated[Number, _about("Open chats that it has")]
    chat_ids: Annotated[list[str], _about("Some of them")]


State = Literal[
    "starting", "recovering", "ready", "degraded", "held", "lost", "standby", "stopping", "down",
]  # fmt: skip


class PartitionStatus(Shape):
    """One partition of the queue."""

    partition: Annotated[Number, _about("Which one")]
    state: Annotated[State, _about("Its state; that of the whole is the worst one")]
    why: Annotated[str, _about("Why it is so; empty if there is nothing to say")]
    epoch: Annotated[str, _about("Under which its supervisor writes; empty while none does")]
    open_chats: Annotated[Number, _about("Chats that its actors hold")]
    host: Annotated[str | None, _about("The machine whose daemon leads it")] = None


class Status(Shape):
    """What runs where, as the daemon said last, and what to make of it.

    What only a daemon can know is not there while there is none.
    """

    now: Now
    state: Annotated[State, _about("`ready` while commands are handled; docs/operations.md")]
    state_since: Annotated[
        MomentMs, _about("Since when; of `down`, since this gateway has noticed")
    ]
    why: Annotated[str, _about("Why it is so; empty if there is nothing to say")]
    next_step: Annotated[str | None, _about("What to do; null if nothing")]
    alarms: Annotated[list[FiringAlarm], _about("What is wrong now, by the alarms of Prometheus")]
    environment: Annotated[str, _about("`http.environment`: what people call this deployment")]
    version: Annotated[str, _about("The daemon's; without one, the gateway's")]
    queue: Annotated[QueueStatus, _about("How full everything is that grows in Redis")]
    recovery: Annotated[RecoveryProgress | None, _about("Progress; null unless `recovering`")] = (
        None
    )
    functions: Annotated[
        int | None, _about("Version of the function library in Redis that the daemon calls")
    ] = None
    pid: Annotated[int | None, _about("The supervisor's process")] = None
    epoch: Annotated[str | None, _about("Under which the supervisor writes")] = None
    partitions: Annotated[list[PartitionStatus] | None, _about("Each partition in short")] = None
    uptime_ms: Annotated[Ms | None, _about("Since the supervisor began")] = None
    open_chats: Annotated[Number | None, _about("Chats that actors hold")] = None
    in_flight: Annotated[Number | None, _about("Commands on their way to actors")] = None
    commands: Annotated[
        dict[str, dict[str, Number]] | None,
        _about("Type, outcome, how many; `invalid` is the type of what can't be a command"),
    ] = None
    outcomes: Annotated[dict[str, Number] | None, _about("The same by outcome alone")] = None
    work: Annotated[Work | None, _about("What the actors did")] = None
    credits: Annotated[CreditsMoved | None, _about("Credits that moved")] = None
    events: Annotated[dict[str, Number] | None, _about("Event, how many since it began")] = None
    dead_letters: Annotated[
        dict[str, Number] | None, _about("Outcome, entries set aside since it began")
    ] = None
    active_ms: Annotated[Ms | None, _about("Of chats that ended since it began")] = None
    clock_steps: Annotated[
        Number | None, _about("Steps of the queue's clock, seen since it began")
    ] = None
    lease_changes: Annotated[Number | None, _about("How often a supervisor has taken the lead")] = (
        None
    )
    latency_ms: Annotated[Durations | None, _about("From a command's entry until its effect")] = (
        None
    )
    lateness_ms: Annotated[
        Durations | None, _about("From the millisecond computed for a change to its effect")
    ] = None
    stages_ms: Annotated[
        dict[str, Ms] | None, _about("Stage, the time of all commands in it; all of them: latency")
    ] = None
    recent: Annotated[Recent | None, _about("The last ten seconds")] = None
    memory: Annotated[MemoryStatus | None, _about("Memory and log files, by kind")] = None
    limits: Annotated[StatusLimits | None, _about("What may be there at most")] = None
    recorder: Annotated[RecorderStatus | None, _about("The recorder")] = None
    actor_restarts: Annotated[Number | None, _about("Actors that were replaced")] = None
    actors: Annotated[list[ActorStatus] | None, _about("The chat actors")] = None


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
    series: Annotated[HistorySeries, _about("A list of figures for each")]


class Reply(Shape):
    """The answer to a command."""

    id: CommandId
    outcome: Annotated[str, _about("`ok`")]
    message: Annotated[str, _about("The outcome for a person; empty if there is nothing to say")]
    entry: Entry
    replayed: Annotated[
        bool, _about("Whether the id was used before, so that this one had no effect of its own")
    ]
    snapshot: Annotated[
        Chat | WalletSnapshot | None, _about("The chat; of a command on an account, the wallet")
    ]


class Sent(Shape):
    """A command that is in the queue."""

    id: CommandId
    entry: Entry


class InvalidField(Shape):
    """A part of a request that is wrong."""

    field: Annotated[str, _about("Where it is: a parameter, or a field of the body")]
    message: Annotated[str, _about("What is wrong with it")]


class Problem(BaseModel):
    """Why there is no answer (RFC 9457). Of a refused command it tells the reply, too."""

    type: Annotated[str, _about("`about:blank`: `title` says it")]
    title: Annotated[str, _about("The status in words")]
    status: Annotated[int, _about("The status of the answer")]
    detail: Annotated[str, _about("What is wrong and what to do, for a person")]
    code: Annotated[str, _about("What is wrong, for programs; of a command, its outcome")]
    request_id: Annotated[str, _about("Names the request in logs, as `X-Request-Id`")]
    errors: Annotated[list[InvalidField], _about("Of 422: each part that is wrong")] = []
    id: Annotated[str | None, _about("Of a command: its id")] = None
    outcome: Annotated[str | None, _about("Of a command that was refused: why")] = None
    entry: Annotated[str | None, _about("Its place in the queue, if it came so far")] = None
    replayed: Annotated[bool | None, _about("Whether its id was used before")] = None
    snapshot: Annotated[
        Chat | WalletSnapshot | None, _about("The chat or the wallet that refused it")
    ] = None


class ReplyResult(Reply):
    """The reply to one command of an array."""

    status: Annotated[Literal[200], _about("It took effect")]


class SentResult(Sent):
    """One command of an array that is in the queue."""

    status: Annotated[Literal[202], _about("It is in the queue")]


class Replies(Shape):
    """The answers to an array of commands, in its order."""

    results: Annotated[list[ReplyResult | Problem], _about("One for each command")]


class SentAll(Shape):
    """What became of an array of commands, in its order."""

    results: Annotated[list[SentResult | Problem], _about("One for each command")]


class Liveness(Shape):
    """The process lives."""

    status: Annotated[Literal["ok"], _about("`ok`")]


class Readiness(Shape):
    """What can be reached."""

    status: Annotated[str, _about("`ok`, or what is away")]
    redis: Annotated[Literal["up", "away"], _about("Whether Redis answers")]
    postgres: Annotated[Literal["up", "away"], _about("Whether PostgreSQL answers")]


_WHY = {
    401: "No token, or one that does not count",
    402: "The account can't pay for the next millisecond",
    403: "The token's role may not do this",
    404: "No start has been accepted for this chat",
    410: "Events after this place may be gone; read snapshots, then go on after `0`",
    409: "The chat's state or the id forbids it",
    413: "The body is too large",
    421: "The user's account is in another partition of the queue",
    422: "Something in the request is wrong; errors names it",
    429: "Too many requests, or too many streams",
    500: "The entry made the daemon fail",
    503: "What is needed for the answer is away",
    504: "No reply came in time",
}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer instead."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": _WHY[code], "content": content} for code in codes}


READ = problems(401, 403, 422, 429, 503)

_TEXT = {"type": "string"}
EVENTS: dict[int | str, dict[str, Any]] = {
    **READ,
    **problems(410),
    200: {
        "description": "Events; as a stream, one message each, with its `id`, and at last `end`",
        "content": {"text/event-stream": {}},
    },
}
USAGE: dict[int | str, dict[str, Any]] = {
    **READ,
    200: {
        "description": "The usage; as CSV with a `Link` to the next page where there is one",
        "content": {"text/csv": {"schema": _TEXT}},
    },
}
# What a message of a stream holds, docs/asyncapi.json describes: OpenAPI can from 3.2 on only.
STREAM: dict[int | str, dict[str, Any]] = {
    **READ,
    200: {
        "description": "Server-sent events: `snapshot`, then one for each event, and "
        "`chat.snapshot` for a chat whose free time another one has moved; at last `end`",
        "content": {"text/event-stream": {}},
    },
}
