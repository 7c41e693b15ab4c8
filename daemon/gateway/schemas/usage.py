"""The shapes of sums over chats: of an advisor, and of a period."""

from typing import Annotated, Literal

from pydantic import Field

from daemon.gateway.schemas.base import (
    AdvisorId,
    Credits,
    MomentMs,
    Ms,
    Now,
    Number,
    Page,
    Shape,
    about,
)


class OpenChats(Shape):
    """How many chats are open, by status."""

    running: Annotated[Number, about("Their timer runs")]
    paused: Annotated[Number, about("Their timer stands still")]
    suspended: Annotated[Number, about("Out of credits, they wait for some")]


class EndedTotals(Shape):
    """What chats that ended came to, of all time."""

    chats: Annotated[Number, about("How many ended")]
    active_ms: Annotated[Ms, about("Time running")]
    billed_ms: Annotated[Ms, about("Time billed, after free time, minimum and increments")]
    cost: Annotated[Credits, about("What they cost")]
    refunded: Annotated[Credits, about("What was given back of that")]


class Advisor(Shape):
    """An advisor's chats summed up, as their records are."""

    now: Now
    advisor_id: AdvisorId
    open: Annotated[OpenChats, about("How many chats are open, by status")]
    burn_rate: Annotated[Credits, Field(description="Credits a minute of the running chats")]
    totals: Annotated[EndedTotals, about("What the chats that ended came to")]


class UsageLine(Shape):
    """What one user, advisor or day came to in a period; one of the first three is there."""

    user_id: Annotated[str | None, about("By user: whose account")] = None
    advisor_id: Annotated[str | None, about("By advisor: who is paid for")] = None
    day: Annotated[
        Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None,
        Field(description="By day: the day of UTC", examples=["2026-11-28"]),
    ] = None
    chats: Annotated[Number, Field(description="How many chats ended")]
    active_ms: Annotated[Ms, about("Time running, of these")]
    billed_ms: Annotated[Ms, about("Time billed, of these")]
    cost: Annotated[Credits, Field(description="Of the chats that ended, `carried_cost` included")]
    charged: Annotated[Credits, Field(description="Taken from accounts for chats")]
    refunded: Annotated[Credits, about("Given back of chats")]
    adjusted: Annotated[
        Credits | None, Field(description="Given, less what was taken; null where it is of chats")
    ]
    topped_up: Annotated[
        Credits | None, about("Added to accounts; null where it is of chats alone")
    ]


class UsagePage(Page):
    """The usage of a period, in order of names or days."""

    by: Annotated[Literal["user", "advisor", "day"], about("What a line is about")]
    from_: Annotated[MomentMs, Field(alias="from", description="First millisecond of the period")]
    to: Annotated[MomentMs, about("First millisecond after the period")]
    usage: Annotated[list[UsageLine], about("The lines of this page")]
