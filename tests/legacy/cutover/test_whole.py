"""From the old tables to ours, step by step: at no moment is a chat unknown or a sum wrong."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from daemon.legacy.balances import migrate_balances
from daemon.legacy.chat_reader import read_snapshot
from daemon.legacy.migrate import migrate
from daemon.legacy.store.shape import LegacyShape
from daemon.legacy.verify import verify
from meterd import ChatSnapshot, Meter
from tests.audit_check import assert_clean
from tests.legacy.cutover.conftest import SEVERAL, Both
from tests.legacy.cutover.cut_over import POLICY, adopt_all, old_system
from tests.legacy.cutover.old import add_chat, add_record

CHATS = ("runs", "rests", "poor", "broke", "two.a", "two.b", "over", "ended.1", "ended.2")


class Watch:
    """Asks for every chat, again and again."""

    def __init__(self, both: Both) -> None:
        self.wrong: list[str] = []
        self.rounds = 0
        self._over = threading.Event()
        url = both.engine.url.render_as_string(hide_password=False)
        self._engine = both.engine
        self._meter = Meter(both.redis_url, url)
        self._thread = threading.Thread(target=self._look)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._meter.close()

    def _snapshot(self, chat_id: str) -> ChatSnapshot:
        """As ``meterd chat`` and the gateway read it."""
        found = self._meter.snapshot(chat_id)
        if found.status != "not_started":
            return found
        with self._engine.connect() as connection:
            return read_snapshot(connection, LegacyShape(), "latest", chat_id) or found

    def _look(self) -> None:
        before: dict[str, ChatSnapshot] = {}
        while not self._over.is_set():
            for chat_id in CHATS:
                try:
                    now = self._snapshot(chat_id)
                except Exception as error:
                    self.wrong.append(f"{chat_id}: {error!r}")
                    continue
                if now.status == "not_started" or _fell(before.get(chat_id, now), now):
                    self.wrong.append(f"{before.get(chat_id)} then {now}")
                before[chat_id] = now
            self.rounds += 1


def _fell(before: ChatSnapshot, now: ChatSnapshot) -> bool:
    return now.active_ms < before.active_ms or now.cost < before.cost


@contextmanager
def watched(both: Both) -> Iterator[Watch]:
    watch = Watch(both)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def _verified(both: Both) -> Any:
    return verify(both.targets.sides, "latest", lambda _done, _total: None)


@SEVERAL
def test_every_chat_is_known_all_the_time(both: Both) -> None:
    """While balances are opened, records imported over, and what runs adopted; both sides agree."""
    old_system(both)
    for number in (1, 2):
        add_chat(
            both.engine, f"ended.{number}", 10_000 * number, 10_000 * number + 5_000, user_id="e"
        )
    add_record(both.engine, "ended.2", user_id="e", total_seconds="7.25", credits_used="0.5")

    def act() -> None:
        with watched(both) as watch:
            sides = both.targets.sides
            migrate_balances(both.targets, lambda _done, _total: None)
            migrate(sides, "latest", lambda _: None, 2)
            assert not _verified(both).differences
            plans = adopt_all(both)
            assert {plan.outcome for plan in plans.values()} == {"adopted", "ended_without_credits"}
            rounds = watch.rounds
            while watch.rounds < rounds + 3:
                watch_a_while()
        assert watch.wrong == []

    both.while_working(act, POLICY)
    migrate(both.targets.sides, "latest", lambda _: None, 2)
    found = _verified(both)
    assert (found.differences, found.old.ms) == ([], Decimal(136_250))
    assert_clean(both.engine, both.redis_url)


def watch_a_while() -> None:
    threading.Event().wait(0.02)
