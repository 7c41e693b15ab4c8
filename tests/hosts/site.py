"""Machines with daemons on them, servers that all of them reach, and what holds at the end."""

import contextlib
import itertools
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import redis

from loadtests.common.queue import is_handled
from loadtests.common.timeouts import scaled
from meterd.rules.commands import entry_key
from meterd.rules.model import Policy
from meterd.rules.partitions import ONLY, Partition
from meterd.rules.redis_keys import Keys
from persistence.postgres.engine import make_engine
from persistence.redis.client import connect
from tests.audit_check import assert_clean
from tests.books import assert_balanced
from tests.chaos.fencing import Epochs
from tests.hosts.daemons import MachineDaemon
from tests.hosts.machines import Machine, Network
from tests.load import Entry, Load, Sender
from tests.proxy import proxy_to
from tests.servers import VALKEY, server_in

ANSWER_S_MAX: Final = 10.0
"""Within so long after a machine was lost, commands are answered again."""
HANDLED_S_MAX: Final = scaled(240)
PER_SECOND: Final = 100
SEED: Final = int(os.environ.get("METERD_TEST_SEED", str(int.from_bytes(os.urandom(3)))))

SETTINGS: Final = {
    "METERD_HTTP__ENABLED": "false",
    "METERD_ACTORS__MAX": "2",
    # Shorter than by default, so that a test need not wait for them.
    "METERD_REDIS__SOCKET_TIMEOUT_MS": "2000",
    "METERD_ACTORS__CALL_TIMEOUT_MS": "4000",
    "METERD_QUEUE__PROCESSED_RETENTION_MS": "86400000",
    "METERD_QUEUE__REPLY_TTL_MS": "86400000",
}


class Site:
    """The servers and who may speak to them."""

    def __init__(self, net: Network, folder: Path, redis_url: str, postgres_url: str) -> None:
        """``postgres_url`` is the tests' own; machines reach ``self.env``."""
        self.net = net
        self.folder = folder
        self.postgres_url = postgres_url
        self.redis_url = redis_url
        self.client = connect(redis_url)
        self.env: dict[str, str] = dict(SETTINGS)
        self.daemons: list[MachineDaemon] = []

    def daemon(self, machine: Machine, **env: str) -> MachineDaemon:
        """A daemon on a machine; it is not started."""
        made = MachineDaemon(machine, self.folder, {**self.env, **env})
        self.daemons.append(made)
        return made

    def published(self, partition: int = 0) -> dict[str, Any]:
        """What the daemon that leads a partition says; empty if nobody says anything."""
        raw = self.client.get(Keys(partition).status)
        found: dict[str, Any] = json.loads(raw) if isinstance(raw, bytes) else {}
        return found


class Traffic:
    """Random commands at a steady pace for as long as the block lasts."""

    def __init__(
        self, client: redis.Redis, partition: Partition = ONLY, per_second: int = PER_SECOND
    ) -> None:
        """Every account gets its credits and its chats; all are in one partition."""
        print(f"METERD_TEST_SEED={SEED}")
        self._client = client
        self._keys = Keys(partition.number)
        self._per_second = per_second
        self.partition = partition
        seed, users = SEED + partition.number, 40 // partition.partitions
        self.sender = Sender(client, Load(users, 3, seed, partition=partition))
        self.sender.begin()
        self.epochs = Epochs(self._keys)
        self._probes: list[Entry] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=scaled(30))

    def answered_after_s(self, name: str) -> float:
        """How long a command of a new account waits for its answer, in seconds."""
        user = next(filter(self.partition.has, (f"{name}-{n}" for n in itertools.count())))
        began = time.monotonic()
        fields = {"type": "top_up", "id": name, "user_id": user, "amount": "1", "reply_to": name}
        entry: Any = self._client.xadd(self._keys.commands, fields)  # type: ignore[arg-type]
        self._probes.append((entry.decode(), fields))
        deadline = began + HANDLED_S_MAX
        while not self._client.exists(self._keys.reply(name)):
            assert time.monotonic() < deadline, f"{name} was never answered"
            time.sleep(0.02)
        return time.monotonic() - began

    def log(self) -> list[Entry]:
        """All that was sent, in the order of the stream."""
        return sorted(self.sender.log + self._probes, key=lambda sent: entry_key(sent[0]))

    def _run(self) -> None:
        while not self._stop.is_set():
            self.sender.send_for(1.0, self._per_second)
            self.epochs.look(self._client)


def assert_nothing_lost_or_twice(site: Site, *traffics: Traffic) -> None:
    """All is handled and stored; the books equal the fold, no old epoch may write."""
    for traffic in traffics:
        _finish(site, traffic)
    engine = make_engine(site.postgres_url)
    try:
        assert_clean(engine, site.redis_url)
        for traffic in traffics:
            partition = traffic.partition
            assert_balanced(site.client, engine, traffic.log(), Policy(), partition)
    finally:
        engine.dispose()


def _finish(site: Site, traffic: Traffic) -> None:
    partition = traffic.partition
    traffic.sender.finish()
    deadline = time.monotonic() + HANDLED_S_MAX
    while not is_handled(site.client, Keys(partition.number)):
        assert time.monotonic() < deadline, [daemon.output() for daemon in site.daemons]
        time.sleep(0.1)
    assert len(traffic.epochs) > 0
    assert traffic.epochs.stale_writers(site.client) == []


def assert_taken_over(
    site: Site, first: MachineDaemon, second: MachineDaemon, *, is_cut: bool
) -> None:
    """The first machine is cut off and comes back, or is switched off; the second one answers."""
    with Traffic(site.client) as traffic:
        time.sleep(2)
        if is_cut:
            first.machine.cut()
        else:
            first.machine.kill()
        after_s = traffic.answered_after_s("lost")
        print(f"{'cut' if is_cut else 'killed'}: answered after {after_s:.1f} s")
        second.until(lambda: second.here()[0] == "ready")
        if is_cut:
            time.sleep(5)
            first.machine.heal()
            first.until(lambda: first.here()[0] == "standby", 120)
    assert after_s <= scaled(ANSWER_S_MAX)
    assert_nothing_lost_or_twice(site, traffic)


@contextlib.contextmanager
def site_on(net: Network, postgres_url: str) -> Iterator[Site]:
    """Servers for a network's machines; nothing of them is left."""
    # Ray's sockets lie below it, whose paths may not be long.
    folder = Path(tempfile.mkdtemp(prefix="mh-", dir="/tmp"))
    try:
        with (
            server_in(
                folder, VALKEY, "--bind", f"127.0.0.1 {net.address}", "--protected-mode", "no"
            ) as redis_url,
            proxy_to(postgres_url, net.address) as postgres,
        ):
            site = Site(net, folder, redis_url, postgres_url)
            site.env["METERD_REDIS__URL"] = redis_url.replace("127.0.0.1", net.address)
            site.env["METERD_POSTGRES__URL"] = postgres.url
            with contextlib.closing(site.client):
                yield site
            net.close()
    finally:
        net.close()
        shutil.rmtree(folder, ignore_errors=True)
