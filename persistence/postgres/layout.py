"""How many partitions the data was made with: one row, written once."""

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from persistence.postgres.tables import layout


def fetch_partitions(connection: Connection) -> int | None:
    """The number of partitions; None where no data was ever made."""
    found: int | None = connection.execute(select(layout.c.partitions)).scalar_one_or_none()
    return found


def write_partitions(connection: Connection, partitions: int) -> None:
    """Write it, unless it is there already: whoever was first has said it for good."""
    connection.execute(insert(layout).values(partitions=partitions).on_conflict_do_nothing())
