"""Rows as Hypothesis makes them: any that the rules could have made, and some stranger ones."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from meterd.rules.model import ChatStatus, FreeScope, IncrementDue, PauseReason
from persistence.postgres.convert import MOMENT_MS_MAX
from persistence.postgres.rows import JournalRow, LedgerRow, RecordRow

# Each example is rolled back, so one database serves them all. It asks a server, and so costs more
# than others: 30 of them in `make test`, 60 in `make test-slow`.
shared = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=settings().max_examples * 3 // 10,
)
RECORD = RecordRow(
    "c", "u", "a", "ended", 1_790_000_000_000, 1_790_000_090_001, "ended", None, 60_000, 30_001,
    60_000, 1_500_000, 1_500_001, 1, 2, 3, 4, 5, 6, "live", 7, 1_790_000_090_001,
)  # fmt: skip
ENTRY = LedgerRow("e", "u", "c", "charge", -1_500_001, 1_790_000_090_001, None)
COMMAND = JournalRow("10-2", "u", "c", {"type": "end"}, "ok", False, "p")


# Quotes, backslashes, braces and NULL are what arrays of text could trip over.
_TRICKY = st.sampled_from(
    ["", "NULL", "null", "a'b", 'a"b', "a\\b", "{a,b}", "%s %(x)s", "é😀", "\\u0000"]
)
_STORABLE = st.characters(exclude_characters="\x00", exclude_categories=["Cs"])
_ANY_TEXT = st.text(_STORABLE, max_size=12)
texts = _TRICKY | _ANY_TEXT
ids = st.sampled_from("abcdef") | texts
moments_ms = st.integers(0, MOMENT_MS_MAX) | st.integers(1_790_000_000_000, 1_800_000_000_000)
durations_ms = st.integers(0, 10**12 - 1)
credits_micro = st.integers(0, 10**20 - 1) | st.integers(0, 10**9)
numbers = st.integers(1, 2**63 - 1) | st.integers(1, 5)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(texts, texts, max_size=8) | st.dictionaries(
    texts, json_values, max_size=4
)


STATUSES: list[ChatStatus] = ["running", "paused", "suspended", "ended"]
FREE_SCOPES: list[FreeScope] = ["chat", "advisor", "user"]
INCREMENT_DUES: list[IncrementDue] = ["begin", "end"]
PAUSE_REASONS: list[PauseReason | None] = [None, "command", "idle"]


@st.composite
def records(draw: st.DrawFn, chat_ids: st.SearchStrategy[str] = ids) -> RecordRow:
    started_ms = draw(moments_ms)
    lasted_ms = draw(st.integers(0, min(10**12, MOMENT_MS_MAX - started_ms)))
    active_ms = draw(st.integers(0, lasted_ms))
    status = draw(st.sampled_from(STATUSES))
    ended = status == "ended"
    cost = draw(credits_micro)
    part = st.integers(0, cost)
    return RecordRow(
        chat_id=draw(chat_ids),
        user_id=draw(ids),
        advisor_id=draw(ids),
        status=status,
        started_at_ms=started_ms,
        ended_at_ms=started_ms + lasted_ms if ended else None,
        end_reason=draw(texts) if ended else None,
        pause_reason=draw(st.sampled_from(PAUSE_REASONS)),
        active_ms=active_ms,
        paused_ms=lasted_ms - active_ms,
        billed_ms=draw(durations_ms),
        rate_micro=draw(credits_micro),
        cost_micro=cost,
        refunded_micro=draw(part),
        carried_cost_micro=draw(part),
        free_ms=draw(durations_ms),
        min_ms=draw(durations_ms),
        increment_ms=draw(durations_ms),
        idle_ms=draw(durations_ms),
        source=draw(st.sampled_from(["live", "migrated"])),
        seq=draw(numbers),
        updated_at_ms=draw(moments_ms),
        free_scope=draw(st.sampled_from(FREE_SCOPES)),
        increment_due=draw(st.sampled_from(INCREMENT_DUES)),
        abandon_ms=draw(durations_ms),
        max_ms=draw(durations_ms),
    )


@st.composite
def changing_records(draw: st.DrawFn) -> list[RecordRow]:
    """Chats, each with its changes: the same chat at several seq, ended from some seq on."""
    changes = []
    for chat in draw(st.lists(records(), unique_by=lambda row: row.chat_id, max_size=5)):
        count = draw(st.integers(1, 4))
        changes += [_change(chat, seq, last=seq == count) for seq in range(1, count + 1)]
    return changes


def _change(chat: RecordRow, seq: int, *, last: bool) -> RecordRow:
    if last:
        return chat._replace(seq=seq)
    # Marked by its number, so that a wrong winner shows.
    return chat._replace(seq=seq, status="running", ended_at_ms=None, end_reason=None, idle_ms=seq)


@st.composite
def ledger_rows(draw: st.DrawFn) -> LedgerRow:
    kind = draw(st.sampled_from(["top_up", "charge", "refund", "migrated"]))
    amount = draw(st.integers(1, 10**20 - 1))
    negative = kind == "charge" or (kind == "migrated" and draw(st.booleans()))
    optional = st.none() | ids
    return LedgerRow(
        draw(ids), draw(ids), draw(optional), kind, -amount if negative else amount,
        draw(moments_ms), draw(optional),
    )  # fmt: skip


stream_ids = st.builds(
    lambda at_ms, at_seq: f"{at_ms}-{at_seq}",
    st.integers(0, 2**63 - 1) | st.integers(0, 20),
    st.integers(0, 2**64 - 1) | st.integers(0, 20),
)
journal_rows = st.builds(
    JournalRow,
    stream_ids,
    st.none() | ids,
    st.none() | ids,
    json_objects,
    texts,
    st.booleans(),
    ids,
)


def several(rows: st.SearchStrategy[Any], key: str) -> st.SearchStrategy[list[Any]]:
    """Rows of different keys: the same key always is the same fact."""
    return st.lists(rows, unique_by=lambda row: getattr(row, key), max_size=8)
