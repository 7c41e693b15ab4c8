"""Opening balances: what users have left in the old system becomes what their accounts begin with.

Once for each user. As long as an account has not been used, a balance that has changed since is
mended by another entry; afterwards it is what it was opened with.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal
from itertools import islice
from typing import Any, Final, NamedTuple

import redis

from actors.rules.command import entry_key, is_identifier
from actors.rules.legacy_rows import AMOUNT_MAX, BAD_USER_ID
from actors.rules.opening import opened, opening_entry, opening_number
from actors.rules.state import Account
from daemon.legacy.look import Sides
from persistence.keys import Keys
from persistence.legacy import balances as kept
from persistence.legacy.balances import Aside, exact_credits
from persistence.legacy.read import (
    OldBalance,
    balances_of,
    count_balances,
    old_balances,
    read_only,
)
from persistence.openings import Opening, Openings

BATCH_USERS: Final = 500
PARCELS_MAX: Final = 100
"""Batches that may wait for Postgres before the next one is opened."""
WAIT_S: Final = 0.05
WAIT_S_MAX: Final = 30.0

IN_USE: Final = "account_in_use"
NEGATIVE: Final = "negative_balance"
OUT_OF_RANGE: Final = "balance_out_of_range"
UNREADABLE: Final = "unreadable_balance"

_ATTEMPTS_MAX: Final = 5


class StuckError(RuntimeError):
    """What was opened does not reach Postgres."""


class Wanted(NamedTuple):
    """What a user's account is to be opened with."""

    user_id: str
    balance: Decimal
    target_micro: int
    unflushed_micro: int
    residue: Decimal


class Targets(NamedTuple):
    """Where balances go."""

    sides: Sides
    client: redis.Redis
    openings: Openings

    @staticmethod
    def of(sides: Sides, client: redis.Redis) -> "Targets":
        """Accounts in this Redis."""
        return Targets(sides, client, Openings(client, Keys()))


def bring_balances(targets: Targets, tell: Callable[[int, int], None]) -> Counter[str]:
    """Open the accounts of all users, or mend what they were opened with.

    May be stopped anywhere and run again: whoever is done is left as it is.

    Raises:
        LegacyError: a table or column is not there.
        UnswornError: no daemon works on this Redis.
        StuckError: what was opened does not reach Postgres.
    """
    counts: Counter[str] = Counter()
    wait_for_postgres(targets.client)
    with read_only(targets.sides.old) as old:
        total = count_balances(old, targets.sides.names)
        for some in _batches(old_balances(old, targets.sides.names)):
            counts.update(bring_some(targets, some))
            counts["rows"] += sum(one.rows for one in some)
            tell(counts["rows"], total)
            _make_room(targets.openings)
    return counts


def bring_users(targets: Targets, users: Sequence[str]) -> set[str]:
    """Open these users' accounts; returns those whose account can't be what it should be."""
    wait_for_postgres(targets.client)
    left: set[str] = set()
    for first in range(0, len(users), BATCH_USERS):
        some = users[first : first + BATCH_USERS]
        with read_only(targets.sides.old) as old:
            found = balances_of(old, targets.sides.names, some)
        known = {one.user_id for one in found}
        bare = [OldBalance(user, 0, Decimal(0), 0) for user in some if user not in known]
        left |= _Batch(targets, [*found, *bare]).run().left
        _make_room(targets.openings)
    return left


def bring_some(targets: Targets, found: Sequence[OldBalance]) -> Counter[str]:
    """Open some users' accounts and write down what became of each."""
    return _Batch(targets, found).run().counts


