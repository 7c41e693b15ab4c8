"""The plan of docs/migration.md on the owner's tables, played through while everybody asks."""

import json
import random
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import Connection, Engine, text

from daemon.gateway.tokens import mint
from daemon.legacy.rules.rows import CHAT_DURATION
from daemon.legacy.rules.split import split
from daemon.legacy.store.reader import read_pairs
from loadtests.common.live import LiveDaemon, live_daemon
from meterd import Meter
from tests.legacy.owner import EXPECTED, SHAPE, create_current_system
from tests.legacy.owner_data import fill

pytestmark = [
    pytest.mark.acceptance, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300),
]  # fmt: skip

PAIRS = 150
LIVE_USERS = 6
TICK_S = 15
FREE_S = 60
KNOWN = 'SELECT id FROM chat UNION SELECT "chatId" FROM "conversationTimeRecord"'
BEGIN = (
    'INSERT INTO "conversationTimeRecord" ("userId", "advisorId", "chatId", "isActive", timestamp,'
    " \"lastHeartbeatTime\") VALUES (:user, 'adviser', :chat, true, now(), now())"
)
CHAT = "INSERT INTO chat VALUES (:chat, :user, 'adviser', now() - interval '1 day', 0)"
TICK = (
    f'UPDATE "conversationTimeRecord" SET duration = duration + {TICK_S},'
    ' "lastHeartbeatTime" = now(), "creditsUsed" = "creditsUsed" +'
    f' CASE WHEN "freeTimeUsed" < {FREE_S} THEN 0 ELSE 0.25 END,'
    f' "freeTimeUsed" = least({FREE_S}, "freeTimeUsed" + {TICK_S})'
    ' WHERE "userId" = :user AND "isActive"'
)
PAY = (
    'UPDATE "user" SET credits = credits - (SELECT CASE WHEN "freeTimeUsed" < 60 THEN 0 ELSE 0.25'
    ' END FROM "conversationTimeRecord" WHERE "userId" = :user AND "isActive") WHERE id = :user'
)
RAN = (
    f"UPDATE chat SET duration = duration + {TICK_S} WHERE id ="
    ' (SELECT "chatId" FROM "conversationTimeRecord" WHERE "userId" = :user AND "isActive")'
)
MOVE = 'UPDATE "conversationTimeRecord" SET "chatId" = :chat WHERE "userId" = :user AND "isActive"'
LOSE = (
    'UPDATE "conversationTimeRecord" SET "isActive" = false WHERE "userId" = :user AND "isActive"'
    ' RETURNING "chatId"'
)


