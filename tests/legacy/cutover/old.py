"""The tables of the system before, as small as they come."""

from typing import Any

from sqlalchemy import Engine, text

T = 1_700_000_000_000

TABLES = """
CREATE TABLE conversation_time_records (
  id bigserial PRIMARY KEY, user_id text, advisor_id text, chat_id text, status text,
  started_at timestamptz, ended_at timestamptz, last_resumed_at timestamptz,
  total_seconds numeric, credits_used numeric,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
CREATE TABLE chats (
  id text PRIMARY KEY, user_id text, advisor_id text,
  created_at timestamptz, ended_at timestamptz);
CREATE TABLE user_credits (user_id text, balance numeric);
"""
_MOMENTS = ("started_at", "ended_at", "last_resumed_at", "created_at", "updated_at")


def make_tables(engine: Engine) -> None:
    """Empty ones."""
    with engine.begin() as connection:
        connection.execute(text(TABLES))


def add(engine: Engine, table: str, **row: Any) -> None:
    """A row; moments are milliseconds after T."""
    values = [f"to_timestamp(:{name} / 1000.0)" if name in _MOMENTS else f":{name}" for name in row]
    given = {k: v + T if k in _MOMENTS and v is not None else v for k, v in row.items()}
    insert = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(values)})"
    with engine.begin() as connection:
        connection.execute(text(insert), given)


def add_chat(engine: Engine, chat_id: str, begin: int, end: int | None, **row: Any) -> None:
    """A chat of ``u`` with ``v``, unless told otherwise."""
    whose = {"user_id": "u", "advisor_id": "v"} | row
    add(engine, "chats", id=chat_id, created_at=begin, ended_at=end, **whose)


def add_record(engine: Engine, chat_id: str | None, **row: Any) -> None:
    """A record of ``u`` with ``v``, completed, unless told otherwise."""
    whole = {
        "user_id": "u", "advisor_id": "v", "status": "completed", "started_at": 0,
        "total_seconds": 0, "credits_used": 0, "updated_at": 0,
    } | row  # fmt: skip
    add(engine, "conversation_time_records", chat_id=chat_id, **whole)


def set_balance(engine: Engine, user: str, balance: Any) -> None:
    """What a user has left there."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM user_credits WHERE user_id = :u"), {"u": user})
        connection.execute(
            text("INSERT INTO user_credits VALUES (:u, CAST(:b AS numeric))"),
            {"u": user, "b": str(balance)},
        )
