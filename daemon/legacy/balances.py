"""Opening balances: what users have left in the old system becomes what their accounts begin with.

Once for each user. As long as an account has not been used, a balance that has changed since is
fixed by another entry; afterwards it is what it was opened with.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Final, NamedTuple

import redis

from daemon.legacy.diff import Databases
from daemon.legacy.flush import make_room, queue_ms, wait_for_postgres
from daemon.legacy.free_time import FreeTimeReader, FreeTimeUsed, free_time_used, scopes_of
from daemon.legacy.store import balances as stored
from daemon.legacy.store.balances import OpenedBalance, QuarantinedBalance
from daemon.legacy.store.reader import (
    OldBalance,
    balances_of,
    count_balances,
    old_balances,
    read_only,
)
from daemon.legacy.store.runs import exclusive_lock
from daemon.legacy.target_balance import IN_USE, TargetBalance, target_balance_of
from meterd.rules.commands import is_identifier
from meterd.rules.model import Account
from meterd.rules.opening_balance import OpeningEntry, opened, opening_entry, opening_number
from meterd.rules.redis_keys import Keys
from persistence.postgres.layout import fetch_partitions
from persistence.postgres.rows import FreeTimeRow
from persistence.redis.opening_balances import AllOpenings, Opening, Openings

BATCH_USERS: Final = 500
_ATTEMPTS_MAX: Final = 5


class Targets(NamedTuple):
    """Where balances go."""

    sides: Databases
    client: redis.Redis
    openings: AllOpenings

    @staticmethod
    def of(sides: Databases, client_of: Callable[[int], redis.Redis]) -> "Targets":
        """Accounts in as many partitions as meterd's data was made with.

        ``client_of``: a client of the Redis of a partition.
        """
        with sides.own.connect() as own:
            partitions = fetch_partitions(own) or 1
        parts = [Openings(client_of(number), Keys(number)) for number in range(partitions)]
        return Targets(sides, client_of(0), AllOpenings(parts))


def migrate_balances(targets: Targets, report: Callable[[int, int], None]) -> Counter[str]:
    """Open the accounts of all users, or fix what they were opened with.

    May be stopped anywhere and run again: whoever is done is left as it is.

    Raises:
        LegacyError: a table or column is not there, or somebody else migrates.
        UnverifiedStateError: no daemon works on this Redis.
        FlushTimeoutError: what was opened does not reach Postgres.
    """
    with exclusive_lock(targets.sides.own):
        return _migrate_all(targets, report)


def _migrate_all(targets: Targets, report: Callable[[int, int], None]) -> Counter[str]:
    counts: Counter[str] = Counter()
    wait_for_postgres(targets.openings)
    with read_only(targets.sides.old) as old:
        total = count_balances(old, targets.sides.shape)
        free_times = FreeTimeReader.of_all(targets.sides, old)
        for some in _batches(old_balances(old, targets.sides.shape, with_free_time=True)):
            free = free_times.upto(some[-1].user_id)
            counts.update(_Batch(targets, some, free).run().counts)
            counts["rows"] += sum(one.rows for one in some)
            report(counts["rows"], total)
            make_room(targets.openings)
    wait_for_postgres(targets.openings)
    return counts


def migrate_users(targets: Targets, users: Sequence[str]) -> set[str]:
    """Open these users' accounts; returns those whose account can't be what it should be."""
    wait_for_postgres(targets.openings)
    left: set[str] = set()
    for first in range(0, len(users), BATCH_USERS):
        some = users[first : first + BATCH_USERS]
        with read_only(targets.sides.old) as old:
            found = balances_of(old, targets.sides.shape, some)
        known = {one.user_id for one in found}
        bare = [OldBalance(user, 0, Decimal(0), 0) for user in some if user not in known]
        free = free_time_used(targets.sides, some)
        left |= _Batch(targets, [*found, *bare], free).run().left
        make_room(targets.openings)
    return left


class _Batch:
    """Some users on their way."""

    def __init__(self, targets: Targets, found: Sequence[OldBalance], free: FreeTimeUsed) -> None:
        self.counts: Counter[str] = Counter(users=len(found))
        self._targets = targets
        self._found = found
        self._done: list[OpenedBalance] = []
        self._asides: list[QuarantinedBalance] = []
        self._withdrawn: set[str] = set()
        self._free = free

    @property
    def left(self) -> set[str]:
        """Whose balance stays where it is."""
        return {aside.user_id for aside in self._asides}

    def run(self) -> "_Batch":
        """Do it."""
        users = [one.user_id for one in self._found]
        with self._targets.sides.own.connect() as own:
            unflushed = stored.unflushed_sums(own, users)
        pending = list(self._judged(unflushed))
        self._withdraw([aside.user_id for aside in self._asides])
        for _ in range(_ATTEMPTS_MAX):
            pending = self._open(pending)
            if not pending:
                break
        for target in pending:
            self._leave(target.user_id, target.balance, IN_USE)
        self._write()
        return self

    def _judged(self, unflushed: Mapping[str, int]) -> Iterator[TargetBalance]:
        shape = self._targets.sides.shape
        for one in self._found:
            target = target_balance_of(
                one, unflushed.get(one.user_id, 0), do_add_up=shape.do_balances_add_up
            )
            if isinstance(target, TargetBalance):
                yield target._replace(free_used=self._free_used(one.user_id))
            else:
                self._leave(*target)

    def _free_used(self, user_id: str) -> tuple[tuple[str, int], ...]:
        scope = self._targets.sides.shape.free_scope
        return tuple(scopes_of(scope, self._free.get(user_id, {})).items())

    def _withdraw(self, users: Sequence[str]) -> None:
        """A balance that was fine when an account was opened with it is so no more.

        It is taken back, unless it has been used. Free time that was used is there all the same.
        """
        accounts = self._targets.openings.read([user for user in users if is_identifier(user)])
        nothing = [
            TargetBalance(
                user_id=user,
                balance=Decimal(0),
                target_micro=0,
                unflushed_micro=0,
                remainder=Decimal(0),
                free_used=self._free_used(user),
            )
            for user in accounts
        ]
        unused = [one for one in nothing if not _is_used(accounts, one)]
        self._count_free_time(unused)
        fresh = [one for one in unused if _differs(accounts[one.user_id][1], one)]
        at_ms = self._now_ms() if fresh else 0
        made = [_opening(*accounts[one.user_id], one, at_ms) for one in fresh]
        results = self._targets.openings.open(made)
        self._withdrawn = {
            one.user_id for one, is_done in zip(fresh, results, strict=True) if is_done
        }

    def _open(self, pending: Sequence[TargetBalance]) -> list[TargetBalance]:
        """One attempt; returns those whose account has moved under it."""
        accounts = self._targets.openings.read([target.user_id for target in pending])
        self._in_use(target for target in pending if _is_used(accounts, target))
        fresh = [target for target in pending if not _is_used(accounts, target)]
        changed = [one for one in fresh if _differs(accounts[one.user_id][1], one)]
        at_ms = self._now_ms() if changed else 0
        made = [_opening(*accounts[one.user_id], one, at_ms) for one in changed]
        results = dict(zip(changed, self._targets.openings.open(made), strict=True))
        self._count_free_time(target for target in fresh if results.get(target, True))
        for target in fresh:
            if results.get(target, True):
                self._note(target, _step(accounts[target.user_id][0], target in results))
        return [target for target, is_open in results.items() if not is_open]

    def _count_free_time(self, targets: Iterable[TargetBalance]) -> None:
        """What accounts that nobody has used yet are opened with."""
        self.counts["free_used_ms"] += sum(ms for one in targets for _, ms in one.free_used)

    def _in_use(self, used: Iterable[TargetBalance]) -> None:
        """Accounts that commands have had their turn in: fine if they were opened as they should.

        Whatever they were opened with came before those commands, and is in Postgres by now.
        """
        all_used = list(used)
        if not all_used:
            return
        with self._targets.sides.own.connect() as own:
            sums = stored.migrated_sums(own, [target.user_id for target in all_used])
        for target in all_used:
            if sums.get(target.user_id, 0) == target.target_micro:
                self._note(target, "in_use")
            else:
                self._leave(target.user_id, target.balance, IN_USE)

    def _write(self) -> None:
        """What an account was opened with before it was used is no part of what is set aside."""
        with self._targets.sides.own.begin() as own:
            users = [one.user_id for one in self._asides if one.user_id not in self._withdrawn]
            before = stored.opened_before(own, users)
            asides = [one.without(before.get(one.user_id)) for one in self._asides]
            stored.write_balances(own, [*self._done, *before.values()], asides)

    def _note(self, target: TargetBalance, what: str) -> None:
        self.counts[what] += 1
        self.counts["micro"] += target.target_micro
        self._done.append(
            OpenedBalance(
                user_id=target.user_id,
                balance=target.balance,
                opened_micro=target.target_micro,
                unflushed_micro=target.unflushed_micro,
                remainder=target.remainder,
            )
        )

    def _leave(self, user_id: str, balance: Decimal, reason: str) -> None:
        self.counts["aside"] += 1
        self.counts[f"aside.{reason}"] += 1
        self._asides.append(QuarantinedBalance(user_id, balance, reason))

    def _now_ms(self) -> int:
        return queue_ms(self._targets.client)


def _is_used(accounts: Mapping[str, tuple[str, Account]], target: TargetBalance) -> bool:
    """Whether a command has had its turn in the account, or nobody can read it."""
    found = accounts.get(target.user_id)
    return found is None or opening_number(found[0]) is None


def _free_changes(account: Account, target: TargetBalance) -> dict[str, int]:
    """The scopes whose free time used is another one; one that has used none any more has 0."""
    due = {**dict.fromkeys(account.free_used_ms, 0), **dict(target.free_used)}
    return {key: ms for key, ms in due.items() if account.free_used_ms.get(key, 0) != ms}


def _differs(account: Account, target: TargetBalance) -> bool:
    amount_differs = account.settled_micro != target.target_micro
    return amount_differs or bool(_free_changes(account, target))


def _opening(head: str, account: Account, target: TargetBalance, at_ms: int) -> Opening:
    """What makes the account as it should be; without a ledger entry if its credits stay."""
    number = (opening_number(head) or 0) + 1
    amount = target.target_micro - account.settled_micro
    free = _free_changes(account, target)
    step = OpeningEntry(number, amount, at_ms, free)
    entry = opening_entry(target.user_id, number, amount, at_ms) if amount else None
    rows = [FreeTimeRow(target.user_id, number, key, ms, at_ms) for key, ms in free.items()]
    return Opening(head, opened(account, step), entry, rows)


def _step(head: str, is_changed: bool) -> str:
    if not is_changed:
        return "unchanged" if head else "empty"
    return "corrected" if head else "opened"


def _batches(found: Iterator[OldBalance]) -> Iterator[list[OldBalance]]:
    while some := list(islice(found, BATCH_USERS)):
        yield some
