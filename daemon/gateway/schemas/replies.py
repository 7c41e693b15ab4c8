"""The shapes of answers to commands, sent alone or as an array."""

from typing import Annotated, Literal

from daemon.gateway.schemas.base import CommandId, Entry, Shape, about
from daemon.gateway.schemas.chats import Chat
from daemon.gateway.schemas.responses import Problem
from daemon.gateway.schemas.wallets import WalletSnapshot


class Reply(Shape):
    """The answer to a command."""

    id: CommandId
    outcome: Annotated[str, about("`ok`")]
    message: Annotated[str, about("The outcome for a person; empty if there is nothing to say")]
    entry: Entry
    replayed: Annotated[
        bool, about("Whether the id was used before, so that this one had no effect of its own")
    ]
    snapshot: Annotated[
        Chat | WalletSnapshot | None, about("The chat; of a command on an account, the wallet")
    ]


class Sent(Shape):
    """A command that is in the queue."""

    id: CommandId
    entry: Entry


class ReplyResult(Reply):
    """The reply to one command of an array."""

    status: Annotated[Literal[200], about("It took effect")]


class SentResult(Sent):
    """One command of an array that is in the queue."""

    status: Annotated[Literal[202], about("It is in the queue")]


class Replies(Shape):
    """The answers to an array of commands, in its order."""

    results: Annotated[list[ReplyResult | Problem], about("One for each command")]


class SentAll(Shape):
    """What became of an array of commands, in its order."""

    results: Annotated[list[SentResult | Problem], about("One for each command")]
