"""The tables of the system that meterd replaces, and what must come of them."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from daemon.legacy.store.shape import LegacyShape
from daemon.settings.legacy import LegacySettings
from tests.legacy.system import rows, sql

DATA: Final = Path(__file__).parent / "data"
SETTINGS: Final = LegacySettings.model_validate({"preset": "conversation_time_record"})
SHAPE: Final = LegacyShape.of(SETTINGS)
EXPECTED: Final[dict[str, Any]] = json.loads((DATA / "current_system.expected.json").read_text())
AFTER_MIGRATE: Final = EXPECTED["after_migrate"]


def create_current_system(engine: Engine) -> None:
    """The owner's tables with the rows that are given."""
    sql(engine, (DATA / "current_system.sql").read_text())


def create_empty(engine: Engine) -> None:
    """The owner's tables without a row."""
    create_current_system(engine)
    sql(engine, 'TRUNCATE "user", chat, "conversationTimeRecord" RESTART IDENTITY')


def iso_ms(text: str) -> int:
    """Milliseconds since 1970."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def records_found(engine: Engine) -> dict[str, Any]:
    """meterd's records in the form of the expected values."""
    found = rows(
        engine,
        "SELECT chat_id, user_id, advisor_id, active_ms, cost::text, ended_at IS NULL,"
        " to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
        " FROM chat_time_records WHERE source = 'migrated'",
    )
    names = ("user_id", "advisor_id", "active_ms", "cost", "open", "started_at")
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in found}


def quarantine_found(engine: Engine) -> dict[str, str]:
    """What is set aside in the form of the expected values."""
    found = rows(engine, "SELECT kind, key, reason FROM legacy_quarantine")
    return {f"balance of {key}" if kind == "balance" else key: why for kind, key, why in found}
