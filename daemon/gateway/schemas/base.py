"""What the shapes of answers share: the types of their fields, and their bases."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from daemon.asyncapi import words
from meterd.rules.model import IncrementDue


def about(text: str) -> Any:
    """A field that is described so."""
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
Now = Annotated[MomentMs, about("The queue's clock at the moment of the answer, in ms since 1970")]
Moment = Annotated[MomentMs, about("When, in ms since 1970 by the queue's clock")]
ChatId = Annotated[str, about(words.FIELDS["chat_id"])]
UserId = Annotated[str, about(words.FIELDS["user_id"])]
AdvisorId = Annotated[str, about(words.FIELDS["advisor_id"])]
CommandId = Annotated[str, about("The command's idempotency key")]
Entry = Annotated[str, about(words.FIELDS["entry"])]
MinMs = Annotated[Ms, about(words.FIELDS["min_ms"])]
Increment = Annotated[IncrementDue, about(words.FIELDS["increment_due"])]


def of_chat(field: str) -> Any:
    """A field that the snapshot of a chat has, too, in the same words."""
    return about(words.CHAT.get(field) or words.FIELDS[field])


class Shape(BaseModel):
    """The base of all answers: nothing else is in them."""

    model_config = ConfigDict(extra="forbid")


class Page(Shape):
    """Part of a list."""

    now: Now
    next: Annotated[str | None, about("`after` of the next page; null on the last one")]
