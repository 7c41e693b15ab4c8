"""Old data as real tables hold it: seeded, ugly, and as much of it as wanted.

Everything is drawn from a hash of seed, pair and purpose, by the server: millions of rows take
seconds, and the same seed gives the same rows.
"""

from typing import Final

from sqlalchemy import Connection

from daemon.legacy.store.names import LegacyNames, quoted

_PLAIN: Final = LegacyNames()

_TABLES: Final = """
CREATE TABLE {records_table} ({records_id} bigint PRIMARY KEY, {records_user_id} text,
  {records_advisor_id} text, {records_chat_id} text, {records_status} text,
  {records_started_at} timestamptz, {records_ended_at} timestamptz,
  {records_last_resumed_at} timestamptz, {records_total_seconds} numeric,
  {records_credits_used} numeric, {records_created_at} timestamptz,
  {records_updated_at} timestamptz);
CREATE TABLE {chats_table} ({chats_id} text PRIMARY KEY, {chats_user_id} text,
  {chats_advisor_id} text, {chats_created_at} timestamptz, {chats_ended_at} timestamptz);
CREATE TABLE {credits_table} ({credits_user_id} text, {credits_balance} numeric);
"""
_INDEXES: Final = """
CREATE INDEX ON {chats_table} ({chats_user_id}, {chats_advisor_id});
CREATE INDEX ON {records_table} ({records_user_id}, {records_advisor_id});
CREATE INDEX ON {records_table} ({records_chat_id});
ANALYZE {records_table}; ANALYZE {chats_table};
"""
# h(p, what) is a number from 0 to 2^31 − 1 that depends on nothing but the seed.
_HASH: Final = """
CREATE OR REPLACE FUNCTION pg_temp.h(p bigint, what text) RETURNS bigint IMMUTABLE LANGUAGE sql AS
$$ SELECT ((hashtextextended(what, p * 1000003 + {seed}) >> 33) & 2147483647) $$
"""
_PAIR: Final = """
CASE WHEN pg_temp.h(p, 'user?') % 997 = 0 THEN 'user ' || p || ' ü'
  ELSE 'u' || (p / 4)::text END AS u,
CASE WHEN pg_temp.h(p, 'advisor?') % 991 = 0 THEN 'a/' || p || '\n'
  ELSE 'a' || (p % 4)::text END AS a
"""
_CHATS: Final = """
INSERT INTO {chats_table} SELECT
  CASE WHEN pg_temp.h(p * 8 + k, 'id?') % 499 = 0 THEN 'bad id ' || p || '-' || k
    ELSE 'c' || p || '-' || k END, u, a,
  CASE pg_temp.h(p * 8 + k, 'start?') % 401 WHEN 0 THEN NULL WHEN 1 THEN 'infinity'
    WHEN 2 THEN timestamptz '0044-03-15 BC' ELSE began END,
  CASE pg_temp.h(p * 8 + k, 'end?') % 61 WHEN 0 THEN NULL WHEN 1 THEN began - interval '1 hour'
    ELSE CASE WHEN k = count AND pg_temp.h(p, 'status') % 20 < 2 THEN NULL
      ELSE began + (pg_temp.h(p * 8 + k, 'long') % 7200000000) * interval '1 microsecond' END END
FROM (SELECT p, {pair}, pg_temp.h(p, 'chats') % 7 AS count
    FROM generate_series(1, {pairs}) p) pairs,
  LATERAL (SELECT k, timestamptz '2024-01-01' + (p % 400) * interval '1 day'
    + k * interval '3 hours' + (pg_temp.h(p * 8 + k, 'began') % 1000000) * interval '1 microsecond'
    AS began FROM generate_series(1, count) k) chats
WHERE pg_temp.h(p * 8 + k, 'gone') % 41 > 0
"""
_TOTAL: Final = """
CASE pg_temp.h(p * 4 + d, 'total?') % 199 WHEN 0 THEN 'NaN' WHEN 1 THEN -17.25 WHEN 2 THEN 1e40
  WHEN 3 THEN NULL WHEN 4 THEN 1e9 + 0.0004 WHEN 5 THEN 0
  ELSE (pg_temp.h(p * 4 + d, 'total') % 20000000000) / 1000000.0 END
"""
_RECORDS: Final = """
INSERT INTO {records_table} SELECT p * 4 + d, u, a,
  CASE pg_temp.h(p * 4 + d, 'points') % 53 WHEN 0 THEN NULL WHEN 1 THEN 'gone-' || p
    WHEN 2 THEN 'c' || (p % {pairs}) + 1 || '-1' WHEN 3 THEN 'lost-' || p / 64
    WHEN 4 THEN 'sp ace' || p ELSE 'c' || p || '-' || greatest(1, count) END,
  CASE pg_temp.h(p, 'status') % 20 WHEN 0 THEN 'active' WHEN 1 THEN 'paused' WHEN 2 THEN 'odd'
    ELSE 'completed' END,
  began, CASE WHEN pg_temp.h(p, 'status') % 20 > 1 THEN began + interval '2 hours' END,
  began + interval '10 minutes', {total},
  CASE pg_temp.h(p * 4 + d, 'cost?') % 211 WHEN 0 THEN 'NaN' WHEN 1 THEN -0.5
    WHEN 2 THEN NULL WHEN 3 THEN 12345678901234567890 ELSE
    (pg_temp.h(p * 4 + d, 'cost') % 2000000000) / 10000000.0 END,
  began, CASE WHEN pg_temp.h(p, 'updated?') % 89 > 0 THEN began + interval '3 hours' * (d + 1) END
FROM (SELECT p, {pair}, pg_temp.h(p, 'chats') % 7 AS count,
    timestamptz '2024-01-01 12:00:00.123456' + (p % 400) * interval '1 day' AS began
    FROM generate_series(1, {pairs}) p) pairs,
  LATERAL generate_series(0, CASE WHEN pg_temp.h(p, 'twice') % 37 = 0 THEN 1 ELSE 0 END) d
WHERE pg_temp.h(p, 'none') % 29 > 0
"""
_CREDITS: Final = """
INSERT INTO {credits_table} SELECT 'u' || n,
  CASE pg_temp.h(n, 'balance?') % 97 WHEN 0 THEN 'NaN' WHEN 1 THEN -3.5 WHEN 2 THEN NULL
    ELSE (pg_temp.h(n, 'balance') % 900000000) / 1234567.0 END
FROM generate_series(0, {pairs} / 4) n
"""


def create_tables(connection: Connection, names: LegacyNames = _PLAIN) -> None:
    """The old tables, empty."""
    _run(connection, _TABLES, names)


def create_ugly(
    connection: Connection, pairs: int, seed: int = 0, names: LegacyNames = _PLAIN
) -> None:
    """The old tables with so many pairs, about 3 chats each, and all that goes wrong."""
    create_tables(connection, names)
    _run(connection, _HASH, names, seed=seed)
    for sql in (_CHATS, _RECORDS, _CREDITS, _INDEXES):
        _run(connection, sql, names, pairs=pairs, pair=_PAIR, total=_TOTAL)


def _run(connection: Connection, sql: str, names: LegacyNames, **values: object) -> None:
    sql_names = {setting: quoted(name) for setting, name in names._asdict().items() if name}
    connection.exec_driver_sql(sql.format(**sql_names, **values).replace("%", "%%"), ())
