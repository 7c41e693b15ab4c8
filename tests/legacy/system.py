"""The old system in a few words, and what meterd has of it."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Engine

from daemon.legacy.diff import Databases
from daemon.legacy.migrate import MigrationProgress, migrate
from daemon.legacy.store.runs import MigrationRun
from daemon.legacy.verify import VerifyResult, verify

CONTENT: Final = {
    "chat_time_records": "SELECT * FROM chat_time_records ORDER BY chat_id",
    "legacy_chats": "SELECT * FROM legacy_chats ORDER BY chat_id",
    "legacy_quarantine": "SELECT * FROM legacy_quarantine ORDER BY 1, 2, 3, 4",
    "legacy_residues": "SELECT * FROM legacy_residues ORDER BY 1, 2, 3",
    "legacy_runs": "SELECT run_id, policy, counts, place_user_id, place_advisor_id,"
    " finished_at IS NOT NULL FROM legacy_runs ORDER BY 1",
}


def content(engine: Engine, *, leave_out: Iterable[str] = ()) -> dict[str, str]:
    """All that there is, as the server writes it."""
    with engine.connect() as connection:
        return {
            table: "\n".join(repr(tuple(row)) for row in connection.exec_driver_sql(sql))
            for table, sql in CONTENT.items()
            if table not in leave_out
        }


def facts(engine: Engine) -> dict[str, list[Any]]:
    """All that there is, whichever run has written it."""
    queries = {
        "records": CONTENT["chat_time_records"],
        "chats": "SELECT chat_id, user_id, advisor_id FROM legacy_chats ORDER BY 1",
        "asides": "SELECT user_id, advisor_id, kind, key, reason, total_ms, cost, details"
        " FROM legacy_quarantine ORDER BY 1, 2, 3, 4",
        "residues": "SELECT user_id, advisor_id, key, ms, credits FROM legacy_residues"
        " ORDER BY 1, 2, 3",
    }
    with engine.connect() as connection:
        return {k: list(connection.exec_driver_sql(sql).all()) for k, sql in queries.items()}


def xmins(engine: Engine) -> list[Any]:
    """Which transaction has written each row."""
    tables = ("chat_time_records", "legacy_chats", "legacy_quarantine", "legacy_residues")
    with engine.connect() as connection:
        return [
            connection.exec_driver_sql(f"SELECT xmin::text, ctid::text FROM {t} ORDER BY 2").all()
            for t in tables
        ]


def quiet(_: MigrationProgress) -> None:
    """Tells nobody."""


def bring(sides: Databases, policy: str = "latest", batch_pairs: int = 50) -> MigrationRun:
    return migrate(sides, policy, quiet, batch_pairs)


def verdict_of(sides: Databases, policy: str = "latest") -> VerifyResult:
    return verify(sides, policy, lambda *_: None)


def sql(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%"))


def rows(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.exec_driver_sql(statement.replace("%", "%%")).all())
