"""One reader of a stream: what it is told, however much is passed over."""

import asyncio

from daemon.gateway.authorization import OPS, Caller
from daemon.gateway.streams.messages import Message
from daemon.gateway.streams.places import EventPlace, FeedPlace
from daemon.gateway.streams.subscriber import Subscriber
from meterd import Event

PASSED_OVER = 5_000


def _message(number: int) -> Message:
    event = Event(id=f"{number}-0", event="chat.started", at=number, user_id="u", seq=number)
    return Message(EventPlace(0, (number, 0)), event, None, b'{"now":1', b"null", b"null")


def test_thousands_that_are_passed_over_do_not_keep_the_next_from_the_reader() -> None:
    """A reader that waits is woken again and again by what its snapshot has already told; then
    comes something new."""

    async def play() -> None:
        subscriber = Subscriber(Caller("s", frozenset({OPS}), 1e12), "u", (), 10)
        reading = asyncio.create_task(subscriber.next())
        await asyncio.sleep(0)
        for number in range(1, PASSED_OVER + 1):
            subscriber.offer(_message(number))
            subscriber.skip_to = FeedPlace(((number, 0),))
            await asyncio.sleep(0)
        assert not reading.done()
        subscriber.offer(_message(PASSED_OVER + 1))
        assert f"id: {PASSED_OVER + 1}-0".encode() in await reading
        subscriber.end("slow")
        assert b'"slow"' in await subscriber.next()
        assert await subscriber.next() == b""

    asyncio.run(play())
