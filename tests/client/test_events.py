"""Events come in order, each once; a gap is an error."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import redis

from meterd import Event, EventsLostError, UnavailableError
from tests.client.by_hand import KEYS
from tests.client.either import Make
from tests.proxy import Proxy

pytestmark = pytest.mark.redis


def happen(queue: redis.Redis, *users: str, **fields: str) -> list[str]:
    """One event for each user."""
    return [
        queue.xadd(  # type: ignore[union-attr]
            KEYS.events,
            {"event": "chat.started", "at": "5", "user_id": user, "chat_id": "c", "seq": "1"}
            | fields,  # type: ignore[arg-type]
        ).decode()
        for user in users
    ]


@contextlib.contextmanager
def later(seconds: float, call: Callable[..., object], *args: object) -> Iterator[None]:
    """Do it in a moment, from another thread, and be done with it when the block ends."""
    timer = threading.Timer(seconds, call, args)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def test_an_event_is_typed(meter: Any, queue: redis.Redis) -> None:
    """Numbers are numbers; what does not apply is None; words that look like none stay words."""
    (first,) = happen(queue, "null", chat_id="null", reason="none")
    second = queue.xadd(
        KEYS.events,
        {"event": "credits.low", "at": 7, "user_id": "u", "seq": 2, "threshold_ms": 30_000, "x": 1},
    )
    assert list(islice(meter.events(after="0"), 2)) == [
        Event(
            id=first, event="chat.started", at=5, user_id="null", chat_id="null", seq=1,
            reason="none",
        ),
        Event(
            id=second.decode(), event="credits.low", at=7, user_id="u", seq=2, threshold_ms=30_000  # type: ignore[union-attr]
        ),
    ]  # fmt: skip


def test_from_now_on_means_from_the_block_on(meter: Any, queue: redis.Redis) -> None:
    """Nothing from before, and nothing lost between entering and the first ``next``."""
    happen(queue, "before")
    with meter.events() as events:
        happen(queue, "after", "later")
        assert [event.user_id for event in islice(events, 2)] == ["after", "later"]


def test_from_now_on_works_on_an_empty_stream(meter: Any, queue: redis.Redis) -> None:
    """The first event ever is not missed."""
    with meter.events() as events:
        happen(queue, "first")
        assert next(events).user_id == "first"


def test_waiting_for_an_event_ends_as_it_comes(meter: Any, queue: redis.Redis) -> None:
    """No polling: well under the time of one read."""
    with meter.events() as events, later(0.3, happen, queue, "u"):
        started = time.monotonic()
        next(events)
        assert time.monotonic() - started < 0.8


def test_waiting_goes_on_beyond_one_read(meter: Any, queue: redis.Redis) -> None:
    """A quiet stream is not an end."""
    with meter.events() as events, later(1.5, happen, queue, "u"):
        assert next(events).user_id == "u"


def test_all_come_in_order_each_once(meter: Any, queue: redis.Redis) -> None:
    """More than one read holds, written while they are read."""
    ids = happen(queue, *["u"] * 1_700)
    writer = threading.Thread(target=lambda: ids.extend(happen(queue, *["u"] * 300)))
    writer.start()
    got = [event.id for event in islice(meter.events(after="0"), 2_000)]
    writer.join()
    assert got == ids


def test_going_on_after_an_event_repeats_and_skips_nothing(
    make: Make, server: str, queue: redis.Redis
) -> None:
    """Another client, another day."""
    ids = happen(queue, "a", "b", "c", "d")
    first = next(make(server).events(after="0"))
    assert [event.id for event in islice(make(server).events(after=first.id), 3)] == ids[1:]


def test_one_users_events_only(meter: Any, queue: redis.Redis) -> None:
    """And the place to go on never runs ahead of what was given out."""
    ids = happen(queue, "other", "me", "other", "me", "other")
    events = meter.events(after="0", user_id="me")
    assert next(events).id == ids[1]
    assert events.after == ids[1]
    assert next(events).id == ids[3]
    with later(0.3, happen, queue, "me"):
        next(events)


def test_a_lost_connection_loses_no_event(make: Make, proxy: Proxy, queue: redis.Redis) -> None:
    """Reading goes on where it was."""
    with make(proxy.url).events() as events:
        ids = happen(queue, "a", "b")
        got = [next(events).id]
        proxy.cut_all()
        ids += happen(queue, "c")
        proxy.lose(2, b"XRANGE")
        got += [next(events).id, next(events).id]
    assert got == ids


def test_a_gap_is_an_error(meter: Any, queue: redis.Redis) -> None:
    """Whoever was away for too long is told, and by how far."""
    ids = happen(queue, *"abcdefgh")
    queue.xtrim(KEYS.events, maxlen=3, approximate=False)
    with pytest.raises(EventsLostError, match='after="0"') as caught:
        next(meter.events(after=ids[1]))
    assert caught.value.after == ids[1]
    assert next(meter.events(after=ids[5])).id == ids[6]
    assert next(meter.events(after="0")).id == ids[5]


def test_a_slow_reader_is_told_of_a_gap_too(meter: Any, queue: redis.Redis) -> None:
    """Not only at the beginning."""
    happen(queue, "a")
    events = meter.events(after="0")
    next(events)
    happen(queue, *"bcdefgh")
    queue.xtrim(KEYS.events, maxlen=3, approximate=False)
    with pytest.raises(EventsLostError):
        next(events)


def test_a_stream_emptied_behind_ones_back_is_a_gap(meter: Any, queue: redis.Redis) -> None:
    """Trimmed to nothing is trimmed as well."""
    ids = happen(queue, *"abc")
    queue.xtrim(KEYS.events, maxlen=0, approximate=False)
    with pytest.raises(EventsLostError):
        next(meter.events(after=ids[0]))


@pytest.mark.parametrize("after", ["", "yesterday", "1-2-3", "+", "-", "1-"])
def test_what_is_no_place_is_a_value_error(meter: Any, after: str) -> None:
    """Before anything is read."""
    with pytest.raises(ValueError, match="after: "):
        meter.events(after=after)


def test_closing_ends_the_iteration(meter: Any, queue: redis.Redis) -> None:
    """From another thread, within about a second."""
    events = meter.events()
    started = time.monotonic()
    with later(0.2, events.close):
        assert list(events) == []
    assert time.monotonic() - started < 3


def test_closing_the_client_ends_the_iteration_at_once(meter: Any, queue: redis.Redis) -> None:
    """Not with an error, though it cuts the connection."""
    events = meter.events()
    with later(0.2, meter.close):
        assert list(events) == []


def test_events_can_not_be_read_from_no_server(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error after a while, not an endless wait."""
    monkeypatch.setattr("meterd._events.TIMEOUT_S", 0.3)
    with pytest.raises(UnavailableError):
        next(make("redis://127.0.0.1:1/0").events())