class _Batch:
    """Some users on their way."""

    def __init__(self, targets: Targets, found: Sequence[OldBalance]) -> None:
        self.counts: Counter[str] = Counter(users=len(found))
        self._targets = targets
        self._found = found
        self._done: list[kept.Opened] = []
        self._asides: list[Aside] = []

    @property
    def left(self) -> set[str]:
        """Whose balance stays where it is."""
        return {aside.user_id for aside in self._asides}

    def run(self) -> "_Batch":
        """Do it."""
        users = [one.user_id for one in self._found]
        with self._targets.sides.own.connect() as own:
            unflushed = kept.unflushed_sums(own, users)
        pending = list(self._judged(unflushed))
        self._withdraw([aside.user_id for aside in self._asides])
        for _ in range(_ATTEMPTS_MAX):
            pending = self._open(pending)
            if not pending:
                break
        for wanted in pending:
            self._leave(wanted.user_id, wanted.balance, IN_USE)
        with self._targets.sides.own.begin() as own:
            kept.write_balances(own, self._done, self._asides)
        return self

    def _judged(self, unflushed: Mapping[str, int]) -> Iterator[Wanted]:
        for one in self._found:
            wanted = wanted_of(one, unflushed.get(one.user_id, 0))
            if isinstance(wanted, Wanted):
                yield wanted
            else:
                self._leave(*wanted)

    def _withdraw(self, users: Sequence[str]) -> None:
        """A balance that was fine when an account was opened with it is so no more.

        It is taken back, unless it has been used.
        """
        accounts = self._targets.openings.look([user for user in users if is_identifier(user)])
        nothing = (Wanted(user, Decimal(0), 0, 0, Decimal(0)) for user in accounts)
        rich = [one for one in nothing if accounts[one.user_id][1].settled]
        fresh = [one for one in rich if not _is_used(accounts, one)]
        at_ms = self._now_ms() if fresh else 0
        self._targets.openings.open([_opening(*accounts[one.user_id], one, at_ms) for one in fresh])

    def _open(self, pending: Sequence[Wanted]) -> list[Wanted]:
        """One attempt; returns those whose account has moved under it."""
        accounts = self._targets.openings.look([wanted.user_id for wanted in pending])
        self._in_use(wanted for wanted in pending if _is_used(accounts, wanted))
        fresh = [wanted for wanted in pending if not _is_used(accounts, wanted)]
        changed = [one for one in fresh if accounts[one.user_id][1].settled != one.target_micro]
        at_ms = self._now_ms() if changed else 0
        made = [_opening(*accounts[one.user_id], one, at_ms) for one in changed]
        verdicts = dict(zip(changed, self._targets.openings.open(made), strict=True))
        for wanted in fresh:
            if verdicts.get(wanted, True):
                self._note(wanted, _step(accounts[wanted.user_id][0], wanted in verdicts))
        return [wanted for wanted, is_open in verdicts.items() if not is_open]

    def _in_use(self, used: Iterable[Wanted]) -> None:
        """Accounts that commands have had their turn in: fine if they were opened as they should.

        Whatever they were opened with came before those commands, and is in Postgres by now.
        """
        all_used = list(used)
        if not all_used:
            return
        with self._targets.sides.own.connect() as own:
            sums = kept.migrated_sums(own, [wanted.user_id for wanted in all_used])
        for wanted in all_used:
            if sums.get(wanted.user_id, 0) == wanted.target_micro:
                self._note(wanted, "in_use")
            else:
                self._leave(wanted.user_id, wanted.balance, IN_USE)

    def _note(self, wanted: Wanted, what: str) -> None:
        self.counts[what] += 1
        self.counts["micro"] += wanted.target_micro
        self._done.append(
            kept.Opened(
                wanted.user_id, wanted.balance, wanted.target_micro, wanted.unflushed_micro,
                wanted.residue,
            )
        )  # fmt: skip

    def _leave(self, user_id: str, balance: Decimal, reason: str) -> None:
        self.counts["aside"] += 1
        self.counts[f"aside.{reason}"] += 1
        self._asides.append(Aside(user_id, balance, reason))

    def _now_ms(self) -> int:
        return queue_ms(self._targets.client)


def wanted_of(one: OldBalance, unflushed_micro: int) -> Wanted | tuple[str, Decimal, str]:
    """What the user's account is to be opened with; or the user, the balance and why it is not.

    Args:
        one: what the old system has.
        unflushed_micro: what of it pays for time that is adopted.
    """
    if one.balance_micro is None:
        return one.user_id, Decimal(0), UNREADABLE
    balance = exact_credits(one.balance_micro, one.residue_micro)
    whole, residue = _floor(one.balance_micro, one.residue_micro)
    if not is_identifier(one.user_id):
        return one.user_id, balance, BAD_USER_ID
    if whole < 0:
        return one.user_id, balance, NEGATIVE
    if whole > AMOUNT_MAX:
        return one.user_id, balance, OUT_OF_RANGE
    paid = min(unflushed_micro, whole)
    return Wanted(one.user_id, balance, whole - paid, paid, exact_credits(0, residue))


def wait_for_postgres(client: redis.Redis) -> None:
    """Wait until all that is in the outbox now is in Postgres. Raises StuckError: it does not."""
    outbox = Keys().outbox
    last: Any = client.xrevrange(outbox, count=1)
    for _ in _waits():
        first: Any = client.xrange(outbox, count=1)
        if not first or not last or _key(first) > _key(last):
            return


def queue_ms(client: redis.Redis) -> int:
    """The queue's clock."""
    seconds, micros = client.time()
    return int(seconds) * 1_000 + int(micros) // 1_000


def _key(found: Any) -> tuple[int, int]:
    return entry_key(found[0][0].decode())


def _make_room(openings: Openings) -> None:
    for _ in _waits():
        if openings.parcels_waiting() < PARCELS_MAX:
            return


def _waits() -> Iterator[None]:
    began_s = time.monotonic()
    while time.monotonic() - began_s < WAIT_S_MAX:
        yield
        time.sleep(WAIT_S)
    raise StuckError("what was opened does not reach PostgreSQL: see meterd status")


def _is_used(accounts: Mapping[str, tuple[str, Account]], wanted: Wanted) -> bool:
    """Whether a command has had its turn in the account, or nobody can read it."""
    found = accounts.get(wanted.user_id)
    return found is None or opening_number(found[0]) is None


def _opening(head: str, account: Account, wanted: Wanted, at_ms: int) -> Opening:
    number = (opening_number(head) or 0) + 1
    amount = wanted.target_micro - account.settled
    entry = opening_entry(wanted.user_id, number, amount, at_ms)
    return Opening(head, opened(account, number, amount, at_ms), entry)


def _step(head: str, is_changed: bool) -> str:
    if not is_changed:
        return "unchanged" if head else "empty"
    return "corrected" if head else "opened"


def _floor(micro: int, residue: Decimal) -> tuple[int, Decimal]:
    """Rounded down, whatever it was rounded to before."""
    down = int(residue.to_integral_value(ROUND_FLOOR))
    return micro + down, residue - down


def _batches(found: Iterator[OldBalance]) -> Iterator[list[OldBalance]]:
    while some := list(islice(found, BATCH_USERS)):
        yield some
