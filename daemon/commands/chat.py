"""``meterd chat``."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.console.chat_now import chat_now
from daemon.console.common import (
    ConfigOption,
    JsonOption,
    addresses_or_exit,
    fail,
    json_text,
    postgres_or_exit,
    print_fact,
    print_json_part,
    print_line,
    redis_or_exit,
    settings_or_exit,
)
from daemon.console.format import print_snapshot
from daemon.console.units import duration, moment, span
from meterd.rules.model import LEGACY, NOT_STARTED
from meterd.rules.money import format_micro

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from daemon.audit.history import HistoryLine
    from daemon.discovery.runfile import Addresses
    from daemon.settings.settings import Settings
    from meterd import ChatSnapshot
    from persistence.postgres.archives import ArchiveRow
    from persistence.postgres.rows import RecordRow

_HEADINGS = ("when", "what", "active", "cost", "why")
_COLUMNS = "{:29}  {:17}  {:>14}  {:>14}  {}"
_COLOURS = {"refused": typer.colors.RED, "repeated": typer.colors.YELLOW}


def chat(
    chat_id: Annotated[str, typer.Argument(metavar="CHAT_ID")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show a chat's history: every change, when, why and what it cost by then.

    First how it stands; then its history from the journal, with the commands
    that were refused and what happened to the account; then its record. The
    journal follows within a second; what was archived of it is in the archive's
    folder, which is named. A chat that never started is an answer, not
    an error: not_started.

    For example:

      meterd chat c1

      meterd chat c1 --json | jq -r '.history[] | select(.event == "refused") | .why'
    """
    settings = settings_or_exit(config)
    addresses = addresses_or_exit(settings)
    snapshot, now_ms, zero_at = _snapshot(addresses, settings, chat_id)
    if json:
        _print_json(snapshot, addresses)
    else:
        _print(snapshot, addresses, now_ms, zero_at)


def _snapshot(
    addresses: "Addresses", settings: "Settings", chat_id: str
) -> tuple["ChatSnapshot", int, int | None]:
    """The chat, from wherever it is, the queue's clock, and when its account's credits end."""
    from meterd import Meter, UnavailableError  # noqa: PLC0415 - the help need not wait for it
    from persistence.redis.client import queue_ms  # noqa: PLC0415 - as above

    with redis_or_exit(addresses.redis) as clients:
        now_ms = queue_ms(clients)
    try:
        with Meter(addresses.redis.urls, addresses.postgres_url or None) as meter:
            snapshot, zero_at = meter.snapshot(chat_id), None
            if snapshot.is_running and snapshot.user_id is not None:
                zero_at = meter.wallet(snapshot.user_id).zero_at
    except UnavailableError as error:
        raise fail(f"{error}\nSee whether the daemon runs with: meterd status") from None
    # migration seam: begin
    if snapshot.status == NOT_STARTED and settings.legacy.enabled:
        snapshot = _old_snapshot(settings, addresses.postgres_url, chat_id) or snapshot
    # migration seam: end
    return snapshot, now_ms, zero_at


# migration seam: begin
def _old_snapshot(settings: "Settings", postgres_url: str, chat_id: str) -> "ChatSnapshot | None":
    """The chat as the old tables have it; None if they do not know it."""
    from daemon.legacy.chat_reader import read_snapshot  # noqa: PLC0415 - as above
    from daemon.legacy.errors import LegacyError  # noqa: PLC0415 - as above
    from daemon.legacy.store.shape import LegacyShape  # noqa: PLC0415 - as above

    legacy = settings.legacy
    with _connected(legacy.url or postgres_url) as connection:
        try:
            return read_snapshot(connection, LegacyShape.of(legacy), legacy.policy, chat_id)
        except LegacyError as error:
            raise fail(f"the old tables can't be read: {error}") from None


# migration seam: end


def _print(
    snapshot: "ChatSnapshot", addresses: "Addresses", now_ms: int, zero_at: int | None
) -> None:
    if snapshot.status == NOT_STARTED:
        print_line(f"{snapshot.chat_id} never started: no start of it has been accepted.")
        return
    now = chat_now(_plain(snapshot), now_ms, zero_at)
    print_snapshot(now.snapshot)
    if now.left_ms is not None:
        print_fact("time left", span(now.left_ms))
    _print_past(snapshot, addresses.postgres_url)


