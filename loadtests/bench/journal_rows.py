"""A large database as version 0.2 left it: journal, ledger and records that fold without a fault.

Made by the server itself, because ten million rows through a client take an hour. Each chat is ten
commands of its user (a top-up, a start, signs of life, a pause, an end), two ledger entries and a
record; a user's chats are three days apart.
"""

from collections.abc import Callable
from typing import Final

from alembic import command
from sqlalchemy import Engine, text

from meterd.rules.model import Policy
from persistence.postgres import migrate
from persistence.postgres.writer import put_policy
from persistence.redis.commit import policy_document

SCHEMA: Final = "0010"
"""Of version 0.2: one journal table, whose key is the stream ID alone."""
COMMANDS_PER_CHAT: Final = 10
CHATS_PER_USER: Final = 100
BEGIN_MS: Final = 1_763_000_000_000
CHAT_EVERY_MS: Final = 3 * 86_400_000
STEP_MS: Final = 10_000
_USERS_BATCH: Final = 250
_POLICY: Final = "bench"

_AT: Final = f"{BEGIN_MS} + c.n::bigint * {CHAT_EVERY_MS} + u.n * 7 + k.n * {STEP_MS}"
_FIELDS: Final = """
jsonb_build_object('id', 'u' || u.n || '-' || c.n || '-' || k.n, 'user_id', 'u' || u.n)
|| CASE k.n
  WHEN 0 THEN '{"type": "top_up", "amount": "10"}'
  WHEN 1 THEN '{"type": "start", "advisor_id": "a", "rate": "6"}'
  WHEN 5 THEN '{"type": "pause"}'
  WHEN 6 THEN '{"type": "resume"}'
  WHEN 9 THEN '{"type": "end"}'
  ELSE '{"type": "heartbeat"}' END::jsonb
|| CASE k.n WHEN 0 THEN '{}' ELSE jsonb_build_object('chat_id', 'u' || u.n || '.' || c.n) END
"""
_USERS_AND_CHATS: Final = f"""
generate_series(CAST(:first AS int), CAST(:last AS int)) u(n),
generate_series(0, {CHATS_PER_USER - 1}) c(n)
"""
_JOURNAL: Final = f"""
INSERT INTO command_journal
  (stream_id, at_ms, at_seq, user_id, chat_id, fields, outcome, replayed, policy_id)
SELECT at_ms || '-' || u, at_ms, u, 'u' || u, CASE k WHEN 0 THEN NULL ELSE 'u' || u || '.' || c END,
  fields, 'ok', false, '{_POLICY}'
FROM (SELECT {_AT} AS at_ms, u.n AS u, c.n AS c, k.n AS k, {_FIELDS} AS fields
  FROM {_USERS_AND_CHATS}, generate_series(0, {COMMANDS_PER_CHAT - 1}) k(n)) AS made
ORDER BY at_ms, u
"""  # noqa: S608 - constants from above
_LEDGER: Final = f"""
INSERT INTO ledger_entries
SELECT CASE k.n WHEN 0 THEN 'top_up:' || ({_AT}) || '-' || u.n
    ELSE 'charge:u' || u.n || '.' || c.n END,
  'u' || u.n, CASE k.n WHEN 0 THEN NULL ELSE 'u' || u.n || '.' || c.n END,
  CASE k.n WHEN 0 THEN 'top_up' ELSE 'charge' END, CASE k.n WHEN 0 THEN 10 ELSE -7 END,
  timestamptz 'epoch' + (({_AT}) || 'ms')::interval, 'u' || u.n || '-' || c.n || '-' || k.n
FROM {_USERS_AND_CHATS}, (VALUES (0), (9)) k(n)
"""  # noqa: S608 - constants from above
_RECORDS: Final = f"""
INSERT INTO chat_time_records
  (chat_id, user_id, advisor_id, status, started_at, ended_at, end_reason, active_ms, paused_ms,
   billed_ms, rate, cost, refunded, carried_cost, free_ms, min_ms, increment_ms, idle_ms, source,
   seq, updated_at)
SELECT 'u' || u.n || '.' || c.n, 'u' || u.n, 'a', 'ended',
  timestamptz 'epoch' + (({_AT} + {STEP_MS}) || 'ms')::interval,
  timestamptz 'epoch' + (({_AT} + {9 * STEP_MS}) || 'ms')::interval,
  'ended', {7 * STEP_MS}, {STEP_MS}, {7 * STEP_MS}, 6, 7, 0, 0, 0, 0, 1, 0, 'live', 4,
  timestamptz 'epoch' + (({_AT} + {9 * STEP_MS}) || 'ms')::interval
FROM {_USERS_AND_CHATS}, (VALUES (0)) k(n)
"""  # noqa: S608 - constants from above


def make_rows(engine: Engine, rows: int, told: Callable[[int], None]) -> int:
    """Fill an empty database with so many rows of the journal; give how many it has then.

    ``told`` is called with the number of rows so far.
    """
    with engine.begin() as connection:
        command.upgrade(migrate.alembic_config(connection), SCHEMA)
        put_policy(connection, _POLICY, policy_document(Policy()))
    users = max(1, rows // (COMMANDS_PER_CHAT * CHATS_PER_USER))
    for first in range(0, users, _USERS_BATCH):
        last = min(users, first + _USERS_BATCH) - 1
        with engine.begin() as connection:
            for statement in (_RECORDS, _LEDGER, _JOURNAL):
                connection.execute(text(statement), {"first": first, "last": last})
        told((last + 1) * COMMANDS_PER_CHAT * CHATS_PER_USER)
    return users * COMMANDS_PER_CHAT * CHATS_PER_USER
