"""The owner's tables: they become exactly what is expected of them."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from daemon.cli import app
from daemon.legacy.chat_reader import read_snapshot
from daemon.legacy.diff import Databases
from daemon.legacy.free_time import FreeTimeReader, free_time_used
from daemon.legacy.inspect import inspect
from daemon.legacy.rules.split import split
from daemon.legacy.store.reader import old_balances, read_only, read_pairs
from tests.legacy.owner import (
    AFTER_MIGRATE,
    SHAPE,
    create_current_system,
    quarantine_found,
    records_found,
)
from tests.legacy.system import bring, sql, verdict_of

pytestmark = pytest.mark.postgres


@pytest.fixture
def owner(sides: Databases) -> Databases:
    create_current_system(sides.old)
    return sides._replace(shape=SHAPE)


def test_records_and_quarantine_are_as_expected(owner: Databases) -> None:
    """And inspect has said before how many, which words there are, and that nothing is unknown."""
    found = inspect(owner.old, owner.shape, lambda *_: None)
    assert {word: tuple(about) for word, about in found.status_words.items()} == {
        "false": (7, "ended"), "true": (2, "running"),
    }  # fmt: skip
    assert {name: kind.rows for name, kind in found.reasons.items()} == {"chats_exceed_records": 1}
    assert {name: kind.rows for name, kind in found.odd.items()} == {
        "records_exceed_chats": 1, "points_to_a_chat_that_is_gone": 1, "chats_without_record": 1,
    }  # fmt: skip
    run = bring(owner, "chat_duration")
    assert run.counts["running"] == len(AFTER_MIGRATE["still_running_there"])
    assert records_found(owner.own) == AFTER_MIGRATE["records"]
    wanted = {k: v for k, v in AFTER_MIGRATE["quarantined"].items() if " " not in k}
    assert quarantine_found(owner.own) == wanted
    result = verdict_of(owner, "chat_duration")
    assert (result.differences, result.old.ms) == ([], result.here.ms)


def test_running_chats_carry_what_is_expected(owner: Databases) -> None:
    """Nothing of what ran since the last tick."""
    with read_only(owner.old) as connection:
        done = [
            split(pair, owner.shape.division("chat_duration"))
            for pair in read_pairs(connection, owner.shape)
        ]
    running = {one.chat_id: one for parts in done for one in parts.running}
    assert sorted(running) == AFTER_MIGRATE["still_running_there"]


def test_free_time_used_is_as_expected(owner: Databases) -> None:
    """Of each user and advisor, but for what is set aside; of the users that are asked for."""
    expected = AFTER_MIGRATE["free_time_used_ms"]
    assert free_time_used(owner, [*expected, "nobody"]) == expected
    assert free_time_used(owner, ["u2"]) == {"u2": expected["u2"]}
    with read_only(owner.old) as connection:
        users = [one.user_id for one in old_balances(connection, SHAPE, with_free_time=True)]
        reader, one_by_one = FreeTimeReader.of_all(owner, connection), dict[str, Any]()
        for user in ("a", *users, "z"):
            one_by_one |= reader.upto(user)
    assert users == sorted(expected)
    assert one_by_one == expected


@pytest.mark.parametrize(("whom", "ms"), [("records", 200_000), ("chats", 300_000)])
def test_somebody_says_whom_to_trust(
    owner: Databases, empty_url: str, url: str, monkeypatch: pytest.MonkeyPatch, whom: str, ms: int
) -> None:
    """All later runs obey it; the books add up, with what the records lack said apart."""
    for name, value in {
        "POSTGRES__URL": url, "LEGACY__URL": empty_url,
        "LEGACY__PRESET": "conversation_time_record",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"METERD_{name}", value)

    def typed(words: str) -> Result:
        return CliRunner().invoke(app, ["legacy", *words.split()])

    assert typed("migrate").exit_code == 0
    assert typed("quarantine trust c8 nobody").exit_code == 2
    refused = typed(f"quarantine trust c1 {whom}")
    assert (refused.exit_code, "c1 is not set aside" in refused.stderr) == (1, True)
    assert typed(f"quarantine trust c8 {whom}").exit_code == 0
    assert typed("quarantine retry").exit_code == 0
    for _ in range(2):
        found = records_found(owner.own)["c8"]
        assert (found["active_ms"], found["cost"]) == (ms, "2.250000")
        assert quarantine_found(owner.own) == {"c8": "trusted"}
        verified = json.loads(typed("verify --json").stdout)
        assert (verified["ok"], verified["counts"]["surplus_ms"]) == (True, ms - 200_000)
        assert typed("migrate").exit_code == 0


@pytest.mark.parametrize("seconds", [0, 5])
def test_a_chat_of_which_nobody_knows_whether_it_runs_is_not_shown_as_ended(
    owner: Databases, seconds: int
) -> None:
    """To those who ask for it before it is decided: it is paused, with what its row has."""
    shape = owner.shape._replace(status_words=(("false", "ended"),))
    sql(
        owner.old,
        f'UPDATE "conversationTimeRecord" SET duration = {seconds} WHERE "chatId" = \'c9\'',
    )
    with read_only(owner.old) as connection:
        snapshot = read_snapshot(connection, shape, "chat_duration", "c9")
        ended = read_snapshot(connection, shape, "chat_duration", "c3")
    assert snapshot is not None
    assert ended is not None
    assert (snapshot.status, snapshot.active_ms, snapshot.source) == (
        "paused", seconds * 1_000, "legacy",
    )  # fmt: skip
    assert ended.status == "ended"


def test_milliseconds_do_as_well(owner: Databases) -> None:
    """All durations in another unit: the same records, to the millisecond."""
    columns = {"conversationTimeRecord": ("duration", "freeTimeUsed"), "chat": ("duration",)}
    for table, names in columns.items():
        changes = ", ".join(f'"{name}" = "{name}" * 1000' for name in names)
        sql(owner.old, f'UPDATE "{table}" SET {changes}')
    there = owner._replace(shape=owner.shape._replace(time_unit="ms"))
    bring(there, "chat_duration")
    assert records_found(there.own) == AFTER_MIGRATE["records"]
    assert verdict_of(there, "chat_duration").differences == []
    assert free_time_used(there, ["u1"]) == {"u1": AFTER_MIGRATE["free_time_used_ms"]["u1"]}
