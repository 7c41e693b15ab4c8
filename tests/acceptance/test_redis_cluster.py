"""Four partitions on a Redis Cluster of three masters: all of it works, also after a failover."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.common.live import LiveDaemon, live_daemon
from loadtests.common.watchdog import remove_with_us
from tests.acceptance.four_partitions import PARTITIONS, meter_of, states, user_of_each
from tests.redis_cluster import RedisCluster, until
from tests.servers import VALKEY

pytestmark = [pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    folder = Path(tempfile.mkdtemp(prefix="meterd-cluster-"))
    remove_with_us(folder)
    cluster = RedisCluster(VALKEY, folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def daemon(cluster: RedisCluster) -> Iterator[LiveDaemon]:
    env = {
        "METERD_PARTITIONS": str(PARTITIONS),
        "METERD_REDIS__URL": cluster.url,
        "METERD_ACTORS__WARM_POOL_SIZE": "0",
        "METERD_HTTP__ENABLED": "0",
    }
    with live_daemon(**env) as running:
        running.until(lambda: states(running) == ["ready"] * PARTITIONS, 60)
        yield running


def test_each_partition_is_where_its_slot_is(daemon: LiveDaemon, cluster: RedisCluster) -> None:
    """Commands, snapshots, events and what people do."""
    users = user_of_each("life")
    assert daemon.status()["redis_url"] == cluster.url
    with meter_of(daemon) as meter, meter.events() as events:
        for user in users:
            meter.top_up(user, 5)
            meter.start(f"c-{user}", user, "v", rate="0.001")
            assert meter.pause(f"c-{user}").snapshot.user_id == user, "found without its user"
            assert meter.end(f"c-{user}", user_id=user).snapshot.status == "ended"
            assert meter.wallet(user).user_id == user
        seen = [next(events) for _ in range(4 * PARTITIONS)]
        for user in users:
            assert [one.event for one in seen if one.user_id == user] == [
                "wallet.topped_up", "chat.started", "chat.paused", "chat.ended"
            ]  # fmt: skip
    assert all(node.ask("DBSIZE") for node in cluster.nodes[:3]), "each master has a partition"
    told = daemon.run("send", "top_up", f"user_id={users[3]}", "amount=1", "--json")
    assert json.loads(told.stdout)["outcome"] == "ok", told.stderr
    assert daemon.run("chat", f"c-{users[0]}").returncode == 0
    assert daemon.run("dead", "list", "--partition", "2").returncode == 0
    assert daemon.run("top", "--times", "1").returncode == 0
    daemon.until_handled()
    audit = daemon.run("audit")
    assert audit.returncode == 0, audit.stdout
    assert f"{len(users)} users" in audit.stdout


@pytest.mark.parametrize("failover", ["by hand", "of a master that died"])
def test_it_goes_on_after_a_failover(
    daemon: LiveDaemon, cluster: RedisCluster, failover: str
) -> None:
    """Open chats are there, each command has had one effect, and each event came once."""
    users = user_of_each(failover.replace(" ", "-"))
    master, replica = cluster.pair()
    with meter_of(daemon) as meter, meter.events() as events:
        for user in users:
            meter.top_up(user, 5)
            meter.start(f"c-{user}", user, "v", rate="0.001")
        for _ in range(2 * PARTITIONS):
            next(events)
        daemon.until_handled()
        if failover == "by hand":
            cluster.fail_over()
        else:
            cluster.until_replicated(master, replica)
            master.kill()
        until(lambda: replica.is_master)
        daemon.until(lambda: states(daemon) == ["ready"] * PARTITIONS, 90)
        for user in users:
            meter.top_up(user, 1, id=f"again-{user}", timeout_s=60)
            assert meter.top_up(user, 1, id=f"again-{user}", timeout_s=60).replayed
            assert meter.end(f"c-{user}", timeout_s=60).snapshot.status == "ended"
        seen = [next(events) for _ in range(2 * PARTITIONS)]
        for user in users:
            mine = [one.event for one in seen if one.user_id == user]
            assert mine == ["wallet.topped_up", "chat.ended"]
    if failover != "by hand":
        master.start()
    daemon.until_handled()
    audit = daemon.run("audit")
    assert audit.returncode == 0, audit.stdout
