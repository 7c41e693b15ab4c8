"""What operators decide, through the real command line: dead letters, the clock, recovery."""

import contextlib
import json
from typing import Any

import pytest
from sqlalchemy import text

from loadtests.common.live import LiveDaemon
from meterd.rules.redis_keys import Keys

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]

KEYS = Keys()


def _bad_entry(live: LiveDaemon, name: str) -> str:
    """An entry that can't be a command; returns its ID once it is set aside."""
    with contextlib.closing(live.client()) as client:
        fields: Any = {"type": "pause", "id": name, "chat_id": name, "colour": "red"}
        added: Any = client.xadd(KEYS.commands, fields)
        entry = str(added.decode())
        live.until(lambda: any(letter["entry"] == entry for letter in _letters(live)))
        return entry


def _letters(live: LiveDaemon) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(live.run("dead", "list", "--json").stdout)
    return found


def _acts(live: LiveDaemon, subject: str) -> list[tuple[str, str]]:
    """What is recorded to have been done to an entry."""
    query = text("SELECT operation, done_by FROM operations WHERE subject = :subject")
    engine = live.engine()
    with engine.connect() as connection:
        rows = connection.execute(query, {"subject": subject}).all()
    engine.dispose()
    return [(row[0], row[1]) for row in rows]


def test_a_dead_letter_is_listed_shown_and_dropped_with_a_record_of_it(
    live: LiveDaemon, name: str
) -> None:
    """By its own ID or by that of the entry it was; who did it is in Postgres."""
    entry = _bad_entry(live, name)
    listed = live.run("dead", "list").stdout
    assert entry in listed
    assert "invalid_command" in listed
    shown = live.run("dead", "show", entry).stdout
    assert "colour = red" in shown
    dropped = live.run("dead", "drop", entry, "--by", "ann")
    assert dropped.returncode == 0
    assert entry not in {letter["entry"] for letter in _letters(live)}
    live.until(lambda: _acts(live, entry) == [("dead.drop", "ann")])


def test_a_dead_letter_that_is_retried_is_a_new_command(live: LiveDaemon, name: str) -> None:
    """What was invalid is as invalid as before, and says so."""
    entry = _bad_entry(live, name)
    sent = live.run("dead", "retry", entry)
    again = sent.stdout.split()[-1]
    assert again in {letter["entry"] for letter in _letters(live)}
    assert sent.returncode == 1
    assert f"{again} was refused again: invalid_command, 'colour'" in sent.stderr


def test_a_dead_letter_that_is_valid_by_now_takes_effect_when_retried(
    live: LiveDaemon, name: str
) -> None:
    """The outcome is told, and nothing is left of the letter."""
    with contextlib.closing(live.client()) as client:
        fields = {"type": "top_up", "id": name, "user_id": name, "amount": "1"}
        letter: Any = client.xadd(
            KEYS.dead,
            {
                "entry": "1-1",
                "outcome": "internal_error",
                "reason": "",
                "fields": json.dumps(fields),
            },
        )
    sent = live.run("dead", "retry", letter.decode())
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout.splitlines()[-1].endswith(" ok")


def test_dead_letters_of_any_bytes_are_shown_as_text(live: LiveDaemon, name: str) -> None:
    """Listed and shown, with nothing in them that a terminal would obey."""
    types = (b"[/red]", b"\x1b[31m\x07", b"\x1b]8;;http://x\x1b\\", b"\xff\xfe", "\u202e".encode())
    with contextlib.closing(live.client()) as client:
        fields: list[Any] = [{"type": type_, "id": name} for type_ in types]
        added: list[Any] = [client.xadd(KEYS.commands, one) for one in fields]
    entries = {entry.decode() for entry in added}
    live.until(lambda: entries <= {letter["entry"] for letter in _letters(live)})
    listed = [live.run("dead", *args) for args in (["list"], ["list", "--json"])]
    assert all(entry in shown.stdout for entry in entries for shown in listed)
    assert r"\x1b]8;;http" in listed[0].stdout
    for shown in (*listed, live.run("dead", "show", added[1].decode())):
        assert (shown.returncode, shown.stderr) == (0, "")
        assert all(line.isprintable() for line in shown.stdout.split("\n"))
    # By their own IDs: another letter may have the ID of an entry.
    own = [letter["letter"] for letter in _letters(live) if letter["entry"] in entries]
    assert live.run("dead", "drop", *own).returncode == 0


def test_a_letter_that_is_not_there_is_told_with_the_next_step(live: LiveDaemon) -> None:
    """Whatever is asked of it, and also if it can't be the ID of one."""
    for act, name in (("show", "1-1"), ("retry", "1-1"), ("drop", "1-1"), ("show", "no-id")):
        asked = live.run("dead", act, name)
        assert asked.returncode == 1
        assert "meterd dead list" in asked.stderr


def test_a_clock_that_has_not_stepped_needs_no_decision(live: LiveDaemon) -> None:
    """It is shown; accepting it does nothing and says so."""
    shown = json.loads(live.run("clock", "show", "--json").stdout)
    assert shown["hold"] is None
    assert shown["queue_ms"] > 1_700_000_000_000
    assert "has not stepped" in live.run("clock", "show").stdout
    accepted = live.run("clock", "accept")
    assert (accepted.returncode, accepted.stderr.strip()) == (
        1,
        "Nothing is held because of the clock.",
    )


def test_a_redis_that_forgot_nothing_is_not_rebuilt(live: LiveDaemon) -> None:
    """Under a working daemon, nothing is touched."""
    for arguments in (["recover"], ["recover", "--dry-run"]):
        asked = live.run(*arguments)
        assert asked.returncode == 0, asked.stderr
        assert asked.stdout.split()[:2] == ["missing", "nothing"]
    asked = live.run("recover", "--json")
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["missing"] == ""
    assert live.published()["state"] == "ready"
