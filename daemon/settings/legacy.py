"""The section ``legacy`` of the settings: the system before meterd, its tables and columns."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator

from daemon.settings.types import Decimal6, Lowercase, PostgresUrl, Section

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")


def is_column(name: str) -> bool:
    """Return whether a column of the old tables can be called so."""
    return _IDENTIFIER.fullmatch(name) is not None


def is_table(name: str) -> bool:
    """Return whether an old table can be called so: ``table`` or ``schema.table``."""
    parts = name.split(".")
    return len(parts) in (1, 2) and all(map(is_column, parts))


def _table_name(value: str) -> str:
    if not is_table(value):
        raise ValueError("should be the name of a table: letters, digits, _ and $, or schema.table")
    return value


def _column_name(value: str) -> str:
    if not is_column(value):
        raise ValueError("should be the name of a column: letters, digits, _ and $")
    return value


TableName = Annotated[str, AfterValidator(_table_name)]
ColumnName = Annotated[str, AfterValidator(_column_name)]


class LegacySettings(Section):
    """The system before meterd: where its tables are, and what all is called there."""

    enabled: bool = False
    url: PostgresUrl = None
    policy: Lowercase[Literal["latest", "proportional"]] = "latest"
    rate: Decimal6 | None = None
    records_table: TableName = "conversation_time_records"
    records_id: ColumnName = "id"
    records_user_id: ColumnName = "user_id"
    records_advisor_id: ColumnName = "advisor_id"
    records_chat_id: ColumnName = "chat_id"
    records_status: ColumnName = "status"
    records_started_at: ColumnName = "started_at"
    records_ended_at: ColumnName = "ended_at"
    records_last_resumed_at: ColumnName = "last_resumed_at"
    records_total_seconds: ColumnName = "total_seconds"
    records_credits_used: ColumnName = "credits_used"
    records_created_at: ColumnName = "created_at"
    records_updated_at: ColumnName = "updated_at"
    chats_table: TableName = "chats"
    chats_id: ColumnName = "id"
    chats_user_id: ColumnName = "user_id"
    chats_advisor_id: ColumnName = "advisor_id"
    chats_created_at: ColumnName = "created_at"
    chats_ended_at: ColumnName = "ended_at"
    credits_table: TableName = "user_credits"
    credits_user_id: ColumnName = "user_id"
    credits_balance: ColumnName = "balance"
