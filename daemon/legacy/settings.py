"""Settings of the system before meterd: where its tables are, and what all is called there."""

from typing import Literal

from daemon.legacy.store.names import LegacyNames
from daemon.settings.types import (
    ColumnName,
    Decimal6,
    Lowercase,
    PostgresUrl,
    Section,
    TableName,
)


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

    @property
    def names(self) -> LegacyNames:
        """The names of tables and columns alone."""
        return LegacyNames(**{name: getattr(self, name) for name in LegacyNames._fields})
