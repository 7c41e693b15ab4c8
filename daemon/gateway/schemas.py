"""The shapes of answers, for the OpenAPI description alone: what is sent is made elsewhere."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from meterd.rules.model import FreeScope, IncrementDue, LedgerKind

Credits = Annotated[str, Field(pattern=r"^-?[0-9]+\.[0-9]{6}$", examples=["1.500000"])]
Ms = Annotated[int, Field(ge=0, description="Milliseconds")]
MomentMs = Annotated[int, Field(ge=0, description="Milliseconds since 1970, of the queue's clock")]
Source = Annotated[
    Literal["live", "record", "legacy", "none"],
    Field(deprecated=True, description="As in 0.1: `live` (Redis), `record` (PostgreSQL), …"),
]
ReadFrom = Annotated[
    Literal["redis", "postgres", "legacy", "none"], Field(description="Where the answer was read")
]


class Shape(BaseModel):
    """The base of all answers: nothing else is in them."""

    model_config = ConfigDict(extra="forbid")


class Burner(Shape):
    """A running chat, as far as its cost depends on time."""

    chat_id: str
    as_of: MomentMs
    active_ms: Ms
    rate: Credits
    free_ms: Ms
    min_ms: Ms
    increment_ms: Annotated[int, Field(ge=1)]
    increment_due: IncrementDue


class Wallet(Shape):
    """A user's account as of its last change."""

    user_id: str
    as_of: MomentMs | None
    balance: Credits
    burn_rate: Credits
    zero_at: MomentMs | None
    open_chats: Annotated[int, Field(ge=0)]
    seq: Annotated[int, Field(ge=0)]
    running: list[Burner]


class WhatIf(Shape):
    """How long the account would last with one more chat."""

    rate: Credits
    zero_at: MomentMs | None
    left_ms: Ms | None


class WalletAnswer(Wallet):
    """A wallet."""

    now: MomentMs
    source: Source
    read_from: ReadFrom
    what_if: WhatIf | None = None


class Chat(Shape):
    """A chat as of its last change."""

    chat_id: str
    user_id: str | None
    advisor_id: str | None
    status: Literal["running", "paused", "suspended", "ended", "not_started"]
    as_of: MomentMs | None
    started_at: MomentMs | None
    ended_at: MomentMs | None
    end_reason: str | None
    pause_reason: str | None
    active_ms: Ms
    paused_ms: Ms
    billed_ms: Ms
    cost: Credits
    refunded: Credits
    rate: Credits
    free_ms: Ms
    free_scope: FreeScope
    min_ms: Ms
    increment_ms: Ms
    increment_due: IncrementDue
    idle_ms: Ms
    abandon_ms: Ms
    max_ms: Ms
    seq: Annotated[int, Field(ge=0)]
    carried_cost: Credits | None = None


class ChatAnswer(Chat):
    """A chat with its wallet."""

    now: MomentMs
    source: Source
    read_from: ReadFrom
    chat_source: Annotated[
        Literal["live", "migrated", "legacy"] | None,
        Field(description="Where the chat was metered, as its record has it; null: not started"),
    ]
    wallet: Wallet | None


class Page(Shape):
    """Part of a list."""

    now: MomentMs
    next: str | None


class ChatPage(Page):
    """Chats, the newest first."""

    chats: list[Chat]


class OpenChats(Shape):
    """How many chats are open, by status."""

    running: Annotated[int, Field(ge=0)]
    paused: Annotated[int, Field(ge=0)]
    suspended: Annotated[int, Field(ge=0)]


class Totals(Shape):
    """What chats that ended came to, of all time."""

    chats: Annotated[int, Field(ge=0)]
    active_ms: Ms
    billed_ms: Ms
    cost: Credits
    refunded: Credits


class Advisor(Shape):
    """An advisor's chats summed up, as their records are."""

    now: MomentMs
    advisor_id: str
    open: OpenChats
    burn_rate: Annotated[Credits, Field(description="Credits a minute of the running chats")]
    totals: Totals


