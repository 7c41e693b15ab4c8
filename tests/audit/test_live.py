"""The audit of a system that works, of one whose daemon is down, and of one without Redis."""

import asyncio
import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from actors.supervisor.supervisor import SupervisorConfig
from daemon.audit import redis_state, run
from meterd.rules.model import Policy
from persistence.redis.client import connect
from persistence.redis.snapshot_scan import SnapshotScan
from tests.audit.conftest import System, send_special
from tests.audit_check import audited
from tests.commands.elsewhere import run as meterd
from tests.engine.harness import KEYS, idle, running
from tests.load import Load, Sender
from tests.servers import kinds, redis_server

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", kinds())
def test_a_busy_system_is_audited_as_it_is(
    kind: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users move all the time, before, while and after they are looked at: no difference."""
    monkeypatch.setattr(run, "USERS_PAGE", 3)
    with redis_server(kind) as url:
        assert asyncio.run(_audit_often(url, engine)) > 1


async def _audit_often(url: str, engine: Engine) -> int:
    settings = SupervisorConfig(actors_max=2, batch_max=20)
    audits = 0
    with contextlib.closing(connect(url)) as client:
        async with running(url, engine, Policy(), settings):
            sending = asyncio.create_task(asyncio.to_thread(_send, client))
            while not sending.done():
                _, told = await asyncio.to_thread(audited, engine, url)
                assert told == []
                audits += 1
            await sending
            await idle(url)
        findings, told = audited(engine, url)
        assert (told, findings.users) == ([], 10)
    return audits


def _send(client: Any) -> None:
    sender = Sender(client, Load(users=7, chats_per_user=2, seed=3))
    sender.begin()
    sender.send_for(2.5, per_second=400)
    send_special(client)


def test_what_is_on_its_way_is_no_stranger(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon is down and left an outbox: a new account in it is expected, one ahead is not
    settled, and nobody waits for long."""
    waits: list[float] = []
    client: Any = system.client
    state = client.get(KEYS.account("calm"))
    ahead = b"99999999999999-0|" + state.partition(b"|")[2]
    client.set(KEYS.account("calm"), ahead)
    client.set(KEYS.account("new"), ahead.replace(b'"calm"', b'"new"'))
    row: list[Any] = ["99999999999999-0", "new", None, {}, "ok", False, "p"]
    client.xadd(KEYS.outbox, {"facts": json.dumps({"records": [], "ledger": [], "journal": [row]})})
    _, told = audited(system.engine, system.redis_url, waits.append)
    assert [(d.kind, d.user) for d in told] == [("unsettled", "calm")]
    assert 1 < sum(waits) < 5


class Recorder:
    """Has calm's last row on its way while the audit reads, and brings it when that waits."""

    def __init__(self, system: System, brings: str) -> None:
        self._system = system
        self._brings = brings
        self.waits = 0
        where = "WHERE user_id = 'calm' AND fields->>'type' = 'settle'"
        system.sql("CREATE TABLE kept AS SELECT * FROM command_journal " + where)
        system.sql("DELETE FROM command_journal " + where)
        facts = {"records": list[Any](), "ledger": list[Any](), "journal": list[Any]()}
        self._parcel: Any = system.client.xadd(KEYS.outbox, {"facts": json.dumps(facts)})

    def sleep(self, _seconds: float) -> None:
        self.waits += 1
        if self.waits == 3:
            self.deliver()

    def deliver(self) -> None:
        """Bring the row, and take its entry out of the outbox."""
        self._system.sql(self._brings)
        self._system.client.xdel(KEYS.outbox, self._parcel)


THE_ROW = "INSERT INTO command_journal SELECT * FROM kept"
A_LATER_ROW = (
    "INSERT INTO command_journal SELECT (at_ms + 1) || '-0', at_ms + 1, 0, user_id, chat_id,"
    " fields, outcome, replayed, policy_id, now() FROM kept"
)


@pytest.mark.parametrize(
    ("brings", "told"),
    [
        (THE_ROW, []),
        (THE_ROW.replace("kept", "kept LIMIT 0"), ["unsettled", "unknown_id"]),
        (A_LATER_ROW, ["missing_entry", "remembered_id", "position", "unknown_id"]),
    ],
    ids=["arrives", "lost", "lost-but-later-ones"],
)
def test_redis_ahead_is_waited_for(system: System, brings: str, told: list[str]) -> None:
    """Until what was on its way has arrived; what then is missing was lost."""
    recorder = Recorder(system, brings)
    _, found = audited(system.engine, system.redis_url, recorder.sleep)
    assert [d.kind for d in found] == told
    assert recorder.waits == 3


def test_what_differs_is_found_in_an_account_that_was_ahead_too(system: System) -> None:
    """Its account, wallet and chats are compared where they were."""
    client: Any = system.client
    client.set(KEYS.account("calm"), client.get(KEYS.account("calm")).replace(b'"v"', b'"w"'))
    client.delete(KEYS.wallet("calm"), KEYS.chat("calm.open"))
    client.srem(KEYS.open_users, "calm")
    recorder = Recorder(system, THE_ROW)
    _, found = audited(system.engine, system.redis_url, recorder.sleep)
    told = ["account", "wallet", "open", "chat_snapshot"]
    assert [(d.kind, d.user) for d in found] == [(kind, "calm") for kind in told]


def test_an_outbox_that_was_empty_is_not_waited_for(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the account shows was delivered by then; entries that come later are of no concern."""
    recorder = Recorder(system, THE_ROW)
    read_end = SnapshotScan.outbox_end

    def delivered_before_and_more_after(scan: SnapshotScan) -> str | None:
        recorder.deliver()
        end = read_end(scan)
        system.client.xadd(KEYS.outbox, {"facts": '{"records":[],"ledger":[],"journal":[]}'})
        return end

    monkeypatch.setattr(SnapshotScan, "outbox_end", delivered_before_and_more_after)
    _, found = audited(system.engine, system.redis_url, recorder.sleep)
    assert (found, recorder.waits) == ([], 0)


def test_a_user_with_more_chats_than_one_call_reads(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is looked at in parts, and what differs is told once."""
    monkeypatch.setattr(redis_state, "CHATS_MAX", 1)
    assert audited(system.engine, system.redis_url)[1] == []
    system.client.delete(KEYS.wallet("calm"), KEYS.chat("calm.open"), KEYS.chat("calm.old"))
    _, found = audited(system.engine, system.redis_url)
    told = ["chat_snapshot", "chat_snapshot", "wallet"]
    assert sorted(d.kind for d in found if d.user == "calm") == told
    recorder = Recorder(system, THE_ROW)
    _, found = audited(system.engine, system.redis_url, recorder.sleep)
    assert sorted(d.kind for d in found if d.user == "calm") == told


def test_the_real_command_line(system: System, tmp_path: Path) -> None:
    """For programs and for people: exit code, document, lines and summary."""
    clean = meterd(tmp_path, "audit", "--json", **system.env)
    assert (clean.returncode, clean.stderr) == (0, "")
    assert json.loads(clean.stdout)["ok"]
    system.client.delete(KEYS.wallet("calm"))
    broken = meterd(tmp_path, "audit", **system.env)
    assert broken.returncode == 1
    head, expected, found, summary = broken.stdout.splitlines()
    assert head.split() == ["wallet", "user", "calm", "entry", head.split()[-1]]
    assert expected.startswith("    expected  {'user_id': 'calm'")
    assert found == "    found     nothing"
    assert summary.startswith("13 users, 33 chats, ")
    assert summary.endswith(" entries, 1 differences")


def test_without_redis_it_says_so(system: System, tmp_path: Path) -> None:
    """And fails, unless it was told to do without."""
    env = {**system.env, "METERD_REDIS__URL": "redis://:hunter2@127.0.0.1:1/0"}
    asked = meterd(tmp_path, "audit", **env)
    assert asked.returncode == 1
    assert "Redis does not answer" in asked.stderr
    assert "hunter2" not in asked.stderr
    assert meterd(tmp_path, "audit", "--no-redis", **env).returncode == 0
    del env["METERD_REDIS__URL"]
    assert meterd(tmp_path, "audit", "--no-redis", **env).returncode == 0


@pytest.mark.parametrize("since", ["yesterday", "5", "2026-13-01", "-1h"])
def test_a_time_that_is_none_is_a_usage_error(since: str, system: System, tmp_path: Path) -> None:
    """Named, with what would do."""
    asked: subprocess.CompletedProcess[str] = meterd(
        tmp_path, "audit", f"--since={since}", **system.env
    )
    assert asked.returncode == 2
    assert "30m, 2h, 7d" in asked.stderr
