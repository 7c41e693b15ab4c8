"""Commands, replies, dead letters and outbox entries in Redis against the journal."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from daemon.audit.claims import Claim, ClaimCheck
from daemon.audit.differences import NOTHING, Difference, cut, differing
from meterd.rules import outcomes
from meterd.rules.commands import entry_key, is_entry_id
from meterd.rules.model import MIGRATED
from persistence.postgres.rows import JournalRow
from persistence.redis.commit import OutboxPayload, unpack_payload
from persistence.redis.dead_letters import DeadLetter
from persistence.redis.id_scan import IdScan
from persistence.redis.stream_scan import StreamEntry, StreamScan

COMMANDS_MAX: Final = 100_000
DEAD_MAX: Final = 100_000
REPLIES_MAX: Final = 1_000
"""Of one reply stream."""
OUTBOX_MAX: Final = 10_000
"""Entries that are looked at, the latest ones of each stream."""
_OUTBOX_PAGE: Final = 100
_UNREAD: Final = (outcomes.INVALID_COMMAND, outcomes.INTERNAL_ERROR)
"""Outcomes of entries that may not be text."""


class StreamAudit:
    """Looks at what the streams say of commands."""

    def __init__(self, scan: StreamScan, ids: IdScan, claims: ClaimCheck) -> None:
        """``claims`` finds rows of the journal."""
        self._scan = scan
        self._ids = ids
        self._claims = claims

    def commands(self) -> Iterator[Difference]:
        """Commands that were taken as handled and were not, or are not as the journal has them."""
        yield from self._claims.differences(
            Claim(one.entry, partial(self._command, one))
            for one in self._scan.delivered_commands(COMMANDS_MAX)
        )

    def dead_letters(self) -> Iterator[Difference]:
        """Dead letters of entries that were no such thing."""
        for letter in self._scan.dead_letters(DEAD_MAX):
            if not is_entry_id(letter.entry):
                yield _letter(letter, None, NOTHING, letter.reason)
        yield from self._claims.differences(
            Claim(letter.entry, partial(_compare_letter, letter))
            for letter in self._scan.dead_letters(DEAD_MAX)
            if is_entry_id(letter.entry)
        )

    def replies(self, reply_to: str) -> Iterator[Difference]:
        """Replies to what nobody sent, or other ones than the journal's."""
        yield from self._claims.differences(
            Claim(one.fields.get("entry", ""), partial(_compare_reply, one))
            for one in self._scan.replies(reply_to, REPLIES_MAX)
        )

    def outbox(self) -> Iterator[Difference]:
        """Entries on their way to Postgres that no commit has written."""
        page: list[tuple[str, OutboxPayload]] = []
        for entry, raw in self._scan.outbox(OUTBOX_MAX):
            try:
                page.append((entry, unpack_payload(raw)))
            except msgspec.MsgspecError as error:
                yield _outbox(entry, None, f"unreadable: {error}")
            if len(page) == _OUTBOX_PAGE:
                yield from self._outbox_page(page)
                page = []
        yield from self._outbox_page(page)

    def _outbox_page(self, page: list[tuple[str, OutboxPayload]]) -> Iterator[Difference]:
        users = {row.user_id for _, payload in page for row in payload.journal if row.user_id}
        heads = self._scan.heads(sorted(users))
        for entry, payload in page:
            yield from _payload(entry, payload, heads)

    def _command(self, one: StreamEntry, row: JournalRow | None) -> Iterator[Difference]:
        if row is None:
            yield from self._unhandled(one)
        elif row.outcome not in _UNREAD and one.fields != row.fields:
            told = differing(one.fields, row.fields)
            yield Difference("journal_entry", row.user_id, row.chat_id, one.entry, *told)

    def _unhandled(self, one: StreamEntry) -> Iterator[Difference]:
        if "id" not in one.fields or self._scan.is_pending(one.entry):
            return
        # Since its row was looked for it may have had its effect; or its id had been used.
        remembered = next(self._ids.take([one.fields["id"]]))
        if remembered.is_there or self._claims.row_of(one.entry) is not None:
            return
        yield Difference(
            kind="unhandled",
            user=one.fields.get("user_id"),
            chat=one.fields.get("chat_id"),
            entry=one.entry,
            expected="a row of the journal, or the entry pending",
            found=NOTHING,
        )


def _compare_letter(letter: DeadLetter, row: JournalRow | None) -> Iterator[Difference]:
    if row is None:
        yield _letter(letter, None, NOTHING, letter.reason)
    elif letter.outcome != row.outcome:
        yield _letter(letter, row, f"outcome={row.outcome}", f"outcome={letter.outcome}")
    elif letter.fields != dict(row.fields):
        yield _letter(letter, row, *differing(row.fields, letter.fields))


def _letter(letter: DeadLetter, row: JournalRow | None, expected: str, found: str) -> Difference:
    return Difference(
        kind="dead_letter",
        user=row.user_id if row else None,
        chat=row.chat_id if row else None,
        entry=letter.letter,
        expected=expected,
        found=cut(found),
    )


def _compare_reply(reply: StreamEntry, row: JournalRow | None) -> Iterator[Difference]:
    said = {name: reply.fields.get(name, "") for name in ("id", "outcome", "replayed")}
    if row is None:
        yield Difference("reply", None, None, reply.entry, NOTHING, cut(str(reply.fields)))
        return
    expected = {"outcome": row.outcome}
    # What has no account may be answered again, as a repetition, once the group was destroyed.
    if row.user_id is not None:
        expected["replayed"] = str(int(row.replayed))
    if row.outcome not in outcomes.NO_COMMAND:
        expected["id"] = str(row.fields.get("id", ""))
    if any(said[name] != value for name, value in expected.items()):
        told = differing(expected, {name: said[name] for name in expected})
        yield Difference("reply", row.user_id, row.chat_id, reply.entry, *told)


def _payload(entry: str, payload: OutboxPayload, heads: Mapping[str, str]) -> Iterator[Difference]:
    users: set[Any] = set()
    for row in payload.journal:
        users.add(row.user_id)
        head = heads.get(row.user_id or "", "")
        is_past = is_entry_id(head) and entry_key(head) < entry_key(row.stream_id)
        if row.user_id and (is_past or not head):
            yield _outbox(entry, row.user_id, f"a row of {row.stream_id}, the account is at {head}")
            return
    others = [row.user_id for row in payload.ledger if row.kind != MIGRATED]
    others += [row.user_id for row in payload.records]
    for user in sorted(set(others) - users):
        yield _outbox(entry, user, "facts without a command")


def _outbox(entry: str, user: str | None, found: str) -> Difference:
    return Difference("outbox", user, None, entry, "what a commit writes", cut(found))
