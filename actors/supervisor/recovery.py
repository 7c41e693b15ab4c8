"""What a new leader finds: accounts with open chats, each of which gets its place again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import redis
import redis.asyncio
import structlog

from actors.errors import error_summary
from actors.supervisor.actor_handle import ActorHandle
from actors.supervisor.dispatch import Dispatcher
from meterd.rules.redis_keys import Keys
from persistence.redis.commit import unpack_state

log = structlog.get_logger()

T = TypeVar("T")

RETRY_PAUSE_S: Final = 0.5
PAGE: Final = 1_000


async def retry_until_ok(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask Redis until it answers."""
    while True:
        try:
            return await ask()
        except redis.RedisError as error:
            log.warning("supervisor.waits", why=error_summary(error))
            await asyncio.sleep(RETRY_PAUSE_S)


async def place_open_chats(client: redis.asyncio.Redis, keys: Keys, dispatcher: Dispatcher) -> None:
    """Give every open chat an actor, the same number of actors as if they were new."""
    members: Any = await retry_until_ok(lambda: client.smembers(keys.open_users))
    users = sorted(member.decode() for member in members)
    for i in range(0, len(users), PAGE):
        page = users[i : i + PAGE]
        names = [keys.account(user) for user in page]
        raws: Any = await retry_until_ok(lambda names=names: client.mget(names))  # type: ignore[misc]
        for user, raw in zip(page, raws, strict=True):
            for chat_id in sorted(unpack_state(raw, user)[1].chats):
                _place(dispatcher, chat_id, user)


def needed_actors(dispatcher: Dispatcher) -> list[ActorHandle]:
    """The actors that have to be up before commands are handled: those with chats, or any."""
    handles = list(dispatcher.handles.values())
    return [handle for handle in handles if dispatcher.placement.load(handle.name)] or handles[:1]


def _place(dispatcher: Dispatcher, chat_id: str, user: str) -> None:
    placement = dispatcher.placement
    if placement.may_grow() and not placement.warm_actors():
        dispatcher.scale_up()
    # An open chat has its timer, whatever the operator's limit has become meanwhile.
    actor = placement.choose(user, placement.actors())
    placement.place(chat_id, user, actor or placement.least_loaded())
