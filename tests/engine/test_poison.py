"""An entry that makes the code fail is set aside after a bounded number of tries; others go on."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from actors.chat import commit_builder
from actors.chat.account_batch import FAILURES_MAX
from actors.messages import unpack_tasks
from actors.supervisor import actor_handle
from actors.supervisor.supervisor import SupervisorConfig
from meterd.rules import fold
from meterd.rules.commands import Command
from meterd.rules.model import Policy
from persistence.redis.client import connect
from persistence.redis.dead_letters import DeadLetters
from tests.engine.harness import KEYS, ThreadProcess, idle, running
from tests.engine.play import differences, outcomes, send, until
from tests.servers import kinds, redis_server

SETTINGS = SupervisorConfig(actors_max=1)


class Rules:
    """The rules, with a bug in them as long as ``bug`` names a chat."""

    def __init__(self) -> None:
        self.bug = "poison"
        self.tries = 0

    def apply(self, account: Any, command: Command, *args: Any) -> Any:
        if command.chat_id == self.bug and not args[-1]:
            self.tries += 1
            raise ZeroDivisionError("a bug in the rules")
        return fold.apply(account, command, *args)


@pytest.mark.parametrize("kind", kinds())
def test_what_the_code_fails_in_is_set_aside_and_can_be_sent_again(
    kind: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answered with internal_error, in ``dead`` with the trace's last line; the account goes on.

    After the bug is fixed, an operator's retry has its effect, and the books say who did it.
    """
    rules = Rules()
    monkeypatch.setattr(commit_builder, "apply", rules.apply)

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(), SETTINGS) as supervisor:
            send(client, type="top_up", user_id="u", amount="5")
            people: Any = {"user_id": "u", "advisor_id": "v", "type": "start"}
            fine = send(client, **people, chat_id="a")
            bad = send(client, **people, chat_id="poison", id="bad")
            after = send(client, type="pause", chat_id="a")
            again = send(client, **people, chat_id="poison", id="bad")
            await idle(url)
            told = outcomes(client)
            assert (told[fine], told[after]) == ("ok", "ok")
            assert told[bad] == told[again] == "internal_error"
            assert rules.tries <= 2 * FAILURES_MAX
            # The supervisor hears a little later than Redis that it was committed.
            await until(lambda: supervisor.status()["outcomes"].get("internal_error") == 2)
            letters = DeadLetters(client, KEYS)
            (letter,) = letters.all()
            assert letter.reason == "ZeroDivisionError: a bug in the rules"
            assert letters.find(bad) == letter
            rules.bug = ""
            entry = letters.retry(letter, "ann")
            await idle(url)
            assert outcomes(client)[entry] == "ok"
            assert client.exists(KEYS.chat("poison"))
            assert len(letters) == 0
        assert differences(client, engine) == []

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
    with engine.connect() as connection:
        acts = connection.execute(text("SELECT operation, done_by, subject FROM operations")).all()
    assert [act[:2] for act in acts] == [("dead.retry", "ann")]


class Mortal(ThreadProcess):
    """Dies of any batch in which there is a command that may still be decided and has a bomb."""

    def handle(self, batch: bytes) -> Awaitable[bytes]:
        _, tasks = unpack_tasks(batch)
        if any(t.command and t.command.id == "bomb" and not t.poison for t in tasks):
            return self._die()
        return super().handle(batch)

    async def _die(self) -> bytes:
        raise ConnectionAbortedError("the process has died")


def test_what_kills_the_process_is_found_in_its_batch_and_set_aside(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty commands at once, one of which no process survives: twenty-nine have their effect."""
    monkeypatch.setattr(actor_handle, "REPLACE_PAUSE_S", 0.0)

    async def play(url: str, client: redis.Redis) -> None:
        sent = [send(client, type="top_up", user_id=f"u{n}", amount="1") for n in range(20)]
        bomb = send(client, type="top_up", user_id="u3", amount="1", id="bomb")
        sent += [send(client, type="top_up", user_id=f"u{n}", amount="1") for n in range(9)]
        async with running(url, engine, Policy(), SETTINGS, Mortal):
            await idle(url)
        told = outcomes(client)
        assert told.pop(bomb) == "internal_error"
        assert told == dict.fromkeys(sent, "ok")
        (letter,) = DeadLetters(client, KEYS).all()
        assert "the process has died" in letter.reason
        assert differences(client, engine) == []

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


def test_an_account_that_can_not_be_read_holds_up_nobody_else(engine: Engine) -> None:
    """Its commands are set aside one by one, its state stays as it is; others go on."""

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(), SETTINGS):
            send(client, type="top_up", user_id="u", amount="5")
            await idle(url)
            raw: Any = client.get(KEYS.account("u"))
            client.set(KEYS.account("u"), raw.partition(b"|")[0] + b"|{broken")
            client.sadd(KEYS.open_users, "u")
        async with running(url, engine, Policy(), SETTINGS):
            bad = send(client, type="top_up", user_id="u", amount="5")
            good = send(client, type="top_up", user_id="w", amount="5")
            await idle(url)
            assert outcomes(client)[bad] == "internal_error"
            assert outcomes(client)[good] == "ok"
            kept: Any = client.get(KEYS.account("u"))
            assert kept == bad.encode() + b"|{broken"

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))


def test_a_settle_that_fails_is_not_asked_for_again_and_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A due change that the code fails in makes one dead letter, not one each moment."""

    def breaks(account: Any, command: Command, *args: Any) -> Any:
        if command.type == "settle":
            raise ZeroDivisionError("a bug in the rules")
        return fold.apply(account, command, *args)

    monkeypatch.setattr(commit_builder, "apply", breaks)

    async def play(url: str, client: redis.Redis) -> None:
        async with running(url, engine, Policy(warn_ms=()), SETTINGS):
            send(client, type="top_up", user_id="u", amount="0.01")
            send(client, type="start", chat_id="a", user_id="u", advisor_id="v", rate="12")
            letters = DeadLetters(client, KEYS)
            await until(lambda: len(letters) == 1)
            other = send(client, type="top_up", user_id="w", amount="1")
            await idle(url)
            assert outcomes(client)[other] == "ok"
            assert len(letters) == 1

    with redis_server() as url, contextlib.closing(connect(url)) as client:
        asyncio.run(play(url, client))