def _print_past(snapshot: "ChatSnapshot", postgres_url: str) -> None:
    from persistence.postgres.reader import fetch_records  # noqa: PLC0415 - as above

    with _connected(postgres_url) as connection:
        _print_history(_history(connection, snapshot), _archives(connection, snapshot))
        record = fetch_records(connection, [snapshot.chat_id]).get(snapshot.chat_id)
    print_line()
    heading = "Record, as of the last change" if snapshot.is_open else "Record"
    print_line(heading, is_bold=True)
    if record is None and snapshot.source == LEGACY:
        print_line("none yet: the chat is still in the old system")
    elif record is None:
        print_line("not in Postgres yet; it gets there within a second")
    else:
        _print_record(record)


def _print_history(history: "Iterable[HistoryLine]", archives: "list[ArchiveRow]") -> None:
    """Line by line: a long history is never in memory, nor waited for."""
    print_line()
    print_line("History", is_bold=True)
    for one in archives:
        print_line(f"until {moment(one.cut_ms)} it is in the archive {one.name} ({one.folder})")
    print_line(_COLUMNS.format(*_HEADINGS))
    for line in history:
        text = _COLUMNS.format(
            moment(line.at), line.event, duration(line.active_ms), line.cost, line.why
        )
        print_line(text, _COLOURS.get(line.event))


def _print_record(record: "RecordRow") -> None:
    """Names and values as in the table, those of credits and times readable."""
    facts = {}
    for name, value in record._asdict().items():
        if name.endswith("_micro"):
            facts[name.removesuffix("_micro")] = format_micro(value)
        else:
            facts[name.removesuffix("_ms") if name.endswith("_at_ms") else name] = value
    print_snapshot(facts)


def _print_json(snapshot: "ChatSnapshot", addresses: "Addresses") -> None:
    archives: list[dict[str, Any]] = []
    print_json_part(f'{{"snapshot": {json_text(_plain(snapshot))}, "history": [')
    if snapshot.status != NOT_STARTED:
        with _connected(addresses.postgres_url) as connection:
            for number, line in enumerate(_history(connection, snapshot)):
                print_json_part(", " * bool(number) + json_text(line._asdict()))
            archives = [
                {"name": one.name, "folder": one.folder, "before": one.cut_ms}
                for one in _archives(connection, snapshot)
            ]
    print_json_part(f'], "archives": {json_text(archives)}}}\n')


def _archives(connection: "Connection", snapshot: "ChatSnapshot") -> "list[ArchiveRow]":
    """Archives in which the chat's history is, as far as it is not in the journal any more."""
    from persistence.postgres.archives import archives_of_chat  # noqa: PLC0415 - as above

    return archives_of_chat(connection, snapshot.started_at, snapshot.ended_at)


def _history(connection: "Connection", snapshot: "ChatSnapshot") -> "Iterator[HistoryLine]":
    from daemon.audit.history import ChatHistory  # noqa: PLC0415 - as above
    from daemon.audit.opening_state import fetch_opening_states  # noqa: PLC0415 - as above
    from daemon.errors import HistoryError  # noqa: PLC0415 - as above
    from persistence.postgres.reader import fetch_policies, journal_of_user  # noqa: PLC0415
    from persistence.redis.commit import read_policy  # noqa: PLC0415 - as above

    assert snapshot.user_id is not None, "a chat that started has a user"
    policies = {k: read_policy(v) for k, v in fetch_policies(connection).items()}
    imported = fetch_opening_states(connection, snapshot.user_id)
    try:
        history = ChatHistory(snapshot.chat_id, snapshot.user_id, policies, imported)
        yield from history.lines(journal_of_user(connection, snapshot.user_id))
    except HistoryError as error:
        raise fail(f"The history can't be read to its end: {error}") from None


@contextlib.contextmanager
def _connected(postgres_url: str) -> "Iterator[Connection]":
    from persistence.postgres.engine import make_engine  # noqa: PLC0415 - as above

    if not postgres_url:
        raise fail("The history is in Postgres, and postgres.url is not configured.")
    with postgres_or_exit(postgres_url):
        engine = make_engine(postgres_url, pool_size=1)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()


def _plain(snapshot: "ChatSnapshot") -> dict[str, Any]:
    """As in the contract: credits as strings, times as integers."""
    import msgspec  # noqa: PLC0415 - as above

    plain: dict[str, Any] = msgspec.to_builtins(snapshot)
    return plain
