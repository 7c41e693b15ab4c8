"""The client in TypeScript with several servers, and with a cluster: as with one."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from meterd.cluster_url import slot_of, url_of_partition
from meterd.redis_servers import RedisServers
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys
from persistence.redis.client import RedisClients
from persistence.redis.layout import PartitionLayout, write_layout
from tests.client.typescript.node import NODE, PACKAGE, Driver, Failed, run
from tests.redis_cluster import RedisCluster, until
from tests.servers import VALKEY, redis_server

pytestmark = [pytest.mark.redis, pytest.mark.timeout(120)]

PARTITIONS: Final = 4


@pytest.fixture(params=["two servers", pytest.param("a cluster", marks=pytest.mark.slow)])
def clients(request: pytest.FixtureRequest) -> Iterator[RedisClients]:
    with ExitStack() as stack:
        if request.param == "a cluster":
            folder = Path(tempfile.mkdtemp(prefix="meterd-cluster-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            cluster = RedisCluster(VALKEY, folder)
            stack.callback(cluster.kill)
            cluster.start()
            urls = [cluster.url]
        else:
            urls = [stack.enter_context(redis_server()) for _ in range(2)]
        clients = stack.enter_context(closing(RedisClients(RedisServers(urls))))
        for number in range(PARTITIONS):
            write_layout(clients.of(number), PartitionLayout(number, PARTITIONS))
        yield clients


def _answer(client: redis.Redis, keys: Keys) -> None:
    """Do the daemon's part for the last command: a reply, an event, a snapshot."""
    found: Any = client.xrevrange(keys.commands, count=1)
    entry, raw = found[0]
    fields = {name.decode(): value.decode() for name, value in raw.items()}
    snapshot = json.dumps({"chat_id": fields["chat_id"], "user_id": fields["user_id"]})
    client.set(keys.chat(fields["chat_id"]), snapshot)
    event = {"event": "chat.paused", "at": "1", "user_id": fields["user_id"], "seq": "1"}
    client.xadd(keys.events, event)  # type: ignore[arg-type]
    reply = {"id": fields["id"], "outcome": "ok", "entry": entry, "replayed": "0", "message": ""}
    client.xadd(keys.reply(fields["reply_to"]), reply)  # type: ignore[arg-type]


def test_commands_replies_snapshots_and_events_of_all_partitions(
    driver: Driver, clients: RedisClients
) -> None:
    """Each goes to the server of its user's partition; a chat is found without its user."""
    urls = list(clients.servers.urls)
    driver.ask("make", meter="m", url=urls if len(urls) > 1 else urls[0], options={})
    driver.ask("follow", meter="m", name="e", after="$", user_id=None)
    users = {partition_of(f"u{n}", PARTITIONS): f"u{n}" for n in range(50)}
    for number, user in users.items():
        keys, client = Keys(number), clients.of(number)
        args = {"chat_id": f"c-{user}", "user_id": user}
        asked = driver.begin("call", meter="m", method="pause", enqueue=False, args=args)
        until(lambda client=client, keys=keys: bool(client.xlen(keys.commands)))  # type: ignore[misc]
        _answer(client, keys)
        assert asked.result(30)["outcome"] == "ok"
        read = driver.ask("read", name="e", count=1)
        assert read["events"][0]["user_id"] == user
        args = {"chat_id": f"c-{user}"}
        again = driver.ask("call", meter="m", method="resume", enqueue=True, args=args)
        last: Any = client.xrevrange(keys.commands, count=1)
        assert last[0][0].decode() == again["entry"], "found by its chat"
    driver.ask("close", meter="m")


def test_urls_in_another_order_send_nothing(driver: Driver) -> None:
    """A server that does not have the user's partition gets no command for it."""
    with redis_server() as a, redis_server() as b, RedisClients(RedisServers([a, b])) as clients:
        for number in range(PARTITIONS):
            write_layout(clients.of(number), PartitionLayout(number, PARTITIONS))
        driver.ask("make", meter="swapped", url=[b, a], options={})
        args = {"user_id": "u", "amount": "1", "timeout_s": 0.5}
        with pytest.raises(Failed, match="give all URLs of the daemon, in its order"):
            driver.ask("call", meter="swapped", method="top_up", enqueue=True, args=args)
        driver.ask("close", meter="swapped")
        assert [clients.of(n).dbsize() for n in (0, 1)] == [2, 2]


def test_slots_and_urls_are_as_in_python() -> None:
    """The slot of each partition, and the URL that names its master."""
    url = "redis+cluster://me:p%40ss@a:1,b"
    program = """
import { slot_of_partition, url_of_partition, parse_cluster_url } from "./src/cluster.js";
const numbers = [...Array(256).keys()];
const [url] = process.argv.slice(1);
console.log(JSON.stringify([
  numbers.map(slot_of_partition), url_of_partition(url, 3),
  parse_cluster_url(url_of_partition(url, 3)),
  ["redis+cluster://", "redis+cluster://h/1", "redis+cluster://h?x=1"].map(parse_cluster_url),
]));
"""
    told = run(NODE, "--input-type=module", "-e", program, url, cwd=PACKAGE)
    slots, named, parts, wrong = json.loads(told.stdout)
    assert slots == [slot_of(number) for number in range(256)]
    assert named == url_of_partition(url, 3)
    assert parts["partition"] == 3
    assert [one["url"] for one in parts["nodes"]] == [
        "redis://me:p%40ss@a:1/0", "redis://me:p%40ss@b:6379/0"
    ]  # fmt: skip
    assert wrong == [None, None, None]


@pytest.mark.parametrize(
    ("urls", "why"),
    [([], "one URL at least"), (["redis://a", "redis+cluster://b"], "a cluster has all"),
     (["redis://a", "http://b"], "send a URL such as")],
)  # fmt: skip
def test_urls_that_can_not_be_are_refused(driver: Driver, urls: list[str], why: str) -> None:
    with pytest.raises(Failed, match=why):
        driver.ask("make", meter="wrong", url=urls, options={})
