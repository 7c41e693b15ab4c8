"""The statements that read the old tables. All names come from settings, checked and quoted."""

from typing import Final

from daemon.legacy.store.layout import Layout

DIGITS_MAX: Final = 1000
"""A number with more digits before its point is none."""

# What meterd can store; anything else is no time at all, as far as it is concerned.
_FIRST: Final = "timestamptz '1970-01-01 00:00:00+00'"
_BEYOND: Final = "timestamptz '10000-01-01 00:00:00+00'"
_SECONDS: Final = {"seconds": "", "minutes": " * 60", "ms": " * 0.001"}
"""What a duration is multiplied by, by its unit."""


def records_sql(layout: Layout, where: str, *, alone: bool = False) -> str:
    """Rows of the old records in the order of users and advisors, as ``pair_reader`` takes them.

    Args:
        layout: the old tables.
        where: which of them, over the alias ``r``.
        alone: whether they are few: then other rows are looked up one by one.
    """
    chat_id, owner = _text(layout, "r", "records_chat_id"), _pair(layout, "r", "records")
    joins = _chat_join(layout, alone) + _namer_join(layout, alone)
    started, ended = _ms(layout, "r", "records_started_at"), _ms(layout, "r", "records_ended_at")
    return f"""
SELECT coalesce(r.{layout.sql("records_id")}::text, '?' || md5(r::text)), {owner}, {chat_id},
  {_status(layout)}, {started}, {ended}, {_ms(layout, "r", "records_last_resumed_at")},
  {_seconds(layout)}, {_number(layout, "r", "records_credits_used")},
  coalesce({_ms(layout, "r", "records_updated_at")}, {ended}, {started},
    {_ms(layout, "r", "records_created_at")}, 0),
  CASE WHEN c.user_id IS NOT NULL THEN (c.user_id, c.advisor_id) <> ({owner})
    ELSE (n.user_id, n.advisor_id) < ({owner}) END IS TRUE,
  {_duration(layout, "r", "records_free_used")}, {_number(layout, "r", "records_rate")}
FROM {layout.source("records_table")} r {joins}
WHERE {where} ORDER BY {_pair(layout, "r", "records")}"""  # noqa: S608 - checked names only


def chats_sql(layout: Layout, where: str) -> str:
    """Rows of the old chats in the order of users and advisors; a chat without an id is none."""
    return f"""
SELECT {_text(layout, "c", "chats_id")}, {_pair(layout, "c", "chats")},
  {_ms(layout, "c", "chats_created_at")}, {_ms(layout, "c", "chats_ended_at")},
  {_duration(layout, "c", "chats_duration")}
FROM {layout.source("chats_table")} c
WHERE {_text(layout, "c", "chats_id")} IS NOT NULL AND {where}
ORDER BY {_pair(layout, "c", "chats")}"""  # noqa: S608 - checked names only


def after_sql(layout: Layout, alias: str, table: str) -> str:
    """The condition: what comes after a pair."""
    return f"({_pair(layout, alias, table)}) > (%(user_id)s, %(advisor_id)s)"


def of_pair_sql(layout: Layout, alias: str, table: str, key: tuple[str, str]) -> str:
    """The condition: what is of one pair; in the columns' own types, so that an index may serve."""
    conditions = [
        _is(layout, alias, f"{table}_{part}", part)
        if value
        else f"coalesce({_text(layout, alias, f'{table}_{part}')}, '') = ''"
        for part, value in zip(("user_id", "advisor_id"), key, strict=True)
    ]
    return " AND ".join(conditions)


def of_users_sql(layout: Layout, alias: str, table: str) -> str:
    """The condition: what is of some users; as text, which an index on text serves."""
    return f"{_text(layout, alias, f'{table}_user_id')} = ANY(%(users)s)"


