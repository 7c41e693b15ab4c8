"""Over HTTP nobody sees how many partitions there are, nor on how many servers they are.

Lists, streams, acts are of all of them.
"""

import contextlib
import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from loadtests.common.live import METERD, LiveDaemon, live_daemon
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys
from persistence.redis.client import RedisClients
from tests.gateway.conftest import SECRET, Gateway, gateway_alone
from tests.gateway.listening import Heard, listening
from tests.servers import redis_server
from tests.shared_daemon import OPEN_LIMITS

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]

PARTITIONS: Final = 4
_NAMES = itertools.count()


@pytest.fixture(
    scope="module", params=["one server", pytest.param("two servers", marks=pytest.mark.slow)]
)
def live(request: pytest.FixtureRequest) -> Iterator[LiveDaemon]:
    """A daemon with four partitions; the others of this folder share one with one."""
    env = {"METERD_PARTITIONS": str(PARTITIONS), "METERD_HTTP__PORT": "0", **OPEN_LIMITS}
    with contextlib.ExitStack() as stack:
        if request.param == "two servers":
            urls = [stack.enter_context(redis_server()) for _ in range(2)]
            env["METERD_REDIS__URLS"] = ",".join(urls)
        live = stack.enter_context(live_daemon(**env))
        live.until(lambda: _states(live) == ["ready"] * PARTITIONS, 60)
        yield live


@pytest.fixture(scope="module")
def gateway(live: LiveDaemon) -> Iterator[Gateway]:
    gateway = Gateway(live.status()["http_url"], (live.home / "http-secret").read_text().strip())
    with gateway.http:
        yield gateway


@pytest.fixture
def users() -> list[str]:
    """Two in each partition, whom nobody had before."""
    found: dict[int, list[str]] = {number: [] for number in range(PARTITIONS)}
    while any(len(names) < 2 for names in found.values()):
        name = f"p{next(_NAMES)}"
        found[partition_of(name, PARTITIONS)].append(name)
    return [name for names in found.values() for name in names[:2]]


def _open_now(gateway: Gateway) -> int:
    found: int = gateway.ops("/v1/status")["open_chats"]
    return found


def _metrics(gateway: Gateway) -> str:
    return gateway.http.get("/metrics").text


def _open_in_the_past(gateway: Gateway) -> list[int]:
    return [n or 0 for n in gateway.ops("/v1/status/history")["series"]["open_chats"]]


def _states(live: LiveDaemon) -> list[str]:
    return [one["state"] for one in live.status().get("partitions", ())]


def _start(gateway: Gateway, users: list[str], advisor: str) -> list[str]:
    """A chat of each with the advisor."""
    chats = [f"chat-{user}" for user in users]
    for user, chat in zip(users, chats, strict=True):
        gateway.do("top_up", user_id=user, amount="10")
        gateway.do("start", chat_id=chat, user_id=user, advisor_id=advisor, rate="1")
    return chats


def _chats_in(heard: list[Heard], event: str) -> list[str]:
    return [one.data.get("chat_id", "") for one in heard if one.event == event]


def test_an_advisors_stream_is_of_all_partitions_and_goes_on_where_it_was_left(
    gateway: Gateway, users: list[str]
) -> None:
    """Whoever comes back after any event hears what came after it: nothing twice, no gap."""
    advisor = f"adv-{users[0]}"
    chats = _start(gateway, users, advisor)
    path, token = f"/v1/advisors/{advisor}/stream", gateway.token(advisor, "advisor")
    with listening(gateway, path, token) as listener:
        snapshot = listener.until_event("snapshot")
        assert {chat["chat_id"] for chat in snapshot.data["chats"]} == set(chats)
        for chat in chats:
            gateway.do("pause", chat_id=chat)
        listener.until_event("chat.paused", times=len(chats))
    paused = [one for one in listener.heard if one.event == "chat.paused"]
    assert sorted(one.data["chat_id"] for one in paused) == sorted(chats)
    for number, left in enumerate(paused, 1):
        missed = [one.data["chat_id"] for one in paused[number:]]
        with listening(gateway, path, token, left.id or "") as listener:
            gateway.do("resume", chat_id=left.data["chat_id"])  # after all that was missed
            listener.until_event("chat.resumed", times=number)
            listener.until(lambda heard: len(_chats_in(heard, "chat.paused")) >= len(missed))  # noqa: B023
            assert sorted(_chats_in(listener.heard, "chat.paused")) == sorted(missed)
            assert _chats_in(listener.heard, "snapshot") == []


