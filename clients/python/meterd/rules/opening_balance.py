"""What was imported from another system before an account's first command.

That is what it has in credits, and the free time that its shared scopes have used.

A balance is a ledger entry of its own kind. As long as nothing else has happened to the account, a
changed balance brings one more entry with the difference: the ledger is only ever added to. The
head of such an account is ``0-1``, ``0-2`` …: before any entry of a stream.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from meterd.rules.commands import entry_key
from meterd.rules.model import Account, LedgerEntry

MIGRATED: Final = "migrated"

ORIGIN: Final = ""
"""The head of an account that is not there."""


_NONE: Final[Mapping[str, int]] = MappingProxyType({})


class OpeningEntry(NamedTuple):
    """One step of an account's opening."""

    number: int
    amount_micro: int
    """What it adds to the credits; of a correction, the difference."""
    at_ms: int
    free_used_ms: Mapping[str, int] = _NONE
    """Free time used, of the scopes of which it says something (``free_time.scope_key``)."""


class OpenedAccount(NamedTuple):
    """An account that nothing but its opening has happened to."""

    head: str
    account: Account


def opened(account: Account, entry: OpeningEntry) -> OpenedAccount:
    """The account with an opening entry: the first makes it, later ones fix it."""
    return OpenedAccount(
        head_of(entry.number),
        account._replace(
            settled_micro=account.settled_micro + entry.amount_micro,
            free_used_ms={**account.free_used_ms, **entry.free_used_ms},
            as_of_ms=entry.at_ms,
            seq=entry.number,
        ),
    )


def openings(user_id: str, entries: Iterable[OpeningEntry]) -> list[OpenedAccount]:
    """The account after each of its opening entries, in order."""
    steps, account = list[OpenedAccount](), Account(user_id)
    for entry in entries:
        steps.append(opened(account, entry))
        account = steps[-1].account
    return steps


def opening_entry(user_id: str, number: int, amount: int, at: int) -> LedgerEntry:
    """The ledger entry of an opening."""
    return LedgerEntry(
        entry_id=entry_id(user_id, number),
        user_id=user_id,
        chat_id=None,
        kind=MIGRATED,
        amount_micro=amount,
        at_ms=at,
        command_id=None,
    )


def entry_id(user_id: str, number: int) -> str:
    """What an opening's ledger entry is called."""
    return f"{MIGRATED}:{user_id}:{number}"


def number_of(name: str) -> int:
    """The number in an opening entry's name; 0 if it has none."""
    last = name.rpartition(":")[2]
    return int(last) if last.isascii() and last.isdigit() else 0


def head_of(number: int) -> str:
    """The head of an account after so many opening entries."""
    return f"0-{number}" if number else ORIGIN


def opening_number(head: str) -> int | None:
    """How many opening entries an account with this head has had; None if it is in use."""
    if head == ORIGIN:
        return 0
    ms, number = entry_key(head)
    return number if ms == 0 else None
