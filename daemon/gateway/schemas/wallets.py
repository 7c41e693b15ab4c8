"""The shapes of a user's account: the wallet, and the movements of its credits."""

from typing import Annotated, Any

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
    UserId,
    about,
    of_chat,
)
from meterd.rules.model import LedgerKind


def _of_wallet(field: str) -> Any:
    return about(words.WALLET[field])


class Burner(Shape):
    """A running chat, as far as its cost depends on time."""

    chat_id: ChatId
    as_of: Annotated[MomentMs, of_chat("as_of")]
    active_ms: Annotated[Ms, of_chat("active_ms")]
    rate: Annotated[Credits, of_chat("rate")]
    free_ms: Annotated[Ms, of_chat("free_ms")]
    min_ms: MinMs
    increment_ms: Annotated[int, Field(ge=1, description=words.FIELDS["increment_ms"])]
    increment_due: Increment


class WalletSnapshot(Shape):
    """A user's account as of its last change."""

    user_id: UserId
    as_of: Annotated[MomentMs | None, about("The moment of its last change; null: none so far")]
    balance: Annotated[Credits, _of_wallet("balance")]
    burn_rate: Annotated[Credits, _of_wallet("burn_rate")]
    zero_at: Annotated[MomentMs | None, _of_wallet("zero_at")]
    open_chats: Annotated[Number, about("Open chats of the user")]
    seq: Annotated[Number, _of_wallet("seq")]


class Wallet(WalletSnapshot):
    """A user's account as of its last change, with what its balance falls by."""

    running: Annotated[
        list[Burner], about("Its running chats that cost something, at most 100 of them")
    ]


class WhatIf(Shape):
    """How long the account would last with one more chat."""

    rate: Annotated[Credits, about("The rate that was asked for, in credits a minute")]
    zero_at: Annotated[
        MomentMs | None, about("The last millisecond that could be paid for; null: no end")
    ]
    left_ms: Annotated[Ms | None, about("Time until then; 0: it could not start; null: no end")]


class WalletAnswer(Wallet):
    """A wallet."""

    now: Now
    source: Source
    read_from: ReadFrom
    what_if: Annotated[WhatIf | None, about("The answer to `with_rate`")] = None


class LedgerEntry(Shape):
    """A movement of credits."""

    entry_id: Annotated[str, about("The entry's key")]
    at: Moment
    kind: Annotated[LedgerKind, about("Why credits moved; `charge`: a chat ended")]
    amount: Annotated[Credits, about("Credits: above 0 given, below 0 taken")]
    chat_id: Annotated[str | None, about("The chat; null if it is about none")]
    command_id: Annotated[str | None, about("Its command's id; null where time did it")]


class LedgerPage(Page):
    """Movements of credits, the newest first."""

    entries: Annotated[list[LedgerEntry], about("The movements of this page")]
