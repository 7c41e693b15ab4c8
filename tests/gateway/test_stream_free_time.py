"""A chat whose free time another one moves is told on its streams."""

import pytest

from tests.gateway.conftest import Gateway
from tests.gateway.listening import follow, listening

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]
SHARED = {"rate": "6", "free_ms": "60000", "free_scope": "advisor"}


def start_two(gateway: Gateway, user: str, advisor: str) -> tuple[str, str]:
    """Two chats that share a minute of free time."""
    gateway.do("top_up", user_id=user, amount="10")
    chats = f"{user}-1", f"{user}-2"
    for chat in chats:
        gateway.do("start", chat_id=chat, user_id=user, advisor_id=advisor, **SHARED)
    return chats


def test_a_chat_whose_free_time_moves_is_told_on_its_stream(gateway: Gateway, name: str) -> None:
    """Its user and its advisor get the new snapshot when another chat of the user is paused."""
    advisor = f"{name}-advisor"
    paused, other = start_two(gateway, name, advisor)
    path = f"/v1/chats/{other}/stream"
    with (
        follow(gateway, name) as of_user,
        listening(gateway, path, gateway.token(name)) as of_chat,
        listening(gateway, path, gateway.token(advisor, "advisor")) as of_advisor,
    ):
        listeners = of_user, of_chat, of_advisor
        befores = [listener.until_event("snapshot").data["chats"][-1] for listener in listeners]
        gateway.do("pause", chat_id=paused)
        stored = gateway.read(f"/v1/chats/{other}", name)
        for listener, before in zip(listeners, befores, strict=True):
            moved = listener.until_event("chat.snapshot").data
            assert before["chat_id"] == other
            assert moved["chat"] == {key: stored[key] for key in before}
            assert moved["chat"]["seq"] == moved["seq"] > before["seq"]
            assert moved["chat"]["free_ms"] > before["free_ms"]
            assert moved["wallet"] is None
        of_chat.until_event("chat.paused")
        of_user.until_event("chat.paused")
        assert [one.event for one in of_user.heard] == ["snapshot", "chat.snapshot", "chat.paused"]
        assert [one.event for one in of_advisor.heard] == ["snapshot", "chat.snapshot"]


def test_free_time_that_moved_meanwhile_is_told_to_who_comes_back(
    gateway: Gateway, other: Gateway, name: str
) -> None:
    """At any gateway, also to an advisor, who is not told what has moved it."""
    advisor = f"{name}-advisor"
    paused, moved = start_two(gateway, name, advisor)
    path = f"/v1/chats/{moved}/stream"
    for reader in ((name,), (advisor, "advisor")):
        with listening(gateway, path, gateway.token(*reader)) as listener:
            last_id = listener.until_event("snapshot").id or ""
        gateway.do("pause", chat_id=paused)
        for server in (gateway, other):
            with listening(server, path, server.token(*reader), last_id) as listener:
                told = listener.until_event("chat.snapshot").data
            assert told["seq"] == gateway.read(f"/v1/chats/{moved}", name)["seq"]
        gateway.do("resume", chat_id=paused)