class LedgerEntry(Shape):
    """A movement of credits."""

    entry_id: str
    at: MomentMs
    kind: LedgerKind
    amount: Credits
    chat_id: str | None
    command_id: str | None


class LedgerPage(Page):
    """Movements of credits, the newest first."""

    entries: list[LedgerEntry]


class EventLine(Shape):
    """Something that happened; what it is not about is left out."""

    id: Annotated[str, Field(description="Its place: `after` of the next question")]
    event: Annotated[str, Field(examples=["chat.started", "credits.low"])]
    at: MomentMs
    user_id: str
    chat_id: str | None = None
    seq: Annotated[int, Field(ge=0, description="Of the snapshot that it made")]
    reason: str | None = None
    threshold_ms: Ms | None = None


class EventPage(Shape):
    """What happened after a place, in order."""

    now: MomentMs
    events: list[EventLine]
    next: Annotated[str, Field(description="The place to go on after, also if nothing happened")]


class UsageLine(Shape):
    """What one user, advisor or day came to in a period; one of the first three is there."""

    user_id: str | None = None
    advisor_id: str | None = None
    day: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None
    chats: Annotated[int, Field(ge=0, description="How many chats ended")]
    active_ms: Ms
    billed_ms: Ms
    cost: Annotated[Credits, Field(description="Of the chats that ended, `carried_cost` included")]
    charged: Annotated[Credits, Field(description="Taken from accounts for chats")]
    refunded: Credits
    adjusted: Annotated[Credits, Field(description="Given, less what was taken")] | None
    topped_up: Credits | None


class UsagePage(Page):
    """The usage of a period, in order of names or days."""

    by: Literal["user", "advisor", "day"]
    from_: Annotated[MomentMs, Field(alias="from")]
    to: MomentMs
    usage: list[UsageLine]


class Line(Shape):
    """Something that happened to a chat, or to its account while it was open."""

    at: MomentMs
    event: str
    why: str
    active_ms: Ms
    cost: Credits
    outcome: str | None
    entry: str | None
    id: str | None


class HistoryPage(Page):
    """A chat's history, the oldest first."""

    chat_id: str
    history: list[Line]


class Letter(Shape):
    """An entry that was set aside."""

    letter: str
    entry: str
    outcome: str
    reason: str
    fields: dict[str, Any]


class DeadPage(Page):
    """Entries that were set aside, the newest first."""

    letters: list[Letter]


Number = Annotated[int, Field(ge=0)]


def _about(text: str) -> Any:
    return Field(description=text)


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


class RecorderStatus(Shape):
    """The process that moves commits to PostgreSQL; fields but `restarts` from its first answer."""

    up: Annotated[bool | None, _about("Whether it works")] = None
    pid: Annotated[int | None, _about("Its process")] = None
    written: Annotated[Number | None, _about("Commits it has written")] = None
    refused: Annotated[Number | None, _about("Commits that PostgreSQL has refused it")] = None
    trouble: Annotated[str | None, _about("Why it can't write; empty while it can")] = None
    restarts: Annotated[Number, _about("Recorders that were started anew")]


class ActorStatus(Shape):
    """One chat actor."""

    name: Annotated[str, _about("Which actor it is; its processes change")]
    pid: Annotated[int | None, _about("Its process; null before its first start")]
    node: Annotated[str | None, _about("The Ray node it runs on")]
    up: Annotated[bool, _about("Whether it works")]
    restarts: Annotated[Number, _about("Processes of it that were replaced")]
    trouble: Annotated[str, _about("What its server could not do; empty if nothing")]
    waiting: Annotated[Number, _about("Batches that it has not answered")]
    chats: Annotated[Number, _about("Open chats that it has")]
    chat_ids: Annotated[list[str], _about("Some of them")]


State = Literal[
    "starting", "recovering", "ready", "degraded", "held", "lost", "standby", "stopping", "down",
]  # fmt: skip


