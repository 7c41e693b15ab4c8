"""Streams: first the snapshot, then every change once, whatever breaks in between."""

import contextlib
import random

import pytest

from loadtests.common.live import LiveDaemon
from tests.gateway.conftest import Gateway, another
from tests.gateway.listening import Heard, Listener, event_ids, follow, listening, told_of
from tests.proxy import proxy_to
from tests.shared_daemon import keys_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


def test_a_stream_begins_with_the_snapshot_and_goes_on_with_changes(
    gateway: Gateway, name: str
) -> None:
    """Each message has the chat and the wallet as they are then, and the queue's clock."""
    gateway.do("top_up", user_id=name, amount="10")
    gateway.do("start", chat_id=name, user_id=name, advisor_id="adv", rate="6")
    with follow(gateway, name) as listener:
        first = listener.until_event("snapshot").data
        assert [chat["status"] for chat in first["chats"]] == ["running"]
        assert first["wallet"]["balance"] == "10.000000"
        gateway.do("pause", chat_id=name)
        paused = listener.until_event("chat.paused").data
    assert (paused["chat"]["status"], paused["reason"]) == ("paused", "command")
    assert paused["wallet"]["seq"] > first["wallet"]["seq"]
    assert paused["wallet"]["running"] == []
    assert paused["now"] >= paused["at"]


def test_a_chat_can_be_followed_before_it_starts(gateway: Gateway, name: str) -> None:
    """From its start on the wallet is told too, also when another chat or a top-up changes it."""
    gateway.do("top_up", user_id=name, amount="10")
    with listening(gateway, f"/v1/chats/{name}/stream", gateway.token(name)) as listener:
        assert listener.until_event("snapshot").data["chats"][0]["status"] == "not_started"
        gateway.do("start", chat_id=name, user_id=name, advisor_id="adv")
        assert listener.until_event("chat.started").data["chat"]["status"] == "running"
        gateway.do("top_up", user_id=name, amount="1")
        assert listener.until_event("wallet.topped_up").data["chat"] is None
        gateway.do("start", chat_id=f"{name}-2", user_id=name, advisor_id="adv")
        other = listener.until_event("chat.started", times=2).data
    assert (other["chat"], other["wallet"]["open_chats"]) == (None, 2)


COMMANDS = ("pause", "resume", "heartbeat", "set_rate", "end", "top_up")


def random_command(gateway: Gateway, user: str, chats: list[str], dice: random.Random) -> None:
    """Some command about the user, accepted or not."""
    type_, chat = dice.choice(COMMANDS), dice.choice(chats)
    if type_ == "top_up":
        gateway.post({"type": type_, "user_id": user, "amount": "5"})
    elif type_ == "set_rate":
        gateway.post({"type": type_, "chat_id": chat, "rate": str(dice.randint(0, 9))})
    else:
        gateway.post({"type": type_, "chat_id": chat})


@pytest.mark.parametrize("seed", [1, 2])
def test_who_comes_back_again_and_again_hears_everything_once(
    live: LiveDaemon, gateway: Gateway, other: Gateway, name: str, seed: int
) -> None:
    """A stream broken at random places, resumed at either of two gateways, has no gap or repeat."""
    dice, chats = random.Random(seed), [f"{name}-{number}" for number in range(3)]
    gateway.do("top_up", user_id=name, amount="100")
    heard: list[Heard] = []
    with follow(gateway, name) as listener:
        last_id = listener.until_event("snapshot").id or ""
    before = set(told_of(live, name))
    for chat in chats:
        gateway.do("start", chat_id=chat, user_id=name, advisor_id="adv", rate="3")
    for _ in range(8):
        with follow(dice.choice((gateway, other)), name, last_id) as listener:
            for _ in range(dice.randint(0, 6)):
                random_command(gateway, name, chats, dice)
            if dice.random() < 0.7:
                some = dice.randint(0, 3)
                with contextlib.suppress(AssertionError):
                    listener.until(lambda now, some=some: len(now) >= some, 0.5)
            heard += listener.heard
            last_id = next((one.id for one in reversed(heard) if one.id), last_id)
    expected = [entry for entry in told_of(live, name) if entry not in before]
    with follow(gateway, name, last_id) as listener:
        rest = len(expected) - len(event_ids(heard))
        heard += listener.until(lambda now: len(now) >= rest)
    assert event_ids(heard) == expected


def test_a_place_that_is_no_longer_known_begins_anew_with_the_snapshot(
    live: LiveDaemon, gateway: Gateway, name: str
) -> None:
    """Whoever was away for longer than events are kept gets the state, not a gap."""
    gateway.do("top_up", user_id=name, amount="10")
    with follow(gateway, name) as listener:
        last_id = listener.until_event("snapshot").id or ""
    for _ in range(3):
        gateway.do("top_up", user_id=name, amount="1")
    with live.client() as client:
        client.xtrim(keys_of(name).events, maxlen=1, approximate=False)
    with another(live) as fresh, follow(fresh, name, last_id) as listener:
        first = listener.until(bool)[0]
    assert (first.event, first.data["wallet"]["balance"]) == ("snapshot", "13.000000")


@pytest.mark.parametrize("junk", ["latest", "0", "99999999999999-0", "-"])
def test_a_place_that_never_was_begins_with_the_snapshot(
    gateway: Gateway, name: str, junk: str
) -> None:
    """Whatever a browser sends back, there is an answer."""
    with follow(gateway, name, junk) as listener:
        assert listener.until(bool)[0].event == "snapshot"


def test_a_stream_outlives_redis(live: LiveDaemon, gateway: Gateway, name: str) -> None:
    """While Redis is away a stream stays open, and afterwards tells what happened meanwhile."""
    gateway.do("top_up", user_id=name, amount="10")
    with (
        proxy_to(live.redis_url) as proxy,
        another(live, METERD_REDIS__URL=proxy.url) as other,
        follow(other, name) as listener,
    ):
        listener.until_event("snapshot")
        proxy.refuse()
        for amount in ("1", "2", "3"):
            gateway.do("top_up", user_id=name, amount=amount)
        proxy.admit()
        told = listener.until_event("wallet.topped_up", times=3)
    assert told.data["wallet"]["balance"] == "16.000000"
    assert len(event_ids(listener.heard)) == 3


def test_listeners_are_of_use(gateway: Gateway, name: str) -> None:
    """What waits for a message that never comes fails: no test here passes by luck."""
    with follow(gateway, name) as listener:
        assert isinstance(listener, Listener)
        with pytest.raises(AssertionError, match="not within"):
            listener.until(lambda heard: len(heard) > 1, 0.1)
