"""What every route asks first: who is it, may it, and not too often."""

import difflib
import math
import time
from collections import Counter
from typing import Annotated, get_origin

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from daemon.gateway.authorization import Caller
from daemon.gateway.command_schemas import IDENTIFIER
from daemon.gateway.container import Dependencies
from daemon.gateway.errors import ProblemError, TokenError, forbidden, invalid, unauthenticated
from daemon.gateway.middleware import RATE_LIMIT
from meterd.rules.commands import is_identifier

bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="`meterd token USER`")
_NAME_MAX = 64
"""How much of an unknown name is told back."""
_IDENTIFIER = "want 1 to 128 of A-Z a-z 0-9 _ . : @ / + = -"


async def dependencies_of(request: Request) -> Dependencies:
    """The gateway's parts."""
    parts: Dependencies = request.app.state.parts
    return parts


AllParts = Annotated[Dependencies, Depends(dependencies_of)]
UserId = Annotated[str, Path(description="The user", json_schema_extra=IDENTIFIER)]
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]


def caller_of(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Caller:
    """Whom the token speaks for. Raises ProblemError: none does, or it asks too often.

    A plain function: FastAPI takes as long for a dependency as everything else does together.
    """
    parts: Dependencies = request.app.state.parts
    try:
        if credentials is None:
            raise TokenError("send Authorization: Bearer <token>; for development: meterd token")
        caller = parts.tokens.caller(credentials.credentials)
    except TokenError as error:
        _count(request, f"address {request.client.host if request.client else ''}")
        raise unauthenticated(str(error)) from None
    if not caller.may_command():  # a backend speaks for all its users; its bound is the queue's
        _count(request, caller.sub)
    if request.scope["query_string"]:
        _check_query(request)
    return caller


def _check_query(request: Request) -> None:
    """Refuse what would be passed over: a misspelt filter would give everybody's chats."""
    # The route's own: no dependency of ours has any.
    fields = request.scope["route"].dependant.query_params
    known = {field.alias: get_origin(field.field_info.annotation) is list for field in fields}
    for name, number in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise invalid(name[:_NAME_MAX], f"no such parameter; {hint if known else 'send none'}")
        if number > 1 and not known[name]:
            raise invalid(name, "it is there twice; send it once")


def _count(request: Request, who: str) -> None:
    buckets = request.app.state.parts.buckets
    wait_s, left, full_s = buckets.take(who, time.monotonic())
    request.scope[RATE_LIMIT] = buckets.policy, f'"default";r={left};t={math.ceil(full_s)}'
    if wait_s:
        after = {"Retry-After": str(math.ceil(wait_s))}
        raise ProblemError(429, "too_many_requests", f"wait {wait_s:.3f} s, then ask again", after)


async def reader_of(request: Request, credentials: Credentials) -> Caller:
    """A caller who may read something."""
    caller = caller_of(request, credentials)
    if not caller.may_read():
        raise forbidden("this token's role reads nothing; role user, advisor, ops or admin does")
    return caller


async def operator_of(request: Request, credentials: Credentials) -> Caller:
    """A caller who may read what concerns the whole service."""
    caller = caller_of(request, credentials)
    if not caller.may_operate():
        raise forbidden("this wants role ops or admin")
    return caller


async def admin_of(request: Request, credentials: Credentials) -> Caller:
    """A caller who may act on chats, accounts and dead letters."""
    caller = caller_of(request, credentials)
    if not caller.may_act():
        raise forbidden("this wants role admin")
    return caller


async def backend_of(request: Request, credentials: Credentials) -> Caller:
    """A caller who may post commands."""
    caller = caller_of(request, credentials)
    if not caller.may_command():
        raise forbidden("this wants role backend")
    return caller


async def follower_of(request: Request, credentials: Credentials) -> Caller:
    """A caller who may follow everything that happens."""
    caller = caller_of(request, credentials)
    if not caller.may_follow():
        raise forbidden("this wants role backend, ops or admin")
    return caller


async def user_to_read(user_id: UserId, caller: Annotated[Caller, Depends(reader_of)]) -> str:
    """The user of the path, whom the caller may read."""
    if not caller.may_read_user(user_id):
        raise forbidden("this token reads its own wallet, ledger and stream only")
    return identifier("user_id", user_id)


def identifier(field: str, value: str) -> str:
    """The value, if something can be called so. Raises ProblemError."""
    if not is_identifier(value):
        raise invalid(field, _IDENTIFIER)
    return value


Reader = Annotated[Caller, Depends(reader_of)]
Operator = Annotated[Caller, Depends(operator_of)]
Admin = Annotated[Caller, Depends(admin_of)]
Backend = Annotated[Caller, Depends(backend_of)]
Follower = Annotated[Caller, Depends(follower_of)]
UserToRead = Annotated[str, Depends(user_to_read)]
