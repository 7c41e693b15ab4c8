"""Every query is answered, from wherever the answer is."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from meterd import UnavailableError
from meterd._results import ChatSnapshot, WalletSnapshot, read_chat, read_wallet
from meterd.rules import billing
from meterd.rules.model import RUNNING, Chat, IncrementDue
from meterd.rules.money import parse_micro
from meterd.rules.snapshots import chat_snapshot
from persistence.redis.commit import pack_json
from tests.client.by_hand import KEYS, chat_json, wallet_json
from tests.client.either import Make
from tests.proxy import Proxy
from tests.servers import free_port

redis_needed = pytest.mark.redis


@redis_needed
def test_a_chat_in_redis_is_read_as_it_is(meter: Any, queue: redis.Redis) -> None:
    """Decimals for credits, integers for times."""
    queue.set(KEYS.chat("c"), chat_json("c", cost="1.500000", active_ms=15_000))
    chat = meter.snapshot("c")
    assert (chat.status, chat.cost, chat.active_ms) == ("running", Decimal("1.5"), 15_000)
    assert chat.is_running
    assert chat.is_open


@redis_needed
@pytest.mark.parametrize("chat_id", ["never", "", "no blanks", "\x00", "\ud800", "x" * 1000])
def test_a_chat_that_never_started_is_an_answer(meter: Any, chat_id: str) -> None:
    """Any text at all, and never an error."""
    chat = meter.snapshot(chat_id)
    assert (chat.chat_id, chat.status, chat.cost) == (chat_id, "not_started", 0)
    assert chat.source is None
    assert (chat.started_at, chat.as_of, chat.increment_ms) == (None, None, 0)
    assert not chat.is_open
    assert chat.active_ms_at(10**12) == 0


@redis_needed
def test_an_account_is_read_as_it_is(meter: Any, queue: redis.Redis) -> None:
    """Or is an answer of zeros."""
    queue.set(KEYS.wallet("u"), wallet_json("u", balance="2.000000", zero_at=9))
    assert (meter.wallet("u").balance, meter.wallet("u").zero_at) == (Decimal(2), 9)
    nobody = meter.wallet("nobody")
    assert (nobody.balance, nobody.as_of, nobody.zero_at) == (0, None, None)


@redis_needed
def test_fields_of_a_later_release_are_left_out(meter: Any, queue: redis.Redis) -> None:
    """A client older than its daemon reads on."""
    queue.set(KEYS.chat("c"), chat_json("c", mood="good"))
    assert meter.snapshot("c").chat_id == "c"


@redis_needed
@pytest.mark.parametrize("call", ["snapshot", "wallet"])
def test_a_name_that_is_no_text_is_a_type_error(meter: Any, call: str) -> None:
    """Nobody asks for chat 5 and learns that "5" never started."""
    with pytest.raises(TypeError, match="send a str, not int"):
        getattr(meter, call)(5)


@redis_needed
def test_a_read_is_tried_again(make: Make, proxy: Proxy, queue: redis.Redis) -> None:
    """Reading changes nothing, so a lost answer costs nothing."""
    queue.set(KEYS.chat("c"), chat_json("c"))
    proxy.lose(2, b"GET")
    assert make(proxy.url).snapshot("c").status == "running"
    assert proxy.lost == 2


@redis_needed
def test_no_server_is_an_error_not_an_answer(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to know is not the same as never started."""
    monkeypatch.setattr("meterd._core.TIMEOUT_S", 0.3)
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        make(f"redis://127.0.0.1:{free_port()}/0").snapshot("c")
    assert time.monotonic() - started < 2


TABLE = """
CREATE TABLE chat_time_records (
    chat_id text PRIMARY KEY, user_id text, advisor_id text, status text, started_at timestamptz,
    ended_at timestamptz, end_reason text, pause_reason text, active_ms bigint, paused_ms bigint,
    billed_ms bigint, rate numeric(20,6), cost numeric(20,6), refunded numeric(20,6),
    carried_cost numeric(20,6), free_ms bigint, min_ms bigint, increment_ms bigint,
    idle_ms bigint, source text, seq bigint, updated_at timestamptz, free_scope text,
    increment_due text, abandon_ms bigint, max_ms bigint);
INSERT INTO chat_time_records VALUES (
    'old', 'u', 'a', 'ended', to_timestamp(1700000000.001), to_timestamp(1700000060.999), 'ended',
    NULL, 60000, 998, 60000, 1.5, 1.5, 0.25, 0, 1, 2, 3, 4, 'migrated', 7,
    to_timestamp(1700000099.123), 'advisor', 'end', 5, 6);
"""


@pytest.fixture
def postgres_url(server_url: str) -> Iterator[str]:
    """A database with one old record."""
    with psycopg2.connect(server_url) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS chat_time_records;" + TABLE)
    connection.close()
    yield server_url
    with psycopg2.connect(server_url) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE chat_time_records")
    connection.close()


@redis_needed
@pytest.mark.postgres
def test_a_chat_that_left_redis_is_read_from_postgres(
    make: Make, server: str, queue: redis.Redis, postgres_url: str
) -> None:
    """The record as a snapshot, to the millisecond and the micro-credit."""
    chat = make(server, postgres_url).snapshot("old")
    assert chat == ChatSnapshot(
        chat_id="old", user_id="u", advisor_id="a", status="ended", as_of=1_700_000_099_123,
        started_at=1_700_000_000_001, ended_at=1_700_000_060_999, end_reason="ended",
        pause_reason=None, active_ms=60_000, paused_ms=998, billed_ms=60_000, cost=Decimal("1.5"),
        refunded=Decimal("0.25"), rate=Decimal("1.5"), free_ms=1, min_ms=2, increment_ms=3,
        idle_ms=4, seq=7, free_scope="advisor", increment_due="end", abandon_ms=5, max_ms=6,
        source="migrated",
    )  # fmt: skip


