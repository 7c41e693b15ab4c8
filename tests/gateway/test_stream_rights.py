"""Streams tell nobody what is not theirs to know, nor that there is something."""

import contextlib
import itertools
import time
from typing import Any

import pytest

from daemon.gateway.streams.stream import MISSED_MAX
from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import scaled
from tests.gateway.conftest import Gateway
from tests.gateway.listening import WAIT_S, listening, told_of
from tests.shared_daemon import keys_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


def test_an_advisor_hears_of_the_chat_and_never_of_the_wallet(gateway: Gateway, name: str) -> None:
    """What happens to the account, or to the user's other chats, is not an advisor's to know."""
    advisor, other = f"{name}-advisor", f"{name}-other"
    gateway.do("top_up", user_id=name, amount="10")
    gateway.do("start", chat_id=name, user_id=name, advisor_id=advisor)
    token = gateway.token(advisor, "advisor")
    with listening(gateway, f"/v1/chats/{name}/stream", token) as listener:
        assert listener.until_event("snapshot").data["wallet"] is None
        gateway.do("top_up", user_id=name, amount="1")
        gateway.do("start", chat_id=other, user_id=name, advisor_id="another")
        gateway.do("pause", chat_id=name)
        listener.until_event("chat.paused")
        messages = [(one.event, one.data["wallet"]) for one in listener.heard]
    assert messages == [("snapshot", None), ("chat.paused", None)]


def test_a_strangers_chat_sounds_like_one_that_never_started(gateway: Gateway, name: str) -> None:
    """The same first message, and silence, whatever happens in it."""
    gateway.do("top_up", user_id=name, amount="10")
    gateway.do("start", chat_id=name, user_id=name, advisor_id="adv")
    token, own = gateway.token(f"{name}-stranger"), gateway.token(name)
    path, unknown = f"/v1/chats/{name}/stream", f"/v1/chats/{name}-none/stream"
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(listening(gateway, *asked))
            for asked in ((path, token), (unknown, token), (path, own))
        ]
        firsts = [listener.until_event("snapshot").data for listener in listeners]
        gateway.do("pause", chat_id=name)
        listeners[2].until_event("chat.paused")
        assert [len(listener.heard) for listener in listeners] == [1, 1, 2]
    shown = [{**first, "now": 0, "chats": _nameless(first["chats"])} for first in firsts]
    assert shown[0] == shown[1]
    assert shown[0]["chats"][0]["status"] == "not_started"


def test_a_busy_strangers_chat_is_as_quiet_as_nothing(small: Gateway, name: str) -> None:
    """The comments of a stream on which nothing happens come, whatever happens in the chat."""
    small.do("top_up", user_id=name, amount="10")
    small.do("start", chat_id=name, user_id=name, advisor_id="adv")
    deadline = time.monotonic() + scaled(WAIT_S)
    changes = itertools.cycle(("pause", "resume"))
    with listening(small, f"/v1/chats/{name}/stream", small.token(f"{name}-stranger")) as listener:
        while not listener.comments:
            assert time.monotonic() < deadline, "its keep-alives were put off"
            small.do(next(changes), chat_id=name)


def test_who_comes_back_to_a_busy_strangers_chat_hears_nothing(
    gateway: Gateway, live: LiveDaemon, name: str
) -> None:
    """More events than are told one by one are a new snapshot for its user, silence for others."""
    gateway.do("top_up", user_id=name, amount="10")
    gateway.do("start", chat_id=name, user_id=name, advisor_id="adv")
    token, own = gateway.token(f"{name}-stranger"), gateway.token(name)
    path, unknown = f"/v1/chats/{name}/stream", f"/v1/chats/{name}-none/stream"
    with listening(gateway, path, token) as listener:
        place = listener.until_event("snapshot").id or ""
    with live.client() as client, client.pipeline(transaction=False) as pipeline:
        for number in range(MISSED_MAX + 1):
            kind = "resume" if number % 2 else "pause"
            fields = {"type": kind, "id": f"{name}-{number}", "chat_id": name, "user_id": name}
            pipeline.xadd(keys_of(name).commands, fields)
        pipeline.execute()
    live.until(lambda: len(told_of(live, name)) >= MISSED_MAX + 3)
    with listening(gateway, path, own, place) as listener:
        assert listener.until_event("snapshot").id != place
    for asked in (path, unknown):
        with listening(gateway, asked, token, place) as listener:
            listener.until_comment()
            assert listener.heard == []


def _nameless(chats: list[Any]) -> list[Any]:
    return [{**chat, "chat_id": ""} for chat in chats]
