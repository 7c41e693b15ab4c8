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


class EndedTotals(Shape):
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
    totals: EndedTotals


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


class Status(BaseModel):
    """What runs where, as the daemon said last; more fields than these."""

    now: MomentMs
    state: str
    why: str | None = None


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