@redis_needed
@pytest.mark.postgres
def test_without_postgres_a_chat_that_left_redis_was_never_started(
    meter: Any, postgres_url: str
) -> None:
    """The documented limit of a client that was given no postgres_url."""
    assert meter.snapshot("old").status == "not_started"


@redis_needed
@pytest.mark.postgres
def test_redis_comes_before_postgres(
    make: Make, server: str, queue: redis.Redis, postgres_url: str
) -> None:
    """What is in both is read where it is newer."""
    queue.set(KEYS.chat("old"), chat_json("old"))
    assert make(server, postgres_url).snapshot("old").status == "running"


@redis_needed
@pytest.mark.postgres
def test_a_cut_connection_to_postgres_is_made_anew(
    make: Make, server: str, queue: redis.Redis, postgres_url: str
) -> None:
    """A connection kept for hours may have died."""
    meter = make(server, postgres_url)
    meter.snapshot("old")
    with psycopg2.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'meterd client'"
        )
        assert cursor.rowcount >= 1
    connection.close()
    assert meter.snapshot("old").status == "ended"
    assert meter.snapshot("never").status == "not_started"


@redis_needed
@pytest.mark.postgres
def test_no_postgres_is_an_error_not_an_answer(make: Make, server: str, queue: redis.Redis) -> None:
    """Not to know is not the same as never started; what is in Redis is still answered."""
    queue.set(KEYS.chat("c"), chat_json("c"))
    meter = make(server, f"postgresql://127.0.0.1:{free_port()}/none")
    assert meter.snapshot("c").status == "running"
    with pytest.raises(UnavailableError, match="record"):
        meter.snapshot("old")


def test_a_snapshot_of_version_0_1_is_read() -> None:
    """It lacks what the contract has since: free time is its own, increments due at their begin."""
    chat = Chat("c", "u", "a", RUNNING, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    shown = chat_snapshot(chat, 9)
    since = ("free_scope", "increment_due", "abandon_ms", "max_ms")
    written = {name: value for name, value in shown.items() if name not in since}
    assert read_chat(pack_json(written).encode()) == read_chat(pack_json(shown).encode())


def test_a_snapshot_says_where_the_chat_was_metered() -> None:
    """As its record does; one that was imported has no increments."""
    assert read_chat(chat_json("c").encode()).source == "live"
    shown = chat_snapshot(Chat("c", "u", "a", RUNNING, 1, 2, 3, 4, 5, 6, 7, 0, 9), 9)
    assert read_chat(pack_json(shown).encode()).source == "migrated"


DUES: list[IncrementDue] = ["begin", "end"]


@st.composite
def _running(draw: st.DrawFn) -> Chat:
    as_of = draw(st.integers(10**12, 2 * 10**12))
    active_ms = draw(st.integers(0, 10**7))
    return Chat(
        "c", "u", "a", RUNNING, as_of - active_ms, as_of, as_of, as_of,
        rate_micro=draw(st.integers(0, 10**9)),
        free_ms=draw(st.integers(0, 10**6)),
        min_ms=draw(st.integers(0, 10**6)),
        increment_ms=draw(st.integers(1, 10**6)),
        idle_ms=0,
        increment_due=draw(st.sampled_from(DUES)),
        active_ms=active_ms,
        owed_rate_ms=draw(st.integers(0, 10**15)),
    )  # fmt: skip


@given(_running(), st.integers(0, 10**7))
def test_a_snapshot_is_enough_to_draw_a_running_clock(chat: Chat, later_ms: int) -> None:
    """The clock is exact at any time; the cost is at most one micro-credit short."""
    snapshot = read_chat(pack_json(chat_snapshot(chat, chat.as_of_ms)).encode())
    now_ms = chat.as_of_ms + later_ms
    assert snapshot.active_ms_at(now_ms) == billing.active_ms(chat, now_ms)
    shown = parse_micro_of(snapshot.cost_at(now_ms))
    assert 0 <= billing.cost(chat, now_ms) - shown <= 1


def parse_micro_of(amount: Decimal) -> int:
    return int(amount.scaleb(6))


@pytest.mark.parametrize("status", ["paused", "suspended", "ended"])
def test_a_clock_that_stands_stands(status: str) -> None:
    """However late it is."""
    chat = read_chat(chat_json("c", status=status, active_ms=5, cost="0.5").encode())
    assert chat.active_ms_at(10**12) == 5
    assert chat.cost_at(10**12) == Decimal("0.5")


def test_a_clock_that_is_behind_takes_nothing_back() -> None:
    """The frontend's clock may be a little slow."""
    chat = read_chat(chat_json("c", active_ms=5, cost="0.5").encode())
    assert (chat.active_ms_at(0), chat.cost_at(0)) == (5, Decimal("0.5"))


def test_a_balance_falls_to_zero_at_and_not_below() -> None:
    """One credit a minute, two credits: gone after two minutes."""
    wallet: WalletSnapshot = read_wallet(
        wallet_json("u", balance="2.000000", burn_rate="1.000000", zero_at=121_000).encode()
    )
    seen = [wallet.balance_at(1_000 + ms) for ms in (-5, 0, 30_000, 120_000, 500_000)]
    assert seen == [Decimal(2), Decimal(2), Decimal("1.5"), Decimal(0), Decimal(0)]


def test_parse_micro_of_agrees_with_the_rules() -> None:
    """The helper above reads amounts as the rules do."""
    assert parse_micro_of(Decimal("12.345678")) == parse_micro("12.345678")
