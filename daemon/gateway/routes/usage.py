"""``/v1/usage``: what a period came to, for accounts and reports."""

import csv
import io
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from daemon.gateway.cursors import pack_cursor, page_and_next, unpack_key
from daemon.gateway.dependencies import AllParts, Reader, identifier
from daemon.gateway.errors import invalid
from daemon.gateway.routes.chats import AdvisorFilter, After, FromMs, ToMs, UserFilter, narrowed
from daemon.gateway.schemas.responses import USAGE
from daemon.gateway.schemas.usage import UsagePage
from daemon.gateway.views import pack
from meterd.rules.money import format_micro
from meterd.rules.snapshots import JsonObject
from persistence.postgres.pages import Period
from persistence.postgres.usage import UsageFilter, UsageRow, usage_page

router = APIRouter(prefix="/v1/usage", tags=["usage"])

DAYS_30_MS: Final = 30 * 24 * 3_600_000
"""The period if ``from`` is left out, up to ``to``."""
Grouping = Literal["user", "advisor", "day"]
_KEY_OF: Final = {"user": "user_id", "advisor": "advisor_id", "day": "day"}
_COLUMNS: Final = (
    "chats", "active_ms", "billed_ms", "cost", "charged", "refunded", "adjusted", "topped_up",
)  # fmt: skip


@router.get("", response_model=UsagePage, responses=USAGE)
async def read_usage(  # noqa: PLR0913, PLR0917 - the contract's parameters
    request: Request,
    caller: Reader,
    parts: AllParts,
    by: Annotated[Grouping, Query(description="What a line is about")],
    from_ms: FromMs = None,
    to_ms: ToMs = None,
    user_id: UserFilter = None,
    advisor_id: AdvisorFilter = None,
    format: Annotated[  # noqa: A002 - its usual name
        Literal["json", "csv"], Query(description="What the lines come as")
    ] = "json",
    limit: Annotated[int, Query(ge=1, le=10_000, description="How many lines at most")] = 1_000,
    after: After = None,
) -> Response:
    """Sum up a period by user, by advisor or by day of UTC, in order of their names.

    Time and cost are those of chats that ended in the period; what was charged, refunded, adjusted
    and topped up are the ledger's entries in it. Adjustments and top-ups are about no chat: by
    advisor, and of one advisor, they are null. Without `from` and `to`: the last 30 days.
    """
    for field, value in (("user_id", user_id), ("advisor_id", advisor_id)):
        if value is not None:
            identifier(field, value)
    if not caller.may_operate():
        user_id, advisor_id = narrowed(caller, user_id, advisor_id)
    now = parts.clock.now_ms()
    end = now if to_ms is None else to_ms
    begin = max(0, end - DAYS_30_MS) if from_ms is None else from_ms
    if begin > end:
        raise invalid("from", "is later than to; swap them")
    wanted = UsageFilter(by, Period(begin, end), user_id, advisor_id)
    place = unpack_key(after) if after else None
    rows = await parts.postgres_reader.ask(lambda c: usage_page(c, wanted, limit + 1, place))
    page, last = page_and_next(rows, limit)
    lines = [_line(row, _KEY_OF[by], wanted.is_of_chats) for row in page]
    following = pack_cursor(last.key) if last else None
    if format == "csv":
        return _csv(request, lines, (_KEY_OF[by], *_COLUMNS), following)
    document = {
        "now": now,
        "by": by,
        "from": begin,
        "to": end,
        "usage": lines,
        "next": following,
    }
    return Response(pack(document), media_type="application/json")


def _line(row: UsageRow, key: str, is_of_chats: bool) -> JsonObject:
    adjusted, topped_up = format_micro(row.adjusted_micro), format_micro(row.topped_up_micro)
    return {
        key: row.key,
        "chats": row.chats,
        "active_ms": row.active_ms,
        "billed_ms": row.billed_ms,
        "cost": format_micro(row.cost_micro),
        "charged": format_micro(row.charged_micro),
        "refunded": format_micro(row.refunded_micro),
        "adjusted": None if is_of_chats else adjusted,
        "topped_up": None if is_of_chats else topped_up,
    }


def _csv(
    request: Request, lines: Iterable[JsonObject], columns: Iterable[str], following: str | None
) -> Response:
    """The lines as RFC 4180 has them; where there are more, a link to them."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(columns))
    table.writeheader()
    table.writerows(lines)
    headers = {"Content-Disposition": 'attachment; filename="usage.csv"'}
    if following is not None:
        query = request.url.include_query_params(after=following).query
        headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
    return Response(text.getvalue(), media_type="text/csv", headers=headers)
