"""Routes: chats of the user who is logged in, a webhook for payments, tokens for the clocks."""

import contextlib
import hmac
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import uuid4

import jwt
from fastapi import Cookie, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from backend.provider import SIGNATURE, DeliveryError, pay, sign
from backend.settings import Settings, read_settings
from meterd import AsyncMeter, CommandRefusedError, MeterError, UncertainError

ADVISOR = "adele"
RATE = "60"  # credits a minute: high, so that the balance is seen to fall
PACK = "10"  # credits that the button buys
TOKEN_S = 300
WEBHOOK = "/webhooks/payments"
PAGE = Path(__file__).parents[1] / "dist"
REFUSED = {
    "insufficient_credits": HTTPStatus.PAYMENT_REQUIRED,
    "unknown_chat": HTTPStatus.NOT_FOUND,
    "invalid_command": HTTPStatus.UNPROCESSABLE_ENTITY,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "at_capacity": HTTPStatus.SERVICE_UNAVAILABLE,
}


class Services(NamedTuple):
    """What lives as long as the application."""

    meter: AsyncMeter
    settings: Settings


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Services]]:
    """Keep one client for the whole process."""
    settings = read_settings()
    async with AsyncMeter(settings.redis_url) as meter:
        yield {"services": Services(meter, settings)}


def services_of(request: Request) -> Services:
    """Return what ``lifespan`` has made."""
    services: Services = request.state.services
    return services


def logged_in(user: Annotated[str | None, Cookie()] = None) -> str:
    """Return the user of the session. A real application checks a session here."""
    if user is None:
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "log in first: POST /api/login")
    return user


app = FastAPI(lifespan=lifespan)
ServicesOf = Annotated[Services, Depends(services_of)]
User = Annotated[str, Depends(logged_in)]
Action = Literal["start", "pause", "resume", "end"]


@app.post("/api/login")
async def login(
    services: ServicesOf, response: Response, user: Annotated[str | None, Cookie()] = None
) -> dict[str, str]:
    """Imitate a login: a browser that comes for the first time becomes a new user."""
    user_id = user or f"user-{uuid4().hex}"
    response.set_cookie("user", user_id, httponly=True, samesite="strict")
    return {"user": user_id, "advisor": ADVISOR, "gateway": services.settings.gateway_url}


@app.post("/api/token")
async def token(services: ServicesOf, user: User) -> PlainTextResponse:
    """Sign the token with which the clocks of this user read from the gateway."""
    claims = {"sub": user, "role": "user", "aud": "meterd", "exp": int(time.time()) + TOKEN_S}
    return PlainTextResponse(jwt.encode(claims, services.settings.jwt_secret, algorithm="HS256"))


@app.post("/api/chats/{chat_id}/{action}", status_code=HTTPStatus.NO_CONTENT)
async def command(
    services: ServicesOf,
    user: User,
    chat_id: str,
    action: Action,
    idempotency_key: Annotated[str, Header()],
) -> None:
    """Send a command about a chat of this user. A repetition with the same key has no effect."""
    meter = services.meter
    # The user's name in front keeps these ids apart from those of payments and of other users.
    command_id = f"{user}:{idempotency_key}"
    # Given user_id, the daemon refuses a chat of somebody else.
    match action:
        case "start":
            await meter.start(chat_id, user, ADVISOR, rate=RATE, id=command_id)
        case "pause":
            await meter.pause(chat_id, user_id=user, id=command_id)
        case "resume":
            await meter.resume(chat_id, user_id=user, id=command_id)
        case "end":
            await meter.end(chat_id, user_id=user, id=command_id)


@app.post("/api/buy")
def buy(request: Request, services: ServicesOf, user: User) -> dict[str, list[str]]:
    """Let the imitated provider take a payment. It reports to the webhook below."""
    try:
        server = request.scope["server"]  # the socket's address; a client may forge the Host header
        return {"answers": pay(server, WEBHOOK, services.settings.webhook_secret, user, PACK)}
    except DeliveryError as error:
        raise HTTPException(HTTPStatus.BAD_GATEWAY, str(error)) from error


class Payment(BaseModel):
    """What the provider reports."""

    id: str
    user_id: str
    amount: str


@app.post(WEBHOOK)
async def webhook(
    request: Request,
    payment: Payment,
    services: ServicesOf,
    signature: Annotated[str, Header(alias=SIGNATURE)],
) -> PlainTextResponse:
    """Credit a payment, once, however often it is reported."""
    expected = sign(await request.body(), services.settings.webhook_secret)
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "wrong signature")
    # The id is the payment's, so a repeated report is answered and credits nothing.
    reply = await services.meter.top_up(payment.user_id, payment.amount, id=f"payment:{payment.id}")
    return PlainTextResponse("credited before" if reply.replayed else "credited")


@app.exception_handler(CommandRefusedError)
async def refused(_: Request, error: CommandRefusedError) -> JSONResponse:
    """Tell the page why a command had no effect."""
    return _problem(REFUSED.get(error.outcome, HTTPStatus.CONFLICT), error.outcome, error)


@app.exception_handler(UncertainError)
async def uncertain(_: Request, error: UncertainError) -> JSONResponse:
    """Ask for the same request again: the command may have had its effect."""
    return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "uncertain", error, id=error.id)


@app.exception_handler(MeterError)
async def unavailable(_: Request, error: MeterError) -> JSONResponse:
    """Tell the page to try later: the command was not sent."""
    return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", error)


def _problem(status: HTTPStatus, code: str, error: MeterError, **more: Any) -> JSONResponse:
    return JSONResponse({"code": code, "detail": str(error), **more}, status)


app.mount("/", StaticFiles(directory=PAGE, html=True))  # last: it answers every other path
