"""The shapes of operations: what an admin may send, and what is told of what was done."""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictStr,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from daemon.gateway.command_schemas import IDENTIFIER, field_shape
from daemon.gateway.dead_letter_lists import LETTER
from daemon.gateway.json_values import credits_fault
from daemon.gateway.schemas.base import Moment, Now, Page, Shape
from daemon.gateway.schemas.replies import Reply

REASON_MAX: Final = 500
# Not empty, and nothing that drives a terminal or tears a line apart.
_TEXT: Final = r"^[^\x00-\x20\x7f-\xa0][^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"


def _amount(value: object) -> str:
    """Credits as text; whether they are an amount, the rules of commands say."""
    fault = credits_fault(value)
    if fault is not None:
        raise PydanticCustomError("credits", "{fault}", {"fault": fault})
    return str(value)


Identifier = Annotated[StrictStr, Field(pattern=IDENTIFIER["pattern"])]
Amount = Annotated[
    str,
    PlainValidator(_amount),
    WithJsonSchema({**field_shape("refund", "amount"), "description": "Credits, more than 0"}),
]
SignedAmount = Annotated[
    str,
    PlainValidator(_amount),
    WithJsonSchema(
        {**field_shape("adjust", "amount"), "description": "Credits; with a minus, to take them"}
    ),
]
Letter = Annotated[StrictStr, Field(pattern=LETTER, examples=["1700000000000-0"])]


def _is(text: str) -> Any:
    return Field(description=f"What to do: {text}")


class _Wanted(BaseModel):
    """What every operation has."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[Identifier, Field(description="Idempotency key: sent again, it is done once")]
    reason: Annotated[
        StrictStr,
        Field(
            min_length=1,
            max_length=REASON_MAX,
            pattern=_TEXT,
            description="Why, in your words, for the record",
        ),
    ]


class _OfChat(_Wanted):
    """An operation on a chat."""

    chat_id: Annotated[Identifier, Field(description="The chat")]


class EndChat(_OfChat):
    """End a chat."""

    operation: Annotated[Literal["chat.end"], _is("end a chat")]


class RefundChat(_OfChat):
    """Give credits of an ended chat back, at most its cost in all."""

    operation: Annotated[Literal["chat.refund"], _is("give credits of a chat back")]
    amount: Amount


class _OfAccount(_Wanted):
    """An operation on a user's account."""

    user_id: Annotated[Identifier, Field(description="Whose account it is")]


class AdjustAccount(_OfAccount):
    """Correct an account, up or down."""

    operation: Annotated[Literal["account.adjust"], _is("correct an account")]
    amount: SignedAmount
    partial: Annotated[
        StrictBool | None, Field(description="Take what is there where it is less than the amount")
    ] = None


class TopUpAccount(_OfAccount):
    """Add credits to an account."""

    operation: Annotated[Literal["account.top_up"], _is("add credits")]
    amount: Amount


class _OfLetter(_Wanted):
    """An operation on a dead letter."""

    letter: Annotated[Letter, Field(description="As `GET /v1/dead` names it")]


class RetryLetter(_OfLetter):
    """Send a dead letter again, as a new command of now."""

    operation: Annotated[Literal["dead.retry"], _is("send a dead letter again")]


class DropLetter(_OfLetter):
    """Take a dead letter away, for good."""

    operation: Annotated[Literal["dead.drop"], _is("take a dead letter away")]


ChatOperation: TypeAlias = EndChat | RefundChat
AccountOperation: TypeAlias = AdjustAccount | TopUpAccount
LetterOperation: TypeAlias = RetryLetter | DropLetter
Operation: TypeAlias = ChatOperation | AccountOperation | LetterOperation


class OperationTold(Shape):
    """What somebody did by hand."""

    operation_id: Annotated[str, Field(description="The same act has the same id")]
    at: Moment
    done_by: Annotated[str, Field(description="`sub` of the token, or a login on the machine")]
    operation: Annotated[
        str, Field(description="What was done", examples=["chat.end", "clock.accept"])
    ]
    subject: Annotated[str, Field(description="To what: a chat, a user, an entry of the queue")]
    reason: Annotated[str | None, Field(description="Why; null where nobody said")]
    command_id: Annotated[str | None, Field(description="The id of its command, or of the request")]
    details: Annotated[
        dict[str, Any], Field(description="What was recorded: the command and its fields")
    ]


class PastOperationTold(OperationTold):
    """What somebody did by hand, with what became of its command."""

    outcome: Annotated[
        str | None, Field(description="Null without a command, and while it is not in the journal")
    ]
    entry: Annotated[str | None, Field(description="The command's place in the queue")]


class OperationPage(Page):
    """What was done by hand, the newest first."""

    operations: Annotated[list[PastOperationTold], Field(description="The operations of this page")]


class OperationAnswer(Shape):
    """What was done."""

    now: Now
    operation: Annotated[OperationTold, Field(description="As it was recorded")]
    reply: Annotated[
        Reply | None, Field(description="The command's reply, as of `POST /v1/commands`")
    ]
    entry: Annotated[
        str | None, Field(description="Of a dead letter that was sent again: its new place")
    ]
