"""Whether every old balance is here, once: in an account, paid for adopted time, or set aside."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Final, NamedTuple

from sqlalchemy import Connection

from daemon.legacy.difference import RecordDifference
from daemon.legacy.store.balances import (
    StoredBalance,
    fetch_stored,
    is_any_migrated,
    ledger_total,
    sums_of_balances,
)
from daemon.legacy.store.decimals import exact_credits, total
from daemon.legacy.store.reader import OldBalance, old_balances
from daemon.legacy.store.shape import LegacyShape
from daemon.legacy.store.totals import old_balances_total

_BATCH_USERS: Final = 2_000
_NOTHING: Final = Decimal(0)
BALANCES: Final = "meterd legacy balances"


class BalancesFound(NamedTuple):
    """What was compared, in credits."""

    users: int
    old: Decimal
    here: Decimal
    """What accounts were opened with, what paid for adopted time, what rounding left over, and what
    was set aside; without ``gone``."""
    gone: Decimal
    """What was imported of users of whom the old system has no balance any more."""


class BalancesCheck:
    """Compares the balances of both sides, each as it is at one moment."""

    def __init__(self, old: Connection, own: Connection, shape: LegacyShape) -> None:
        """Take in both sides."""
        self._old = old
        self._own = own
        self._shape = shape
        self._users = 0
        self._gone = _NOTHING
        self._behind = False
        self.found: BalancesFound | None = None
        """Known once all differences were asked for; None if no balance was imported yet."""

    def differences(self) -> Iterator[RecordDifference]:
        """Everything that differs: user by user, then in total."""
        if not is_any_migrated(self._own):
            return
        for olds, had in self._batches():
            for user_id in sorted(olds.keys() | had.keys()):
                self._users += 1
                yield from self._user(olds.get(user_id), had.get(user_id) or _none_of(user_id))
        yield from self._totals()

    def _batches(self) -> Iterator[tuple[dict[str, OldBalance], dict[str, StoredBalance]]]:
        stream = old_balances(self._old, self._shape)
        place: str | None = None
        while some := list(islice(stream, _BATCH_USERS)):
            upto = some[-1].user_id
            yield {one.user_id: one for one in some}, fetch_stored(self._own, place, upto)
            place = upto
        yield {}, fetch_stored(self._own, place, None)

    def _user(self, old: OldBalance | None, had: StoredBalance) -> Iterator[RecordDifference]:
        here = total(had.balance, had.quarantined or _NOTHING)
        if old is None:
            self._gone = total(self._gone, here)
        elif here != (balance := _balance(old)):
            self._behind = True
            one = _differs("balance", had, f"{balance:f} credits", f"{here:f}")
            yield one._replace(next=BALANCES)
        parts = total(had.opened, had.unflushed, had.remainder)
        if parts != had.balance:
            yield _differs("balance_parts", had, f"{had.balance:f} credits", f"{parts:f}")
        if had.ledger != had.opened:
            found = f"{had.ledger:f} in the ledger"
            yield _differs("opened", had, f"{had.opened:f} credits", found)
        if had.adopted != had.unflushed:
            yield _differs("adopted", had, f"{had.adopted:f} credits paid", f"{had.unflushed:f}")

    def _totals(self) -> Iterator[RecordDifference]:
        """By sums of the servers themselves."""
        sums, ledger = sums_of_balances(self._own), ledger_total(self._own)
        here = total(sums.imported, sums.aside, -self._gone)
        self.found = BalancesFound(
            self._users, old_balances_total(self._old, self._shape), here, self._gone
        )
        if self.found.old != here:
            one = _of_all("total_balance", self.found.old, here)
            yield one._replace(next=BALANCES if self._behind else "")
        if ledger != sums.opened:
            yield _of_all("total_opened", sums.opened, ledger)


def _none_of(user_id: str) -> StoredBalance:
    return StoredBalance(user_id, *(_NOTHING,) * 4, None, _NOTHING, _NOTHING)


def _balance(old: OldBalance) -> Decimal:
    """One that is no number counts as nothing, as in the sum."""
    if old.balance_micro is None:
        return _NOTHING
    return exact_credits(old.balance_micro, old.remainder_micro)


def _differs(kind: str, had: StoredBalance, expected: str, found: str) -> RecordDifference:
    return RecordDifference(
        kind=kind, pair=(had.user_id, ""), key="", expected=expected, found=found
    )


def _of_all(kind: str, expected: Decimal, found: Decimal) -> RecordDifference:
    return RecordDifference(
        kind=kind, pair=("", ""), key="", expected=f"{expected:f}", found=f"{found:f}"
    )
