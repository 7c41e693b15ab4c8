"""``/v1/users``."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from daemon.gateway.command_schemas import CREDITS
from daemon.gateway.container import Dependencies
from daemon.gateway.cursors import pack_cursor, page_and_next, unpack_place
from daemon.gateway.dependencies import AllParts, Reader, UserId, UserToRead, user_to_read
from daemon.gateway.direct_route import DirectRoute
from daemon.gateway.errors import invalid
from daemon.gateway.queries import wallet_answer
from daemon.gateway.routes.chats import After, FromMs, LastEventId, Limit, ToMs
from daemon.gateway.schemas.responses import READ, STREAM
from daemon.gateway.schemas.wallets import LedgerPage, WalletAnswer
from daemon.gateway.views import pack, what_if
from meterd.rules.money import format_micro
from meterd.rules.snapshots import JsonObject
from persistence.postgres.pages import Period, ledger_page
from persistence.postgres.rows import LedgerRow

router = APIRouter(prefix="/v1/users", tags=["users"])
direct_router = APIRouter(prefix="/v1/users", tags=["users"], route_class=DirectRoute)

_JSON = "application/json"


@direct_router.get("/{user_id:id}/wallet", response_model=WalletAnswer, responses=READ)
async def read_wallet(
    user_id: UserId,
    caller: Reader,
    parts: AllParts,
    with_rate: Annotated[
        str | None,
        Query(description="Credits a minute of one more chat", json_schema_extra=CREDITS),
    ] = None,
) -> Response:
    """Give the wallet; and until when it would last if one more chat ran at a rate."""
    await user_to_read(user_id, caller)
    read_from, wallet = await parts.queries.wallet(user_id)
    more = {} if with_rate is None else {"what_if": await _what_if(parts, user_id, with_rate)}
    answer = wallet_answer(parts.clock.now_ms(), read_from, wallet, more)
    return Response(answer, media_type=_JSON)


@router.get("/{user_id:id}/ledger", response_model=LedgerPage, responses=READ)
async def read_ledger(
    user_id: UserToRead,
    parts: AllParts,
    from_ms: FromMs = None,
    to_ms: ToMs = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """List every movement of the user's credits, the newest first."""
    place = unpack_place(after) if after else None
    period = Period(from_ms, to_ms)
    rows = await parts.postgres_reader.ask(
        lambda c: ledger_page(c, user_id, limit + 1, place, period)
    )
    page, last = page_and_next(rows, limit)
    document = {
        "now": parts.clock.now_ms(),
        "entries": [_entry(row) for row in page],
        "next": pack_cursor(last.at_ms, last.entry_id) if last else None,
    }
    return Response(pack(document), media_type=_JSON)


@router.get("/{user_id:id}/stream", response_class=Response, responses=STREAM)
async def stream_user(
    user_id: UserToRead,
    caller: Reader,
    parts: AllParts,
    last_event_id: LastEventId = "",
) -> Response:
    """Follow the wallet and all chats of a user, as server-sent events."""
    return parts.streams.of_user(user_id, caller, last_event_id)


async def _what_if(parts: Dependencies, user_id: str, rate: str) -> JsonObject:
    _, account = await parts.queries.account(user_id)
    try:
        return what_if(account, rate, parts.policy, parts.clock.now_ms())
    except ValueError as error:
        raise invalid("with_rate", str(error)) from None


def _entry(row: LedgerRow) -> JsonObject:
    return {
        "entry_id": row.entry_id,
        "at": row.at_ms,
        "kind": row.kind,
        "amount": format_micro(row.amount_micro),
        "chat_id": row.chat_id,
        "command_id": row.command_id,
    }
