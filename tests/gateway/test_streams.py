"""Streams: first the snapshot, then every change once, whatever breaks in between."""

import contextlib
import itertools
import random
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from daemon.gateway.streams.stream import MISSED_MAX
from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import scaled
from meterd.rules.commands import entry_key
from tests.gateway.conftest import Gateway, gateway_alone
from tests.gateway.listening import WAIT_S, Heard, Listener, listening
from tests.gateway.stored_events import own_id
from tests.proxy import proxy_to
from tests.shared_daemon import keys_of, servers_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


@contextlib.contextmanager
def another(live: LiveDaemon, **env: str) -> Iterator[Gateway]:
    """A gateway by itself on the daemon's servers, with settings of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        gateway_alone(Path(folder), **{**servers_of(live), **env}) as gateway,
    ):
        yield gateway


@pytest.fixture(scope="module")
def other(live: LiveDaemon) -> Iterator[Gateway]:
    """A second gateway."""
    with another(live) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def small(live: LiveDaemon) -> Iterator[Gateway]:
    """A gateway with small limits."""
    limits = {
        "METERD_HTTP__KEEP_ALIVE_MS": "1000",
        "METERD_HTTP__STREAMS_PER_CALLER_MAX": "2",
        "METERD_HTTP__STREAM_MESSAGES_MAX": "4",
    }
    with another(live, **limits) as gateway:
        yield gateway


def follow(gateway: Gateway, user: str, last_id: str = "") -> Any:
    """The user's own stream."""
    return listening(gateway, f"/v1/users/{user}/stream", gateway.token(user), last_id)


def told_of(live: LiveDaemon, user: str) -> list[str]:
    """The IDs of all that happened to a user, as Redis has them."""
    with live.client() as client:
        entries: Any = client.xrange(keys_of(user).events)
    return [entry.decode() for entry, fields in entries if fields[b"user_id"] == user.encode()]


def ids(heard: list[Heard]) -> list[str]:
    """The IDs in their streams of the events among the messages."""
    events = (one for one in heard if one.event not in ("snapshot", "end"))
    return [own_id(one.id or "", one.data["user_id"]) for one in events]


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
        rest = len(expected) - len(ids(heard))
        heard += listener.until(lambda now: len(now) >= rest)
    assert ids(heard) == expected


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


def test_a_stream_ends_with_its_token(gateway: Gateway, name: str) -> None:
    """Nobody reads on with a token that no longer counts."""
    token = gateway.token(name, ttl_s=2)
    with listening(gateway, f"/v1/users/{name}/stream", token) as listener:
        last = listener.until_ended()
    assert (last.event, last.data) == ("end", {"reason": "token_expired"})


def test_a_gateway_that_stops_says_so(live: LiveDaemon, name: str) -> None:
    """Whoever listens can come back elsewhere at once; the gateway ends in order."""
    with another(live) as gateway, follow(gateway, name) as listener:
        listener.until_event("snapshot")
        gateway.stop()
        last = listener.until_ended()
    assert (last.event, last.data) == ("end", {"reason": "shutdown"})


def test_a_quiet_stream_says_that_it_is_there(small: Gateway, name: str) -> None:
    """A comment now and then, so that nobody in between cuts the connection."""
    with follow(small, name) as listener:
        listener.until_comment()


def test_streams_are_counted_and_bounded(small: Gateway, name: str) -> None:
    """One more than the limit is refused with what to do; one that ends makes room."""
    path, asked = f"/v1/users/{name}/stream", small.bearer(name)
    with follow(small, name) as first:
        first.until_event("snapshot")
        with follow(small, name) as second:
            second.until_event("snapshot")
            refused = small.http.get(path, headers=asked)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
    _until_free(small, name)


def _until_free(gateway: Gateway, user: str) -> None:
    """The gateway notices soon that somebody has gone."""
    for _ in range(200):
        with contextlib.suppress(AssertionError), follow(gateway, user) as listener:
            listener.until_event("snapshot")
            return
    raise AssertionError("no stream got free")


def test_a_slow_reader_is_dropped_with_a_clear_end_and_loses_nothing(
    live: LiveDaemon, small: Gateway, name: str
) -> None:
    """What waits for it is bounded; it is told why, and comes back to where it was."""
    slow = _open_slowly(small, name)
    try:
        slow.recv(300)
        _flood_until_dropped(live, small, name)
        raw = _all_of(slow)
    finally:
        slow.close()
    assert b'event: end\ndata: {"reason":"slow"}' in raw[-200:]
    last_id = raw.rsplit(b"\nid: ", 1)[1].split(b"\n", 1)[0].decode()
    left = entry_key(own_id(last_id, name))
    expected = [entry for entry in told_of(live, name) if entry_key(entry) > left]
    assert expected, "it was dropped before it had heard all"
    with follow(small, name, last_id) as listener:
        heard = listener.until(lambda now: len(now) >= len(expected))
    assert ids(heard) == expected


def _open_slowly(gateway: Gateway, user: str) -> socket.socket:
    """A reader with hardly any room, who does not read."""
    address = urlsplit(gateway.url)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    slow.settimeout(20)
    slow.connect((address.hostname, address.port))
    lines = (
        f"GET /v1/users/{user}/stream HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {gateway.token(user)}",
        "",
        "",
    )
    slow.sendall("\r\n".join(lines).encode())
    return slow


def _flood_until_dropped(live: LiveDaemon, gateway: Gateway, user: str) -> None:
    """So many events that neither side's buffers hold them."""
    with live.client() as client:
        for number in range(60):
            pipeline = client.pipeline(transaction=False)
            for part in range(200):
                fields = {"type": "top_up", "id": f"{user}-{number}-{part}", "user_id": user}
                pipeline.xadd(keys_of(user).commands, {**fields, "amount": "1"})
            pipeline.execute()
            live.until_handled()
            if _dropped(gateway):
                return
    raise AssertionError("it was never dropped")


def _dropped(gateway: Gateway) -> bool:
    page = gateway.http.get("/metrics").text
    return "meterd_gateway_streams_dropped_total 1.0" in page


def _all_of(reader: socket.socket) -> bytes:
    parts = []
    while part := reader.recv(1 << 16):
        parts.append(part)
        if b'"slow"' in b"".join(parts[-2:]):
            break
    return b"".join(parts)


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
    assert len(ids(listener.heard)) == 3


def test_listeners_are_of_use(gateway: Gateway, name: str) -> None:
    """What waits for a message that never comes fails: no test here passes by luck."""
    with follow(gateway, name) as listener:
        assert isinstance(listener, Listener)
        with pytest.raises(AssertionError, match="not within"):
            listener.until(lambda heard: len(heard) > 1, 0.1)


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
        assert ids(listener.heard)[-1] != first.id
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
