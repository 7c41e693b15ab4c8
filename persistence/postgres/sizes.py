"""What meterd's tables take on the disk of PostgreSQL."""

from typing import Final

from sqlalchemy import Connection, text

TABLES: Final = {
    "journal": "command_journal",
    "ledger": "ledger_entries",
    "records": "chat_time_records",
}
"""The tables that grow with the commands, by the words of docs and metrics."""

_SIZE: Final = text(
    "SELECT pg_total_relation_size(CAST(:name AS regclass)) + coalesce((SELECT"
    " sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
    " WHERE inhparent = CAST(:name AS regclass)), 0)::bigint"
)


def table_bytes(connection: Connection) -> dict[str, int]:
    """Give the bytes of each table in ``TABLES``, with its partitions and indexes."""
    return {
        table: int(connection.execute(_SIZE, {"name": name}).scalar_one())
        for table, name in TABLES.items()
    }
