"""The shapes of chats: one, a list of them, and the history of one."""

from typing import Annotated, Literal

from pydantic import Field

from daemon.asyncapi import words
from daemon.gateway.schemas.base import (
    ChatId,
    Credits,
    Increment,
    MinMs,
    Moment,
    MomentMs,
    Ms,
    Now,
    Number,
    Page,
    ReadFrom,
    Shape,
    Source,
    about,
    of_chat,
)
from daemon.gateway.schemas.wallets import Wallet
from meterd.rules.model import FreeScope


class Chat(Shape):
    """A chat as of its last change."""

    chat_id: ChatId
    user_id: Annotated[str | None, about(words.FIELDS["user_id"])]
    advisor_id: Annotated[str | None, about(words.FIELDS["advisor_id"])]
    status: Annotated[
        Literal["running", "paused", "suspended", "ended", "not_started"],
        about("`suspended`: out of credits, waiting for some; `not_started`: it has no record"),
    ]
    as_of: Annotated[MomentMs | None, of_chat("as_of")]
    started_at: Annotated[MomentMs | None, of_chat("started_at")]
    ended_at: Annotated[MomentMs | None, about("When it ended; null while it is open")]
    end_reason: Annotated[str | None, about("Why it ended; null while it is open")]
    pause_reason: Annotated[str | None, about("Why it is paused; null unless it is")]
    active_ms: Annotated[Ms, of_chat("active_ms")]
    paused_ms: Annotated[Ms, of_chat("paused_ms")]
    billed_ms: Annotated[Ms, of_chat("billed_ms")]
    cost: Annotated[Credits, of_chat("cost")]
    refunded: Annotated[Credits, of_chat("refunded")]
    rate: Annotated[Credits, of_chat("rate")]
    free_ms: Annotated[Ms, of_chat("free_ms")]
    free_scope: Annotated[FreeScope, of_chat("free_scope")]
    min_ms: MinMs
    increment_ms: Annotated[Ms, of_chat("increment_ms")]
    increment_due: Increment
    idle_ms: Annotated[Ms, of_chat("idle_ms")]
    abandon_ms: Annotated[Ms, of_chat("abandon_ms")]
    max_ms: Annotated[Ms, of_chat("max_ms")]
    seq: Annotated[Number, of_chat("seq")]
    carried_cost: Annotated[
        Credits | None, about("What an adopted chat had cost before; never charged here")
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
        Wallet | None, about("The account that pays; null for an advisor, or if not started")
    ]


class ChatPage(Page):
    """Chats, the newest first."""

    chats: Annotated[list[Chat], about("The chats of this page")]


class Line(Shape):
    """Something that happened to a chat, or to its account while it was open."""

    at: Moment
    event: Annotated[
        str, about("An event's name; `refused`, `repeated` (no effect) or `free_time.moved`")
    ]
    why: Annotated[str, about("Why, in a sentence for people")]
    active_ms: Annotated[Ms, about("Time running by then")]
    cost: Annotated[Credits, about("What the chat had cost by then")]
    outcome: Annotated[str | None, about("Of a command; null where time did it")]
    entry: Annotated[str | None, about("The command's place in the queue, if there was one")]
    id: Annotated[str | None, about("The command's id, if there was one")]


class HistoryPage(Page):
    """A chat's history, the oldest first."""

    chat_id: ChatId
    archived_until: Annotated[
        MomentMs | None,
        about("What happened before it was archived and is not told; null if nothing was"),
    ]
    history: Annotated[list[Line], about("What happened, the oldest first")]
