"""Remembered ids in Redis against the journal, in both directions."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Final, cast

from daemon.audit.claims import Claim
from daemon.audit.differences import NOTHING, Difference, cut, of_row
from meterd.rules import outcomes
from meterd.rules.commands import Command, entry_ms, fingerprint, is_entry_id
from meterd.rules.idempotency import ID_MS_MIN, IdempotencyRecord, id_ms_min
from meterd.rules.model import Policy
from meterd.rules.outcomes import Outcome
from meterd.rules.replay import JournalEntry, command_of
from persistence.postgres.rows import JournalRow
from persistence.redis.id_scan import FOREVER, IdScan, RememberedId

PAGE: Final = 1_000


def remembered_of(row: JournalRow) -> str:
    """What Redis keeps of the row's id; empty if the id was known before, or there is none."""
    if not remembers(row):
        return ""
    command = command_of(JournalEntry(row.stream_id, row.fields, row.outcome, row.replayed))
    if not isinstance(command, Command):
        return ""
    outcome = cast("Outcome", row.outcome)
    return IdempotencyRecord(fingerprint(command), outcome, row.stream_id).packed()


def remembers(row: JournalRow) -> bool:
    """Whether the row, if its command is valid, made Redis remember its id."""
    if "id" not in row.fields or row.replayed:
        return False
    return row.outcome not in (outcomes.ID_CONFLICT, *outcomes.NO_COMMAND)


def ms_min_of(row: JournalRow, policy: Policy | None) -> int:
    """For how long at least the row's id is remembered, in ms."""
    if policy is None or policy.rules_version == 1:
        return ID_MS_MIN
    return id_ms_min(str(row.fields.get("type")))


class IdAudit:
    """What is remembered of ids."""

    def __init__(self, scan: IdScan, policies: Mapping[str, Policy], accepted_ms: int) -> None:
        """``accepted_ms``: up to here an operator has accepted IDs ahead of the clock."""
        self._scan = scan
        self._policies = policies
        self._accepted_ms = accepted_ms

    def claims(
        self, names: Iterable[str], without_entry: dict[str, RememberedId]
    ) -> Iterator[Claim]:
        """What the ids of these names say of the journal.

        ``without_entry`` gets those that name no entry: kept by version 0.1, or not by meterd.
        """
        rest = iter(names)
        while page := list(islice(rest, PAGE)):
            for one in self._scan.take(page):
                _, _, entry = one.value.rpartition(" ")
                if is_entry_id(entry):
                    yield Claim(entry, partial(self._compare, one))
                elif one.is_there:
                    without_entry[one.id] = one

    def missing(self, rows: Iterable[JournalRow]) -> Iterator[Difference]:
        """Ids of these rows that have to be remembered still, and are not, or not of the row."""
        rest = (row for row in rows if remembers(row))
        while page := list(islice(rest, PAGE)):
            names = [str(row.fields["id"]) for row in page]
            found = {one.id: one for one in self._scan.take(names, is_expiry_asked=False)}
            yield from self._missing_of(page, found)

    def _missing_of(
        self, page: list[JournalRow], found: Mapping[str, RememberedId]
    ) -> Iterator[Difference]:
        for row in page:
            one = found.get(str(row.fields["id"]))
            # What was set aside may have been sent again, as something new.
            is_open = row.outcome == outcomes.INTERNAL_ERROR
            if is_open or one is None or self._may_be_gone(row, one.now_ms) or _is_of(row, one):
                continue
            expected = remembered_of(row)
            if expected:
                yield of_row("remembered_id", row, expected, one.value or NOTHING)

    def _may_be_gone(self, row: JournalRow, now_ms: int) -> bool:
        at_ms = entry_ms(row.stream_id)
        ms_min = ms_min_of(row, self._policies.get(row.policy_id))
        return at_ms <= self._accepted_ms or at_ms + ms_min <= now_ms

    def _compare(self, one: RememberedId, row: JournalRow | None) -> Iterator[Difference]:
        if row is None or str(row.fields.get("id")) != one.id or not remembers(row):
            yield unknown_id(one)
            return
        expected = remembered_of(row)
        if one.value != expected:
            yield of_row("remembered_id", row, expected or NOTHING, cut(one.value))
        elif self._is_short(one, row):
            told = f"{one.id} remembered for ever" if one.ttl_ms == FOREVER else _until(one)
            ms_min = ms_min_of(row, self._policies.get(row.policy_id))
            until = f"{one.id} remembered for {ms_min} ms, and not for ever"
            yield of_row("remembered_id", row, until, told)

    def _is_short(self, one: RememberedId, row: JournalRow) -> bool:
        if one.ttl_ms == FOREVER:
            return True
        at_ms = entry_ms(row.stream_id)
        ms_min = ms_min_of(row, self._policies.get(row.policy_id))
        return at_ms > self._accepted_ms and one.now_ms + one.ttl_ms < at_ms + ms_min


def unknown_id(one: RememberedId) -> Difference:
    """A difference: no command in the journal had this id."""
    return Difference(
        kind="unknown_id",
        user=None,
        chat=None,
        entry=None,
        expected=NOTHING,
        found=cut(f"{one.id}: {one.value or 'no text'}"),
    )


def _is_of(row: JournalRow, one: RememberedId) -> bool:
    """Whether Redis remembers the row; version 0.1 kept no entry."""
    entry = one.value.rpartition(" ")[2]
    return entry == row.stream_id or bool(one.value and not is_entry_id(entry))


def _until(one: RememberedId) -> str:
    return f"{one.id} remembered for {one.ttl_ms} ms from {one.now_ms}"