def test_chats_of_several_partitions_are_followed_together(
    gateway: Gateway, users: list[str]
) -> None:
    chats = _start(gateway, users, "adv")
    query = "&".join(f"chat_id={chat}" for chat in [*chats, "never"])
    with listening(gateway, f"/v1/stream?{query}", gateway.token("ops", "ops")) as listener:
        snapshot = listener.until_event("snapshot").data
        status = {chat["chat_id"]: chat["status"] for chat in snapshot["chats"]}
        assert status == {**dict.fromkeys(chats, "running"), "never": "not_started"}
        assert {wallet["user_id"] for wallet in snapshot["wallets"]} == set(users)
        for chat in chats:
            gateway.do("end", chat_id=chat)
        listener.until_event("chat.ended", times=len(chats))
        assert sorted(_chats_in(listener.heard, "chat.ended")) == sorted(chats)


def test_lists_have_the_chats_of_all_partitions_as_they_are_now(
    gateway: Gateway, live: LiveDaemon, users: list[str]
) -> None:
    advisor = f"adv-{users[0]}"
    chats = _start(gateway, users, advisor)
    live.until_handled()
    for sort in ("started", "left"):
        page = gateway.ops("/v1/chats", advisor_id=advisor, sort=sort)
        assert {chat["chat_id"] for chat in page["chats"]} == set(chats), sort
    for user, chat in zip(users, chats, strict=True):
        told = gateway.read(f"/v1/chats/{chat}", user)
        assert (told["read_from"], told["wallet"]["user_id"]) == ("redis", user)


def test_a_command_finds_a_chat_that_only_postgres_has(
    gateway: Gateway, live: LiveDaemon, users: list[str]
) -> None:
    """A day after its end, without its user."""
    chats = _start(gateway, users, "adv")
    for chat in chats:
        gateway.do("end", chat_id=chat)
    live.until_handled()
    with live.clients() as clients:
        for user, chat in zip(users, chats, strict=True):
            number = partition_of(user, PARTITIONS)
            clients.of(number).delete(Keys(number).chat(chat))
    with _another(live) as fresh:  # the other one remembers whose they are
        answers = [fresh.post({"type": "resume", "chat_id": chat}) for chat in chats]
    assert {answer.json()["code"] for answer in answers} == {"already_ended"}


@contextlib.contextmanager
def _another(live: LiveDaemon, partitions: int = PARTITIONS) -> Iterator[Gateway]:
    folder = live.home.parent / f"gateway-{next(_NAMES)}"
    folder.mkdir()
    with gateway_alone(folder, **_servers(live, partitions)) as gateway:
        yield gateway


def _servers(live: LiveDaemon, partitions: int) -> dict[str, str]:
    return {
        # As many as there may be with another number of partitions.
        "METERD_REDIS__URLS": ",".join(live.redis_urls[:partitions]),
        "METERD_POSTGRES__URL": live.postgres_url,
        "METERD_PARTITIONS": str(partitions),
    }


def _set_aside(clients: RedisClients, entry: str) -> None:
    """The same entry as a dead letter of the same ID in each partition, as it may come about."""
    fields = {"type": "nonsense", "id": f"dead-{entry}"}
    for number in range(PARTITIONS):
        reason = f"of partition {number}"
        letter: Any = {"entry": entry, "outcome": "invalid_command", "reason": reason}
        letter["fields"] = json.dumps(fields)
        clients.of(number).xadd(Keys(number).dead, letter, id=entry)


