"""The shapes of what happened, in the order in which it did."""

from typing import Annotated

from pydantic import Field

from daemon.gateway.schemas.base import Moment, Ms, Now, Number, Shape, about


class EventLine(Shape):
    """Something that happened; what it is not about is left out."""

    id: Annotated[str, Field(description="Its place: `after` of the next question")]
    event: Annotated[
        str, Field(description="What happened", examples=["chat.started", "credits.low"])
    ]
    at: Moment
    user_id: Annotated[str, about("Whose account it is about")]
    chat_id: Annotated[str | None, about("The chat; not there if it is about none")] = None
    seq: Annotated[Number, Field(description="Of the snapshot that it made")]
    reason: Annotated[str | None, about("Why, of an end and of a pause")] = None
    threshold_ms: Annotated[Ms | None, about("Of `credits.low`: how much time is left")] = None


class EventPage(Shape):
    """What happened after a place, in order."""

    now: Now
    events: Annotated[list[EventLine], about("What happened, the oldest first")]
    next: Annotated[str, Field(description="The place to go on after, also if nothing happened")]
