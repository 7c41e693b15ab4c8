"""Streams of several chats: of those that are named, and of all that an advisor has."""

import pytest

from tests.gateway.conftest import Gateway
from tests.gateway.listening import event_ids, listening

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


def test_a_list_of_chats_is_followed_across_users(gateway: Gateway, name: str) -> None:
    """An advisor hears of its chats and of one that starts later, and nothing of others."""
    users = [f"{name}-{number}" for number in range(3)]
    advisor = f"{name}-advisor"
    for user in users:
        gateway.do("top_up", user_id=user, amount="10")
    gateway.do("start", chat_id=users[0], user_id=users[0], advisor_id=advisor, rate="6")
    gateway.do("start", chat_id=users[2], user_id=users[2], advisor_id="another", rate="6")
    path = "/v1/stream?" + "&".join(f"chat_id={user}" for user in users)
    with listening(gateway, path, gateway.token(advisor, "advisor")) as listener:
        first = listener.until_event("snapshot").data
        assert [chat["status"] for chat in first["chats"]] == ["running", *["not_started"] * 2]
        assert first["wallets"] == []
        gateway.do("start", chat_id=users[1], user_id=users[1], advisor_id=advisor, rate="6")
        gateway.do("pause", chat_id=users[2])
        gateway.do("pause", chat_id=users[0])
        listener.until_event("chat.paused")
        told = [(each.event, each.data["chat_id"]) for each in listener.heard[1:]]
        assert told == [("chat.started", users[1]), ("chat.paused", users[0])]
        assert all(each.data["wallet"] is None for each in listener.heard[1:])


def test_a_list_of_chats_comes_with_the_wallets_that_may_be_seen(
    gateway: Gateway, name: str
) -> None:
    """An operator gets each user's once, and what another chat of a user does to it."""
    users = [f"{name}-{number}" for number in range(2)]
    for user in users:
        gateway.do("top_up", user_id=user, amount="10")
        for chat in (f"{user}-a", f"{user}-b"):
            gateway.do("start", chat_id=chat, user_id=user, advisor_id="adv", rate="6")
    path = "/v1/stream?" + "&".join(f"chat_id={user}-{chat}" for user in users for chat in "ab")
    token = gateway.token("ops", "ops")
    with listening(gateway, path, token) as listener:
        first = listener.until_event("snapshot")
        assert [wallet["user_id"] for wallet in first.data["wallets"]] == users
        gateway.do("top_up", user_id=users[1], amount="1")
        topped_up = listener.until_event("wallet.topped_up").data
        assert (topped_up["chat"], topped_up["wallet"]["user_id"]) == (None, users[1])
    gateway.do("pause", chat_id=f"{users[0]}-a")
    with listening(gateway, path, token, first.id or "") as listener:
        listener.until_event("chat.paused")
        assert event_ids(listener.heard)[-1] != first.id
        assert [each.event for each in listener.heard if each.id] == [
            "wallet.topped_up", "chat.paused",
        ]  # fmt: skip


def test_a_list_of_chats_is_bounded(gateway: Gateway) -> None:
    """None and too many are refused, and so is what can't be a name."""
    many = "&".join(f"chat_id=c{number}" for number in range(101))
    for query in ("", many, "chat_id=a%20b"):
        answer = gateway.http.get(
            f"/v1/stream?{query}",
            headers={"Authorization": f"Bearer {gateway.token('ops', 'ops')}"},
        )
        assert answer.status_code == 422, query


def test_an_advisor_is_told_of_all_its_chats(gateway: Gateway, name: str) -> None:
    """Of the open ones at first, of each that starts, and of what was missed; none has a wallet."""
    advisor, users = f"{name}-advisor", [f"{name}-{number}" for number in range(4)]
    for user in users:
        gateway.do("top_up", user_id=user, amount="10")
    for user in users[:2]:
        gateway.do("start", chat_id=user, user_id=user, advisor_id=advisor, rate="6")
    gateway.do("end", chat_id=users[1])
    path, token = f"/v1/advisors/{advisor}/stream", gateway.token(advisor, "advisor")
    with listening(gateway, path, token) as listener:
        first = listener.until_event("snapshot")
        assert [chat["chat_id"] for chat in first.data["chats"]] == users[:1]
        gateway.do("start", chat_id=users[2], user_id=users[2], advisor_id=advisor, rate="6")
        gateway.do("start", chat_id=users[3], user_id=users[3], advisor_id="another", rate="6")
        gateway.do("pause", chat_id=users[0])
        last = listener.until_event("chat.paused")
        told = [(each.event, each.data["chat_id"]) for each in listener.heard[1:]]
        assert told == [("chat.started", users[2]), ("chat.paused", users[0])]
        assert all(each.data["wallet"] is None for each in listener.heard[1:])
    gateway.do("pause", chat_id=users[3])
    gateway.do("pause", chat_id=users[2])
    with listening(gateway, path, token, last.id or "") as listener:
        listener.until_event("chat.paused")
        assert [each.data["chat_id"] for each in listener.heard] == [users[2]]
