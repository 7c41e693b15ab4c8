"""The plan of docs/migration.md, played through on a live system while everybody asks."""

import json
import random
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import Engine, text

from daemon.gateway.tokens import mint
from daemon.legacy.rules.rows import LATEST, Division
from daemon.legacy.rules.split import split
from daemon.legacy.store.reader import read_pairs
from daemon.legacy.store.shape import LegacyShape
from loadtests.common.live import LiveDaemon, live_daemon
from meterd import Meter
from tests.legacy.old_data import create_ugly

pytestmark = [
    pytest.mark.acceptance, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300),
]  # fmt: skip

PAIRS = 300
LIVE_USERS = 6
KNOWN = "SELECT id FROM chats UNION SELECT chat_id FROM conversation_time_records"
RECORD = (
    "INSERT INTO conversation_time_records VALUES (:key, :user, 'adviser', :chat, 'active', now(),"
    " NULL, now(), 0, 0, now(), now())"
)
CHAT = "INSERT INTO chats VALUES (:chat, :user, 'adviser', now(), NULL)"
TICK = (
    "UPDATE conversation_time_records SET total_seconds = total_seconds"
    " + extract(epoch FROM now() - last_resumed_at), credits_used = credits_used"
    " + extract(epoch FROM now() - last_resumed_at) / 60, last_resumed_at = now(),"
    " updated_at = now() WHERE id = :key"
)
MOVE = (
    "UPDATE conversation_time_records SET chat_id = :chat, last_resumed_at = now(),"
    " updated_at = now() WHERE id = :key"
)