class Status(Shape):
    """What runs where, as the daemon said last, and what to make of it.

    What only a daemon can know is not there while there is none.
    """

    now: MomentMs
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
    pid: Annotated[int, _about("The supervisor's process")] | None = None
    epoch: Annotated[str, _about("Under which the supervisor writes")] | None = None
    uptime_ms: Annotated[Ms, _about("Since the supervisor began")] | None = None
    open_chats: Annotated[Number, _about("Chats that actors hold")] | None = None
    in_flight: Annotated[Number, _about("Commands on their way to actors")] | None = None
    commands: (
        Annotated[
            dict[str, dict[str, Number]],
            _about("Type, outcome, how many; `invalid` is the type of what can't be a command"),
        ]
        | None
    ) = None
    outcomes: Annotated[dict[str, Number], _about("The same by outcome alone")] | None = None
    work: Annotated[Work, _about("What the actors did")] | None = None
    credits: Annotated[CreditsMoved, _about("Credits that moved")] | None = None
    events: Annotated[dict[str, Number], _about("Event, how many since it began")] | None = None
    dead_letters: (
        Annotated[dict[str, Number], _about("Outcome, entries set aside since it began")] | None
    ) = None
    active_ms: Annotated[Ms, _about("Of chats that ended since it began")] | None = None
    clock_steps: (
        Annotated[Number, _about("Steps of the queue's clock, seen since it began")] | None
    ) = None
    lease_changes: Annotated[Number, _about("How often a supervisor has taken the lead")] | None = (
        None
    )
    latency_ms: Annotated[Durations, _about("From a command's entry until its effect")] | None = (
        None
    )
    lateness_ms: (
        Annotated[Durations, _about("From the millisecond computed for a change to its effect")]
        | None
    ) = None
    recent: Annotated[Recent, _about("The last ten seconds")] | None = None
    limits: Annotated[StatusLimits, _about("What may be there at most")] | None = None
    recorder: Annotated[RecorderStatus, _about("The recorder")] | None = None
    actor_restarts: Annotated[Number, _about("Actors that were replaced")] | None = None
    actors: Annotated[list[ActorStatus], _about("The chat actors")] | None = None


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
    latency_p50_ms: Annotated[list[Ms | None], _series("Half of the commands took at most so long")]
    latency_p99_ms: Annotated[list[Ms | None], _series("99 in 100 took at most so long")]
    lateness_p99_ms: Annotated[
        list[Ms | None], _series("99 in 100 changes that time brought were at most so late")
    ]


class StatusHistory(Shape):
    """The last hour, a figure for each ten seconds, whichever daemon worked."""

    now: MomentMs
    step_ms: Annotated[int, Field(ge=1, description="What one figure stands for")]
    from_: Annotated[MomentMs, Field(alias="from", description="Where the first step begins")]
    series: Annotated[HistorySeries, _about("A list of figures for each")]


class Reply(Shape):
    """The answer to a command."""

    id: str
    outcome: str
    message: str
    entry: str
    replayed: bool
    snapshot: dict[str, Any] | None


class Sent(Shape):
    """A command that is in the queue."""

    id: str
    entry: str


class Problem(BaseModel):
    """Why there is no answer (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str


class ReplyResult(Reply):
    """The reply to one command of an array."""

    status: Literal[200]


class SentResult(Sent):
    """One command of an array that is in the queue."""

    status: Literal[202]


class Replies(Shape):
    """The answers to an array of commands, in its order."""

    results: list[ReplyResult | Problem]


class SentAll(Shape):
    """What became of an array of commands, in its order."""

    results: list[SentResult | Problem]


_WHY = {
    401: "No token, or one that does not count",
    402: "The account can't pay for the next millisecond",
    403: "The token's role may not do this",
    404: "No start has been accepted for this chat",
    410: "Events after this place may be gone; read snapshots, then go on after `0`",
    409: "The chat's state or the id forbids it",
    413: "The body is too large",
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
