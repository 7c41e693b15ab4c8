"""What the tables and columns of the old system are called."""

from typing import Final, NamedTuple, Self

from daemon.settings.legacy import LegacySettings, is_table


class LegacyNames(NamedTuple):
    """Tables, optionally with their schema, and columns. As they are written: case counts.

    Empty: the old system has no such table or column.
    """

    records_table: str = "conversation_time_records"
    records_id: str = "id"
    records_user_id: str = "user_id"
    records_advisor_id: str = "advisor_id"
    records_chat_id: str = "chat_id"
    records_status: str = "status"
    records_started_at: str = "started_at"
    records_ended_at: str = "ended_at"
    records_last_resumed_at: str = "last_resumed_at"
    records_total_seconds: str = "total_seconds"
    records_credits_used: str = "credits_used"
    records_free_used: str = ""
    records_rate: str = ""
    records_created_at: str = "created_at"
    records_updated_at: str = "updated_at"
    chats_table: str = "chats"
    chats_id: str = "id"
    chats_user_id: str = "user_id"
    chats_advisor_id: str = "advisor_id"
    chats_created_at: str = "created_at"
    chats_ended_at: str = "ended_at"
    chats_duration: str = ""
    credits_table: str = "user_credits"
    credits_user_id: str = "user_id"
    credits_balance: str = "balance"

    @classmethod
    def of(cls, settings: LegacySettings) -> Self:
        """Return the names that the settings give."""
        return cls(**{name: getattr(settings, name) for name in cls._fields})

    def has(self, setting: str) -> bool:
        """Return whether the old system has that table or column, by its setting."""
        return bool(getattr(self, setting) and getattr(self, table_setting(setting)))


TABLES: Final = ("records_table", "chats_table", "credits_table")
"""Which of the names are those of tables; the others are columns of the table they begin with."""


def quoted(name: str) -> str:
    """The name for SQL; case is kept, and a word of SQL is a name too."""
    assert is_table(name), f"{name!r} is no name of a table or column"
    return ".".join(f'"{part}"' for part in name.split("."))


def table_setting(setting: str) -> str:
    """The setting of the table to which a column's setting belongs."""
    return f"{setting.partition('_')[0]}_table"