def test_dead_letters_of_all_partitions_are_one_list(gateway: Gateway, live: LiveDaemon) -> None:
    """The newest first, by pages of any size; equal IDs are told apart by their partitions."""
    with live.clients() as clients:
        for entry in ("9000000000000-1", "9000000000000-2", "9000000000001-0"):
            _set_aside(clients, entry)
    told = gateway.ops("/v1/dead", limit=12)["letters"]
    names = [letter["letter"] for letter in told]
    assert names == [
        f"{number}:{entry}"
        for entry in ("9000000000001-0", "9000000000000-2", "9000000000000-1")
        for number in reversed(range(PARTITIONS))
    ]
    for limit in (1, 3, 5):
        pages: list[str] = []
        after: dict[str, str] = {}
        while len(pages) < len(names):
            page = gateway.ops("/v1/dead", limit=limit, **after)
            pages += [letter["letter"] for letter in page["letters"]]
            after = {"after": page["next"]}
        assert pages[: len(names)] == names


def test_each_dead_letter_is_resolved_and_recorded_by_itself(
    gateway: Gateway, live: LiveDaemon
) -> None:
    """Four letters of the same ID are four operations; asked again, each is the one that it was."""
    entry = "9000000000002-0"
    with live.clients() as clients:
        _set_aside(clients, entry)
    names = [f"{number}:{entry}" for number in range(PARTITIONS)]
    answers = [gateway.act("dead.drop", id=f"d{n}", letter=name) for n, name in enumerate(names)]
    assert [answer.status_code for answer in answers] == [200] * PARTITIONS
    live.until_handled()
    again = [gateway.act("dead.drop", id=f"d{n}", letter=name) for n, name in enumerate(names)]
    ids = [answer.json()["operation"]["operation_id"] for answer in answers]
    assert [answer.json()["operation"]["operation_id"] for answer in again] == ids
    assert len(set(ids)) == PARTITIONS
    page = gateway.ops("/v1/operations", subject=entry)["operations"]
    assert {one["operation_id"] for one in page} == set(ids)
    for name in (entry, f"{PARTITIONS}:{entry}", f"0:{entry}"):
        assert gateway.act("dead.drop", id="x", letter=name).json()["code"] == "unknown_letter"


def test_status_and_history_are_of_all_partitions(
    gateway: Gateway, live: LiveDaemon, users: list[str]
) -> None:
    _start(gateway, users, "adv")
    live.until_handled()
    with live.clients() as clients:
        of_all = [(clients.of(number), Keys(number)) for number in range(PARTITIONS)]
        events = sum(int(client.xlen(keys.events)) for client, keys in of_all)
        live.until(lambda: all(client.xlen(keys.history) for client, keys in of_all))
    live.until(lambda: gateway.ops("/v1/status")["open_chats"] >= len(users))
    status = gateway.ops("/v1/status")
    assert status["queue"]["events"] >= events
    assert [one["partition"] for one in status["partitions"]] == list(range(PARTITIONS))
    assert status["open_chats"] == sum(one["open_chats"] for one in status["partitions"])
    live.until(lambda: max(_open_in_the_past(gateway)) >= len(users))
    live.until(lambda: f"\nmeterd_open_chats {_open_now(gateway)}.0\n" in _metrics(gateway))


@pytest.mark.parametrize("after", ["1-0,2-0", "1-0,2-0,3-0,4-0,5-0"])
def test_a_place_of_another_number_of_partitions_is_refused(gateway: Gateway, after: str) -> None:
    answer = gateway.get("/v1/events", "b", "backend", after=after)
    assert answer.status_code == 422
    assert str(PARTITIONS) in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("partitions", [1, 2, 8])
@pytest.mark.parametrize("server", ["redis", "postgres"])
def test_a_gateway_with_another_number_does_not_start(
    live: LiveDaemon, tmp_path: Path, partitions: int, server: str
) -> None:
    """Whichever of the servers can be asked: it names both numbers."""
    away = {"redis": "postgresql://127.0.0.1:1/none", "postgres": "redis://127.0.0.1:1"}
    urls = _servers(live, partitions)
    urls["METERD_POSTGRES__URL" if server == "redis" else "METERD_REDIS__URLS"] = away[server]
    env = {**LiveDaemon(tmp_path, urls).env, "METERD_HTTP__JWT_SECRET": SECRET}
    done = subprocess.run(
        [METERD, "gateway", "--port", "0"], env=env, cwd=tmp_path, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"partitions is {partitions}" in done.stderr
    assert f"made with {PARTITIONS}" in done.stderr
