"""What a user had before the journal begins.

That is what was imported from another system, or what the account was at the end of an archive: its
opening state. Chats that had ended by then are in no state: their records are for ever, and say
what they were, as soon as what happened to them since is left out.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from actors.chat.rows import chat_of_record, record_row
from daemon.audit.digest import RowsDigest
from meterd.rules import outcomes
from meterd.rules.commands import OPENING
from meterd.rules.model import ENDED, MIGRATED, Account, Chat
from meterd.rules.opening_balance import OpenedAccount, OpeningEntry, number_of, openings
from meterd.rules.replay import Replay
from persistence.postgres.archives import OpeningStateRow, checksum_of, opening_states_of_users
from persistence.postgres.reader import free_times_of_users, ledger_of_users, records_of_users
from persistence.postgres.rows import FreeTimeRow, JournalRow, LedgerRow, RecordRow

_REFUND: Final = "refund"

_Refunds = dict[str, list[LedgerRow]]
"""By chat."""


class ArchivedState(NamedTuple):
    """An account at the end of an archive."""

    cut_ms: int
    opened: OpenedAccount
    ended: RowsDigest
    """Of the records of chats that had ended here, as they were."""
    ledger: RowsDigest
    """Of all ledger entries until then."""


class OpeningState(NamedTuple):
    """An account and ended chats as they came."""

    steps: list[OpenedAccount]
    """The account after each of its opening entries; empty where there is an archived state."""
    ended: list[Chat]
    archived: ArchivedState | None = None
    fault: str = ""
    """Why the archived state is none; empty if it is good, or if there is none."""

    @property
    def account(self) -> OpenedAccount | None:
        """The account as its first command meets it; None if nothing was before that."""
        if self.archived is not None:
            return self.archived.opened
        return self.steps[-1] if self.steps else None

    @property
    def cut_ms(self) -> int:
        """Before this the journal is in an archive; 0 if it is not."""
        return self.archived.cut_ms if self.archived is not None else 0


NOTHING_IMPORTED: Final = OpeningState([], [])


def opening_state_of(
    user: str,
    records: Iterable[RecordRow],
    ledger: Iterable[LedgerRow],
    free_times: Iterable[FreeTimeRow],
    state: OpeningStateRow | None = None,
) -> OpeningState:
    """What the journal's first row meets, out of all rows of one user."""
    rows = list(ledger)
    refunds: _Refunds = {}
    for row in rows:
        if row.kind == _REFUND and row.chat_id is not None:
            refunds.setdefault(row.chat_id, []).append(row)
    archived, fault = _read(state) if state is not None else (None, "")
    if archived is not None:
        return OpeningState([], _ended_before(archived, records, refunds), archived)
    ended = [_as_it_was(row, refunds, 0) for row in records if row.source == MIGRATED]
    entries = opening_entries(opening_rows(rows), free_times)
    return OpeningState(openings(user, entries), ended, fault=fault)


def fetch_opening_states(connection: Connection, user: str) -> OpeningState:
    """What one user's journal begins with."""
    records = list(records_of_users(connection, [user]))
    ledger = ledger_of_users(connection, [user])
    free_times = free_times_of_users(connection, [user])
    state = opening_states_of_users(connection, [user]).get(user)
    return opening_state_of(user, records, ledger, free_times, state)


def opening_entries(
    ledger: Iterable[LedgerRow], free_times: Iterable[FreeTimeRow]
) -> list[OpeningEntry]:
    """The steps of an opening, in their order, out of the rows that they made."""
    steps: dict[int, OpeningEntry] = {}
    for row in ledger:
        number = number_of(row.entry_id)
        steps[number] = OpeningEntry(number, row.amount_micro, row.at_ms)
    for one in free_times:
        step = steps.get(one.number) or OpeningEntry(one.number, 0, one.at_ms)
        used = {**step.free_used_ms, one.scope: one.used_ms}
        steps[one.number] = step._replace(free_used_ms=used)
    return [steps[number] for number in sorted(steps)]


def opening_rows(ledger: Iterable[LedgerRow]) -> list[LedgerRow]:
    """The opening entries in the order in which they were made."""
    rows = [row for row in ledger if row.kind == MIGRATED]
    return sorted(rows, key=lambda row: (number_of(row.entry_id), row.entry_id))