def owner_of_chat_sql(layout: Layout) -> str:
    """User and advisor of a chat, the old chats first, then the records that name it."""
    records, chats = layout.source("records_table"), layout.source("chats_table")
    return f"""
SELECT * FROM (
  SELECT 0 AS source, {_pair(layout, "c", "chats")} FROM {chats} c
    WHERE {_is(layout, "c", "chats_id", "chat_id")}
  UNION ALL SELECT 1, {_pair(layout, "r", "records")} FROM {records} r
    WHERE {_is(layout, "r", "records_chat_id", "chat_id")}
) found (source, user_id, advisor_id)
ORDER BY source, user_id COLLATE "C", advisor_id COLLATE "C" LIMIT 1"""  # noqa: S608 - as above


def chat_known_sql(layout: Layout) -> str:
    """One row if a chat is in the old chats."""
    chat = _is(layout, "c", "chats_id", "chat_id")
    return f"SELECT 1 FROM {layout.source('chats_table')} c WHERE {chat} LIMIT 1"  # noqa: S608


def count_sql(layout: Layout, *, is_after: bool) -> str:
    """How many rows there are, or come after a pair."""
    of_records = after_sql(layout, "r", "records") if is_after else "true"
    of_chats = after_sql(layout, "c", "chats") if is_after else "true"
    return f"""
SELECT (SELECT count(*) FROM {layout.source("records_table")} r WHERE {of_records})
  + (SELECT count(*) FROM {layout.source("chats_table")} c WHERE {of_chats})"""  # noqa: S608 - above


def balances_sql(layout: Layout, where: str, *, with_free_time: bool = False) -> str:
    """Users in order with the sum of their balances and the number of their rows."""
    user = f"coalesce({_text(layout, 'b', 'credits_user_id')}, '')"
    rows = f"SELECT {user}, {_number(layout, 'b', 'credits_balance')}, 1"
    rows += f" FROM {layout.source('credits_table')} b"
    if with_free_time and layout.has("records_free_used"):
        other = f"coalesce({_text(layout, 'r', 'records_user_id')}, '')"
        free = _number(layout, "r", "records_free_used")
        rows += f" UNION ALL SELECT DISTINCT {other}, NULL::numeric, 0"
        rows += f" FROM {layout.source('records_table')} r WHERE {free} > 0"
    return f"""
SELECT u.user_id, sum(u.balance), sum(u.rows)
FROM ({rows}) u (user_id, balance, rows) WHERE {where.format(user="u.user_id")}
GROUP BY 1 ORDER BY u.user_id COLLATE "C" """  # noqa: S608 - checked names only


def totals_sql(layout: Layout) -> str:
    """Milliseconds and credits of all records, those left out that are no numbers."""
    seconds, spent = _seconds(layout), _number(layout, "r", "records_credits_used")
    return f"""
SELECT coalesce(sum({seconds}) FILTER (WHERE {_readable(seconds)}), 0) * 1000,
  coalesce(sum({spent}) FILTER (WHERE {_readable(spent)}), 0)
FROM {layout.source("records_table")} r"""  # noqa: S608 - checked names only


def balances_total_sql(layout: Layout) -> str:
    """What all users have, those left out whose balance is no number."""
    of_users = balances_sql(layout, "true")
    return f"""
SELECT coalesce(sum(u.total) FILTER (WHERE {_readable("u.total")}), 0)
FROM ({of_users}) u (user_id, total, count)"""  # noqa: S608 - checked names only


def fingerprint_sql(layout: Layout, setting: str) -> str:
    """Number of rows and a sum over all that stands in them, whatever their order."""
    return f"""
SELECT count(*), coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::bigint::numeric), 0)
FROM {layout.sql(setting)} t"""  # noqa: S608 - checked names only


def _readable(number: str) -> str:
    """As ``whole`` sees it."""
    return f"abs({number}) < 1e{DIGITS_MAX}"


def _chat_join(layout: Layout, alone: bool) -> str:
    """The chat that a record names, in whichever pair it is; one at most, or sums would double."""
    named = f"SELECT {_text(layout, 'c', 'chats_id')}, {_pair(layout, 'c', 'chats')}"
    named += f" FROM {layout.source('chats_table')} c"
    if alone:
        named += f" WHERE {_same(layout)} ORDER BY 2, 3 LIMIT 1"
    elif not layout.is_chat_unique:
        named = f"SELECT DISTINCT ON (1) * FROM ({named}) all_of (i, u, a) ORDER BY i, u, a"  # noqa: S608 - as above
    return _lateral("c", named, alone, _text(layout, "r", "records_chat_id"))