class OldSystem:
    """Goes on writing, as it always did: one record for a pair, moved to the latest chat."""

    def __init__(self, engine: Engine, known: list[str]) -> None:
        self._engine = engine
        self._known = known
        self._dice = random.Random(6)
        self._stop = threading.Event()
        self._chats = 0
        for number in range(LIVE_USERS):
            self._begin(number)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The cut-over: it writes no more."""
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _begin(self, number: int) -> None:
        user = f"live-{number}"
        with self._engine.begin() as connection:
            chat = self._new_chat(connection, user)
            key = 10**9 + number
            connection.execute(text(RECORD), {"key": key, "user": user, "chat": chat})
            connection.execute(text("INSERT INTO user_credits VALUES (:u, 50)"), {"u": user})
        self._known.append(chat)

    def _work(self) -> None:
        while not self._stop.wait(0.05):
            number = self._dice.randrange(LIVE_USERS)
            key = {"key": 10**9 + number}
            with self._engine.begin() as connection:
                connection.execute(text(TICK), key)
                moved = self._dice.random() < 0.2
                chat = self._new_chat(connection, f"live-{number}") if moved else ""
                if moved:
                    connection.execute(text(MOVE), {**key, "chat": chat})
            if moved:
                self._known.append(chat)

    def _new_chat(self, connection: Any, user: str) -> str:
        ended = "UPDATE chats SET ended_at = now() WHERE user_id = :user AND ended_at IS NULL"
        connection.execute(text(ended), {"user": user})
        self._chats += 1
        chat = f"live-chat-{self._chats}"
        connection.execute(text(CHAT), {"chat": chat, "user": user})
        return chat


class Everybody:
    """Asks for chats that exist, all the time; remembers every answer that should not be."""

    def __init__(self, url: str, secret: str, known: list[str]) -> None:
        self._token = mint(secret, "meterd", "an-operator", ["ops"], 3_600)
        self._url = url
        self._known = known
        self._stop = threading.Event()
        self.asked = 0
        self.wrong: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(2)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask no more; all answers were right."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, seed: int) -> None:
        dice = random.Random(seed)
        headers = {"Authorization": f"Bearer {self._token}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=20) as http:
            while not self._stop.wait(0.01):
                chat = dice.choice(self._known)
                answer = http.get(f"/v1/chats/{quote(chat, safe='')}")
                self.asked += 1
                status = answer.json().get("status")
                if answer.status_code != 200 or status == "not_started":
                    self.wrong.append(f"{chat}: {answer.status_code} {answer.text[:200]}")


@pytest.fixture(scope="module")
def live() -> Iterator[LiveDaemon]:
    """meterd, deployed beside the old system, whose tables are in its database."""
    limits = {"METERD_HTTP__REQUESTS_PER_S": "100000", "METERD_HTTP__REQUESTS_BURST": "100000"}
    with live_daemon(METERD_LEGACY__ENABLED="true", METERD_HTTP__PORT="0", **limits) as live:
        yield live


def test_the_whole_plan_with_live_chats(live: LiveDaemon) -> None:
    """From inspecting to retiring the old system: every chat that ever existed is answered at
    every moment, sums stay what they were, and what ran goes on."""
    engine = live.engine()
    with engine.begin() as connection:
        create_ugly(connection, PAIRS, seed=6)
        known = [row[0] for row in connection.execute(text(KNOWN)) if row[0] is not None]
    old = OldSystem(engine, known)
    secret = (live.home / "http-secret").read_text().strip()
    everybody = Everybody(live.status()["http_url"], secret, known)
    try:
        _migrate_while_it_runs(live)
        old.stop()
        adopted = _cut_over(live)
    finally:
        everybody.stop()
    assert everybody.wrong == []
    assert everybody.asked > 200
    assert {f"live-{n}" for n in range(LIVE_USERS)} <= {chat["user_id"] for chat in adopted}
    _go_on(live, [chat for chat in adopted if chat["user_id"].startswith("live-")])
    _compare(live, engine)
    engine.dispose()


def _run(live: LiveDaemon, *command: str) -> Any:
    ran = live.run(*command, "--json", timeout_s=120)
    assert ran.returncode == 0, (command, ran.stdout[-1500:], ran.stderr[-1500:])
    return json.loads(ran.stdout)


def _migrate_while_it_runs(live: LiveDaemon) -> None:
    """Steps 1 to 6."""
    inspected = _run(live, "legacy", "inspect")
    assert inspected
    for _ in range(3):
        _run(live, "legacy", "migrate", "--batch", "40")


def _cut_over(live: LiveDaemon) -> list[dict[str, Any]]:
    """Step 7: catch up, open the accounts, take over what runs; and all of it once more."""
    _run(live, "legacy", "migrate")
    _run(live, "legacy", "balances")
    adopted: list[dict[str, Any]] = _run(live, "legacy", "adopt")["adopted"]
    for repeated in ("migrate", "balances", "adopt"):
        _run(live, "legacy", repeated)
    live.until_handled()
    _run(live, "legacy", "verify")
    return adopted


def _go_on(live: LiveDaemon, adopted: list[dict[str, Any]]) -> None:
    """Steps 8 and 9: meterd bills on, from where the old system was."""
    with Meter(live.redis_url, live.postgres_url) as meter:
        for chat in adopted:
            running = meter.snapshot(chat["chat_id"])
            assert (running.status, running.active_ms >= chat["carried_ms"]) == ("running", True)
            before = meter.wallet(chat["user_id"]).balance
            ended = meter.end(chat["chat_id"]).snapshot
            assert ended is not None
            assert ended.active_ms > chat["carried_ms"]
            assert meter.wallet(chat["user_id"]).balance <= before
        meter.start("after-all", "live-0", "adviser", rate="1")
        assert meter.end("after-all").snapshot is not None
    live.until_handled()
    _run(live, "legacy", "verify")
    audited = live.run("audit", timeout_s=120)
    assert audited.returncode == 0, audited.stdout + audited.stderr


def _compare(live: LiveDaemon, engine: Engine) -> None:
    """What each old chat is told to have run is what the rules make of the old rows."""
    with engine.connect() as connection, Meter(live.redis_url, live.postgres_url) as meter:
        for pair in read_pairs(connection, LegacyShape(), None):
            for one in split(pair, Division(LATEST)).imported[:2]:
                told = meter.snapshot(one.chat_id)
                if told.user_id == one.user_id:  # else two pairs named it, and one was first
                    assert told.active_ms == one.active_ms, one