class StartedLater:
    """Chats that a row of the journal starts, though their records look as if they had ended.

    One that is adopted may have started, in another system, long before that. And a command that
    waited in the stream for longer than a month is handled after what is older was archived.
    """

    def __init__(self, opening: OpeningState) -> None:
        """Only where there is an archived state is it not known what had ended before."""
        live = (chat.chat_id for chat in opening.ended if chat.increment_ms)
        self._may_be = set[str]() if opening.archived is None else set(live)
        self.chats = set[str]()

    def look(self, row: JournalRow, replay: Replay) -> None:
        """Leave out of the ended chats what this row starts."""
        if row.chat_id not in self._may_be or row.replayed:
            return
        if row.outcome == outcomes.OK and row.fields.get("type") in OPENING:
            self._may_be.discard(row.chat_id)
            self.chats.add(row.chat_id)
            replay.ended.pop(row.chat_id, None)


def digest_of_records(chats: Iterable[Chat]) -> RowsDigest:
    """Digest the records of those of the chats that ended here, not in another system."""
    return RowsDigest().plus(record_row(chat) for chat in chats if chat.increment_ms)


def state_row(user: str, state: ArchivedState) -> OpeningStateRow:
    """Give a state as it is kept."""
    row = OpeningStateRow(
        user_id=user,
        cut_ms=state.cut_ms,
        applied=state.opened.head,
        account=account_document(state.opened.account),
        ended_chats=state.ended.rows,
        ended_digest=state.ended.digits,
        ledger_entries=state.ledger.rows,
        ledger_digest=state.ledger.digits,
        checksum="",
    )
    return row._replace(checksum=checksum_of(row))


def account_document(account: Account) -> dict[str, Any]:
    """Give an account as JSON keeps it: every fact by its name."""
    chats = {chat_id: chat._asdict() for chat_id, chat in account.chats.items()}
    return {**account._asdict(), "chats": chats, "free_used_ms": dict(account.free_used_ms)}


def account_of(document: Mapping[str, Any]) -> Account:
    """Give the account of a document that ``account_document`` made.

    Raises:
        ValueError: It is none.
    """
    try:
        chats = {chat_id: Chat(**chat) for chat_id, chat in document["chats"].items()}
        return Account(**{**document, "chats": chats})
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it is no account: {error}") from None


def read_state(row: OpeningStateRow) -> ArchivedState:
    """Read a state that was kept.

    Raises:
        ValueError: It is not what was written; the message says in which way.
    """
    if not row.is_intact:
        raise ValueError("its checksum is wrong")
    account = account_of(row.account)
    if account.user_id != row.user_id:
        raise ValueError(f"it is that of {account.user_id}")
    return ArchivedState(
        cut_ms=row.cut_ms,
        opened=OpenedAccount(row.applied, account),
        ended=RowsDigest.parsed(row.ended_chats, row.ended_digest),
        ledger=RowsDigest.parsed(row.ledger_entries, row.ledger_digest),
    )


def _read(row: OpeningStateRow) -> tuple[ArchivedState | None, str]:
    try:
        return read_state(row), ""
    except ValueError as error:
        return None, str(error)


def _ended_before(
    archived: ArchivedState, records: Iterable[RecordRow], refunds: _Refunds
) -> list[Chat]:
    """The chats that had ended before the archive's end, and those of another system."""
    cut_ms, still_open = archived.cut_ms, archived.opened.account.chats
    return [
        _as_it_was(row, refunds, cut_ms)
        for row in records
        if row.source == MIGRATED
        or (row.status == ENDED and row.started_at_ms < cut_ms and row.chat_id not in still_open)
    ]


def _as_it_was(row: RecordRow, refunds: _Refunds, cut_ms: int) -> Chat:
    """The chat before its refunds since then, each of which was one change of it."""
    chat = chat_of_record(row)
    mine = refunds.get(row.chat_id, [])
    if not mine or chat.ended_at_ms is None:
        return chat
    before = [one for one in mine if one.at_ms < cut_ms]
    at = max((one.at_ms for one in before), default=chat.ended_at_ms)
    return chat._replace(
        refunded_micro=sum(one.amount_micro for one in before),
        seq=chat.seq - (len(mine) - len(before)),
        as_of_ms=at,
        since_ms=at,
        alive_at_ms=at,
    )
