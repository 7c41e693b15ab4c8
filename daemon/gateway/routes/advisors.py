"""``/v1/advisors/{advisor_id}``: an advisor's chats summed up."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from daemon.gateway.command_schemas import IDENTIFIER
from daemon.gateway.dependencies import AllParts, Reader, identifier
from daemon.gateway.errors import forbidden
from daemon.gateway.schemas.responses import READ
from daemon.gateway.schemas.usage import Advisor
from daemon.gateway.views import pack
from meterd.rules.money import format_micro
from persistence.postgres.advisors import advisor_totals
from persistence.postgres.pages import OPEN

router = APIRouter(prefix="/v1/advisors", tags=["advisors"])


@router.get("/{advisor_id:id}", response_model=Advisor, responses=READ)
async def read_advisor(
    advisor_id: Annotated[str, Path(description="The advisor", json_schema_extra=IDENTIFIER)],
    caller: Reader,
    parts: AllParts,
) -> Response:
    """Sum up an advisor's chats: how many are open, and what all that ended came to."""
    if not caller.may_read_advisor(advisor_id):
        raise forbidden("this token reads its own chats only")
    name = identifier("advisor_id", advisor_id)
    found = await parts.postgres_reader.ask(lambda c: advisor_totals(c, name))
    document = {
        "now": parts.clock.now_ms(),
        "advisor_id": name,
        "open": {status: found.open.get(status, 0) for status in OPEN},
        "burn_rate": format_micro(found.burn_rate_micro),
        "totals": {
            "chats": found.chats,
            "active_ms": found.active_ms,
            "billed_ms": found.billed_ms,
            "cost": format_micro(found.cost_micro),
            "refunded": format_micro(found.refunded_micro),
        },
    }
    return Response(pack(document), media_type="application/json")
