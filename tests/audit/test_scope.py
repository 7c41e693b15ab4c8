"""What an audit looks at, and how much of what it finds it shows."""

import pytest

from tests.audit.conftest import System, audit
from tests.engine.harness import KEYS


def test_one_user_alone(system: System) -> None:
    """Only what concerns that user is counted and compared."""
    assert audit(system, "--user", "other", code=0)["users"] == 1
    system.client.delete(KEYS.account("calm"))
    assert audit(system, "--user", "other", code=0)["chats"] == 0
    assert audit(system, "--user", "calm", code=1)["chats"] == 3
    assert audit(system, "--user", "never was", code=0)["users"] == 0


def test_only_what_is_new(system: System) -> None:
    """Accounts with entries since then, from their beginning."""
    everything = audit(system, code=0)
    assert audit(system, "--since", "1h", code=0) == everything
    system.client.delete(KEYS.account("calm"))
    later = int(system.sql("SELECT max(at_ms) FROM command_journal WHERE user_id = 'calm'")) + 1
    system.sql(
        "UPDATE command_journal SET at_ms = at_ms + 600000, stream_id = (at_ms + 600000) || '-' ||"
        " at_seq WHERE user_id = 'other'"
    )
    found = audit(system, "--since", _iso(later + 1_000), "--no-redis", code=0)
    assert (found["users"], found["chats"]) == (1, 0)


def _iso(at_ms: int) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415 - only here

    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def test_more_differences_than_anyone_reads(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are counted, the first are shown."""
    monkeypatch.setattr("daemon.audit.differences.SHOWN_MAX", 5)
    system.sql("UPDATE chat_time_records SET billed_ms = billed_ms + 1")
    found = audit(system, code=1)
    chats = system.sql("SELECT count(*) FROM chat_time_records")
    assert (len(found["differences"]), found["count"]) == (5, chats)
    assert found["truncated"]