class OldSystem:
    """Goes on ticking, as it always did, only faster: one active row for a pair, moved to the
    newest chat; without a heartbeat it is over, and the next visit begins another row."""

    def __init__(self, engine: Engine, known: list[str]) -> None:
        self._engine = engine
        self._known = known
        self._dice = random.Random(6)
        self._stop = threading.Event()
        self._chats = 0
        for number in range(LIVE_USERS):
            with engine.begin() as connection:
                given = {"user": f"live-{number}", "chat": self._chat(connection, f"live-{number}")}
                connection.execute(text(BEGIN), given)
                connection.execute(text('INSERT INTO "user" VALUES (:user, 5000)'), given)
            known.append(given["chat"])
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The cut-over: it writes no more."""
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _work(self) -> None:
        while not self._stop.wait(0.05):
            user = f"live-{self._dice.randrange(LIVE_USERS)}"
            with self._engine.begin() as connection:
                for step in (PAY, TICK, RAN):
                    connection.execute(text(step), {"user": user})
                chat = self._happens(connection, user, self._dice.random())
            if chat:
                self._known.append(chat)

    def _happens(self, connection: Connection, user: str, what: float) -> str:
        """The row is moved to a new chat, which is given; or the user is away for a while."""
        if what < 0.1:
            chat = self._chat(connection, user)
            connection.execute(text(MOVE), {"user": user, "chat": chat})
            return chat
        if what < 0.2:
            chat = connection.execute(text(LOSE), {"user": user}).scalar_one()
            connection.execute(text(BEGIN), {"user": user, "chat": chat})
        return ""

    def _chat(self, connection: Connection, user: str) -> str:
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
        ran_ms: dict[str, int] = {}
        with httpx.Client(base_url=self._url, headers=headers, timeout=20) as http:
            while not self._stop.wait(0.01):
                chat = dice.choice(self._known)
                answer = http.get(f"/v1/chats/{quote(chat, safe='')}")
                self.asked += 1
                found = answer.json()
                if answer.status_code != 200 or found.get("status") == "not_started":
                    self.wrong.append(f"{chat}: {answer.status_code} {answer.text[:200]}")
                elif chat.startswith("live-") and found["active_ms"] < ran_ms.get(chat, 0):
                    self.wrong.append(f"{chat}: {ran_ms[chat]} ms before, now {answer.text[:200]}")
                ran_ms[chat] = found.get("active_ms", 0)


class Heartbeats:
    """The backends after the cut-over: without them chats end as abandoned."""

    def __init__(self, live: LiveDaemon, chats: list[str]) -> None:
        self._live = live
        self._chats = chats
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(20)

    def _work(self) -> None:
        with Meter(self._live.redis_url) as meter:
            while not self._stop.wait(1):
                for chat in self._chats:
                    meter.heartbeat(chat)


@pytest.fixture(scope="module")
def live() -> Iterator[LiveDaemon]:
    """meterd, deployed beside the old system, whose tables are in its database."""
    limits = {"METERD_HTTP__REQUESTS_PER_S": "100000", "METERD_HTTP__REQUESTS_BURST": "100000"}
    named = {**EXPECTED["settings"], **limits, "METERD_LEGACY__ENABLED": "true"}
    with live_daemon(**named, METERD_HTTP__PORT="0") as live:
        yield live


def test_the_whole_plan_with_live_chats(live: LiveDaemon) -> None:
    """From inspecting to retiring the old system: every chat that ever existed is answered at
    every moment, sums stay what they were, and what ran goes on."""
    engine = live.engine()
    create_current_system(engine)
    with engine.begin() as connection:
        # Its two chats that run are over by now: only the live ones tick.
        connection.execute(text('UPDATE "conversationTimeRecord" SET "isActive" = false'))
        fill(connection, PAIRS, seed=6)
        known = [row[0] for row in connection.execute(text(KNOWN))]
    old = OldSystem(engine, known)
    secret = (live.home / "http-secret").read_text().strip()
    everybody = Everybody(live.status()["http_url"], secret, known)
    try:
        _migrate_while_it_runs(live)
        old.stop()
        adopted = _cut_over(live)
        heartbeats = Heartbeats(live, [chat["chat_id"] for chat in adopted])
        _check_carried(engine, adopted)
        _again(live)
    finally:
        everybody.stop()
    assert everybody.wrong == []
    assert everybody.asked > 200
    heartbeats.stop()
    _go_on(live, adopted)
    _compare(live, engine)
    engine.dispose()


def _run(live: LiveDaemon, *command: str) -> Any:
    ran = live.run(*command, "--json", timeout_s=120)
    assert ran.returncode == 0, (command, ran.stdout[-1500:], ran.stderr[-1500:])
    return json.loads(ran.stdout)


def _migrate_while_it_runs(live: LiveDaemon) -> None:
    """Steps 1 to 6."""
    inspected = _run(live, "legacy", "inspect")
    assert len(inspected["reasons"]) >= 3
    assert len(inspected["odd"]) >= 3
    for _ in range(3):
        _run(live, "legacy", "migrate", "--batch", "40")
    foreseen = _run(live, "legacy", "adopt", "--dry-run")
    assert len(foreseen["adopted"]) == LIVE_USERS


def _cut_over(live: LiveDaemon) -> list[dict[str, Any]]:
    """Step 7: catch up, open the accounts, take over what runs."""
    _run(live, "legacy", "migrate")
    _run(live, "legacy", "verify")
    _run(live, "legacy", "balances")
    adopted: list[dict[str, Any]] = _run(live, "legacy", "adopt")["adopted"]
    return adopted


def _check_carried(engine: Engine, adopted: list[dict[str, Any]]) -> None:
    """Each live user's chat has what it had at the last tick; the wallet what was left."""
    own = "SELECT duration * 1000 FROM chat WHERE id = :chat_id"
    left = (
        'SELECT u.credits - sum(e.amount) FROM "user" u JOIN ledger_entries e ON e.user_id = u.id'
        " WHERE u.id = :user_id AND e.kind = 'migrated' GROUP BY u.credits"
    )
    assert {chat["user_id"] for chat in adopted} == {f"live-{n}" for n in range(LIVE_USERS)}
    assert {chat["outcome"] for chat in adopted} == {"adopted"}
    with engine.connect() as connection:
        for chat in adopted:
            assert connection.execute(text(own), chat).scalar_one() == chat["carried_ms"]
            assert connection.execute(text(left), chat).scalar_one() == 0


def _again(live: LiveDaemon) -> None:
    """All of step 7 once more changes nothing."""
    for repeated in ("migrate", "balances", "adopt"):
        _run(live, "legacy", repeated)
    live.until_handled()
    _run(live, "legacy", "verify")


def _go_on(live: LiveDaemon, adopted: list[dict[str, Any]]) -> None:
    """Steps 8 and 9: meterd bills on, from where the old system was."""
    with Meter(live.redis_url, live.postgres_url) as meter:
        for chat in adopted:
            ended = meter.end(chat["chat_id"]).snapshot
            assert ended is not None
            assert ended.end_reason == "ended"
            assert ended.active_ms > chat["carried_ms"]
            assert ended.cost >= Decimal(chat["carried_cost"])
        meter.start("after-all", "live-0", "adviser", rate="1")
        assert meter.end("after-all").snapshot is not None
    live.until_handled()
    _run(live, "legacy", "verify")
    audited = live.run("audit", timeout_s=120)
    assert audited.returncode == 0, audited.stdout + audited.stderr


def _compare(live: LiveDaemon, engine: Engine) -> None:
    """What each old chat is said to have run is what the rules make of the old rows."""
    division = SHAPE.division(CHAT_DURATION)
    with engine.connect() as connection, Meter(live.redis_url, live.postgres_url) as meter:
        pairs = list(read_pairs(connection, SHAPE))
        imported = [one for pair in pairs for one in split(pair, division).imported]
        assert len(imported) > PAIRS / 2
        for one in imported[::5]:
            assert meter.snapshot(one.chat_id).active_ms == one.active_ms, one