def _namer_join(layout: Layout, alone: bool) -> str:
    """The first pair whose record names the same chat: a chat that is gone is its."""
    chat_id = _text(layout, "o", "records_chat_id")
    first = f"SELECT DISTINCT ON (1) {chat_id}, {_pair(layout, 'o', 'records')}"
    first += f" FROM {layout.source('records_table')} o WHERE o.{layout.sql('records_chat_id')}"
    if alone:
        first += f" = r.{layout.sql('records_chat_id')}"
    else:
        first += " IS NOT NULL"
    first += f" ORDER BY 1, {_pair(layout, 'o', 'records')}"
    return _lateral("n", first, alone, _text(layout, "r", "records_chat_id"))


def _lateral(alias: str, query: str, alone: bool, chat_id: str) -> str:
    named = f"{alias} (chat_id, user_id, advisor_id)"
    if alone:
        return f" LEFT JOIN LATERAL ({query}) {named} ON true"
    return f" LEFT JOIN ({query}) {named} ON {alias}.chat_id = {chat_id}"


def _same(layout: Layout) -> str:
    """A record's chat is this one: in their own type, if it is one, so that an index serves."""
    if layout.type("chats_id") == layout.type("records_chat_id"):
        return f"c.{layout.sql('chats_id')} = r.{layout.sql('records_chat_id')}"
    return f"{_text(layout, 'c', 'chats_id')} = {_text(layout, 'r', 'records_chat_id')}"


def _is(layout: Layout, alias: str, column: str, parameter: str) -> str:
    """Equal in the column's type, where an index is, and as text: a cast may cut or round."""
    value = layout.column(alias, column)
    same = f"{value} = CAST(%({parameter})s AS {layout.type(column)})"
    return f"({same} AND {value}::text = %({parameter})s)"


def _text(layout: Layout, alias: str, column: str) -> str:
    return f"{layout.column(alias, column)}::text"


def _number(layout: Layout, alias: str, column: str) -> str:
    return f"{layout.column(alias, column)}::numeric"


def _duration(layout: Layout, alias: str, column: str) -> str:
    """Seconds, exactly: a product of numerics is not rounded."""
    return f"{_number(layout, alias, column)}{_SECONDS[layout.shape.time_unit]}"


def _seconds(layout: Layout) -> str:
    """What a record has counted; where no column has it, from its start to its end."""
    if layout.has("records_total_seconds"):
        return f"({_duration(layout, 'r', 'records_total_seconds')})"
    start, end = _at(layout, "r", "records_started_at"), _at(layout, "r", "records_ended_at")
    return f"(extract(epoch FROM {end}) - extract(epoch FROM {start}))"


def _status(layout: Layout) -> str:
    """A record's word; where no column has one, a record without an end is one that runs."""
    if layout.has("records_status"):
        return f"coalesce({_text(layout, 'r', 'records_status')}, '')"
    end = layout.column("r", "records_ended_at")
    return f"CASE WHEN {end} IS NULL THEN 'running' ELSE 'ended' END"


def _pair(layout: Layout, alias: str, table: str) -> str:
    return ", ".join(
        f"coalesce({_text(layout, alias, f'{table}_{part}')}, '') COLLATE \"C\""
        for part in ("user_id", "advisor_id")
    )


def _ms(layout: Layout, alias: str, column: str) -> str:
    at = _at(layout, alias, column)
    ms = f"floor(extract(epoch FROM {at}) * 1000)::bigint"
    return f"CASE WHEN {at} >= {_FIRST} AND {at} < {_BEYOND} THEN {ms} END"


def _at(layout: Layout, alias: str, column: str) -> str:
    """A moment with its zone; one without is in that of the settings."""
    value, type_ = layout.column(alias, column), layout.type(column)
    if type_ == "date" or type_.endswith("without time zone"):
        return f"({value}::timestamp AT TIME ZONE '{layout.shape.time_zone}')"
    return f"{value}::timestamptz"
