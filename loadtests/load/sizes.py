"""How much Redis and Postgres hold."""

from typing import Any, Final

import redis
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from meterd.rules.redis_keys import Keys
from persistence.postgres.engine import make_engine

KEYS: Final = Keys()
TABLES: Final = ("chat_time_records", "ledger_entries", "command_journal")


def sizes(client: redis.Redis, postgres_url: str) -> dict[str, Any]:
    """Bytes and numbers, for tables and programs; of Postgres only if its address is known."""
    return {"redis": _redis(client), "postgres": _postgres(postgres_url) if postgres_url else {}}


def _redis(client: redis.Redis) -> dict[str, int]:
    info: Any = client.info("memory")
    streams = {"commands": KEYS.commands, "events": KEYS.events, "outbox": KEYS.outbox}
    lengths: Any = {f"{name}_entries": client.xlen(key) for name, key in streams.items()}
    keys: Any = client.dbsize()
    return {"used_memory_bytes": int(info["used_memory"]), "keys": keys, **lengths}


def _postgres(url: str) -> dict[str, int]:
    engine = make_engine(url, pool_size=1)
    try:
        with engine.connect() as connection:
            whole: Any = connection.scalar(text("SELECT pg_database_size(current_database())"))
            # Of the partitions of a table, too: the table itself has nothing then.
            size = text(
                "SELECT coalesce(sum(pg_total_relation_size(relid)),"
                " pg_total_relation_size(to_regclass(:name)))"
                " FROM pg_partition_tree(to_regclass(:name))"
            )
            tables = {f"{t}_bytes": connection.scalar(size, {"name": t}) for t in TABLES}
            return {"database_bytes": int(whole), **{k: int(v or 0) for k, v in tables.items()}}
    except SQLAlchemyError:
        return {}
    finally:
        engine.dispose()
