"""The cut-over: what runs in the old system goes on here, without a second lost or billed twice.

First all that will be sent is written down, then balances are lowered by what is not yet paid, then
it is sent; what was taken for a chat that was refused is set aside. Whatever it is stopped at, the
next run goes on there and sends the same commands.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from daemon.legacy.balances import Targets, migrate_users
from daemon.legacy.errors import CarriesTooMuchError, CutoverError
from daemon.legacy.flush import queue_ms, wait_for_postgres
from daemon.legacy.rules.adoption import (
    Adoption,
    Fields,
    OldTariff,
    adoption_of,
    affordable,
    again,
    commands_of,
    ending_of,
    paying,
)
from daemon.legacy.rules.rows import CHAT, DURATION_MS_MAX, RECORD, Quarantined, Running
from daemon.legacy.splits import splits
from daemon.legacy.store.balances import BalancePlan, fetch_plans, write_plans
from daemon.legacy.store.reader import PairKey, balances_of, read_only, read_pairs
from daemon.legacy.store.runs import exclusive_lock, last_run
from daemon.legacy.target_balance import TargetBalance, target_balance_of
from meterd import CommandRefusedError, Meter
from meterd.rules import outcomes
from meterd.rules.model import CREDITS_EXHAUSTED, MIGRATED
from meterd.rules.model import ENDED as OVER
from persistence.postgres.reader import fetch_records
from persistence.postgres.rows import RecordRow

PLANNED: Final = "planned"
READY: Final = "ready"
"""The user's balance is lowered by what is not yet paid."""
ADOPTED: Final = "adopted"
ENDED: Final = "ended_without_credits"
"""Its user could not pay for another millisecond: its time and cost have their record."""
CAME_OVER: Final = "came_over_as_ended"
"""It was imported as ended and runs there again. That is never written down: the next migrate takes
the record out, unless it has been used."""

_REFUSED: Final = "refused: "
SENDERS: Final = 16
AT_ONCE: Final = 200
ATTEMPTS_MAX: Final = 1_000
"""Runs in which there may be no room for a chat."""
_TRY_LATER: Final = (outcomes.AT_CAPACITY, outcomes.INTERNAL_ERROR)

_user_of = attrgetter("user_id")


class CutoverOptions(NamedTuple):
    """What is the same for all."""

    policy: str
    """How time is divided if no run has divided it yet; else it is as in the last run."""
    at_ms: int | None
    """None: as it was at the first run, else now."""
    tariff: OldTariff
    carried_ms_max: int = DURATION_MS_MAX
    """A chat that would carry more is not adopted without being asked for."""


class NotAdoptable(NamedTuple):
    """A chat that runs in the old system, or may run, and can't be taken over."""

    chat_id: str
    """Empty if its record names none."""
    user_id: str
    advisor_id: str
    kind: str
    key: str
    reason: str
    """Why it is set aside."""
    status: str
    """``running``, ``paused`` or ``unknown``."""


class CutoverResult(NamedTuple):
    """What came of the cut-over, or would."""

    plans: list[BalancePlan]
    """Everything that was ever taken over, and how; in order of chats."""
    left: list[NotAdoptable]
    """What runs there and can't be taken over, as its rows are now."""


class _Found(NamedTuple):
    """What runs in the old system."""

    running: list[Running]
    left: list[NotAdoptable]


def adopt(
    targets: Targets, meter: Meter, cut: CutoverOptions, report: Callable[[int, int], None]
) -> CutoverResult:
    """Take over all that runs.

    Raises:
        CutoverError: the cut-over is later than now, or was another one before, or the last run was
            not finished; or a chat would carry more than ``cut.carried_ms_max``.
        LegacyError, UnverifiedStateError, FlushTimeoutError, MeterError: as said; run it again.
    """
    with exclusive_lock(targets.sides.own):
        return _adopt(targets, meter, cut, report)


def _adopt(
    targets: Targets, meter: Meter, cut: CutoverOptions, report: Callable[[int, int], None]
) -> CutoverResult:
    found = _running(targets, _policy(targets, cut))
    came_over = plan(targets, cut, found.running)
    settle_balances(targets)
    ready = [one for one in _plans(targets) if one.outcome == READY]
    with ThreadPoolExecutor(SENDERS, thread_name_prefix="adopt") as senders:
        for first in range(0, len(ready), AT_ONCE):
            some = ready[first : first + AT_ONCE]
            _write(targets, list(senders.map(lambda one: send(meter, one), some)))
            report(first + len(some), len(ready))
    plans = _plans(targets)
    migrate_users(
        targets, sorted({one.adoption.user_id for one in plans if is_refusal(one.outcome)})
    )
    return CutoverResult(_in_order([*plans, *came_over]), found.left)


def plan(targets: Targets, cut: CutoverOptions, running: Iterable[Running]) -> list[BalancePlan]:
    """Write down all that runs and is not written down yet; all of it, or nothing.

    Returns:
        What can't be, since it was imported as ended.

    Raises:
        CutoverError: as ``adopt``.
    """
    fresh = _fresh(targets, cut, _plans(targets), running)
    _check_carried(fresh, cut.carried_ms_max)
    _write(targets, [one for one in fresh if one.outcome == PLANNED])
    return [one for one in fresh if one.outcome == CAME_OVER]


def foresee(targets: Targets, cut: CutoverOptions) -> CutoverResult:
    """What is written down, and what would be; nothing is written or sent.

    Raises:
        CutoverError, LegacyError: as ``adopt``, but for what chats would carry.
    """
    known, found = _plans(targets), _running(targets, _policy(targets, cut))
    fresh = _fresh(targets, cut, known, found.running)
    return CutoverResult(_in_order([*known, *fresh]), found.left)


def _in_order(plans: Iterable[BalancePlan]) -> list[BalancePlan]:
    return sorted(plans, key=lambda one: one.adoption.chat_id)


def _check_carried(fresh: Iterable[BalancePlan], carried_ms_max: int) -> None:
    """A chat that was forgotten there for a year has not been talked in for a year."""
    long = [one.adoption for one in fresh if one.adoption.carried_ms > carried_ms_max]
    if long:
        raise CarriesTooMuchError([(one.chat_id, one.carried_ms) for one in long], carried_ms_max)


def _fresh(
    targets: Targets,
    cut: CutoverOptions,
    plans: Sequence[BalancePlan],
    found: Iterable[Running],
) -> list[BalancePlan]:
    known = {one.adoption.chat_id: one for one in plans}
    at_ms = _at(targets, cut, known.values())
    running = [one for one in found if one.chat_id not in known]
    wait_for_postgres(targets.openings)  # a chat that has just begun here may be on its way
    with targets.sides.own.connect() as own:
        here = fetch_records(own, [one.chat_id for one in running])
    wanted = [adoption_of(one, at_ms, cut.tariff) for one in running]
    fresh = [one for one in wanted if one.chat_id not in here]
    ended = [one for one in wanted if _is_migrated(here.get(one.chat_id))]
    paid = _paid(targets, fresh, _spent(known.values()))
    return [*(BalancePlan(one, PLANNED) for one in paid), *(_came_over(one) for one in ended)]


def _is_migrated(row: RecordRow | None) -> bool:
    return row is not None and row.source == MIGRATED


def _came_over(adoption: Adoption) -> BalancePlan:
    return BalancePlan(paying(adoption, 0), CAME_OVER)


def _policy(targets: Targets, cut: CutoverOptions) -> str:
    with targets.sides.own.connect() as own:
        run = last_run(own)
    if run is None:
        return cut.policy
    if not run.is_finished:
        raise CutoverError(f"run {run.run_id} was not finished: meterd legacy migrate, then again")
    return run.policy


def settle_balances(targets: Targets) -> None:
    """Open the accounts, with what is left after what is not yet paid.

    An account that is in use already can't be lowered: then that cost is not carried.
    """
    planned = [one for one in _plans(targets) if one.outcome == PLANNED]
    left = migrate_users(targets, sorted({one.adoption.user_id for one in planned}))
    _write(targets, [_settled(one.adoption, left) for one in planned])


def _settled(adoption: Adoption, left: set[str]) -> BalancePlan:
    return BalancePlan(paying(adoption, 0) if adoption.user_id in left else adoption, READY)


def send(meter: Meter, one: BalancePlan) -> BalancePlan:
    """Send what the plan says; gives it with what came of it."""
    done, outcome = _send_all(meter, commands_of(one.adoption))
    if outcome == outcomes.OK:
        return one._replace(outcome=ADOPTED)
    if outcome == outcomes.INSUFFICIENT_CREDITS:
        done, outcome = _send_all(meter, ending_of(one.adoption, CREDITS_EXHAUSTED))
        if outcome == outcomes.OK:
            return one._replace(outcome=ENDED)
    return one if outcome in _TRY_LATER else _refused(one.adoption, outcome, is_there=done > 0)


def is_refusal(outcome: str) -> bool:
    """Whether a chat that came to this could not be taken over, and never will."""
    return outcome.startswith(_REFUSED)


def _refused(adoption: Adoption, outcome: str, *, is_there: bool) -> BalancePlan:
    """A chat that is not there carries nothing: its user has paid nothing for it."""
    return BalancePlan(adoption if is_there else paying(adoption, 0), f"{_REFUSED}{outcome}")


def _send_all(meter: Meter, commands: Iterable[Fields]) -> tuple[int, str]:
    """How many were ok, and the first outcome that was not, which ends it; else ok."""
    done = 0
    for fields in commands:
        outcome = _send_one(meter, fields)
        if outcome != outcomes.OK:
            return done, outcome
        done += 1
    return done, outcomes.OK


def _send_one(meter: Meter, fields: Fields) -> str:
    """What comes of it; where there was no room before, it is sent again under its next id."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        command = again(fields, attempt)
        id_ = str(command.pop("id"))
        try:
            meter.command(command, id=id_)
        except CommandRefusedError as error:
            is_old = error.reply is not None and error.reply.replayed
            if error.outcome != outcomes.AT_CAPACITY or not is_old:
                return error.outcome
        else:
            return outcomes.OK
    return outcomes.AT_CAPACITY


def _at(targets: Targets, cut: CutoverOptions, known: Iterable[BalancePlan]) -> int:
    before, now_ms = {one.adoption.at_ms for one in known}, queue_ms(targets.client)
    at_ms = cut.at_ms if cut.at_ms is not None else min(before, default=now_ms)
    if before and at_ms not in before:
        raise CutoverError(f"the cut-over was at {min(before)}: that can't be changed any more")
    if at_ms > now_ms:
        raise CutoverError(f"the cut-over at {at_ms} is later than the queue's clock, {now_ms}")
    return at_ms


def _running(targets: Targets, policy: str) -> _Found:
    """All that runs there, with rows read as somebody has decided."""
    found = _Found([], [])
    with read_only(targets.sides.old) as old:
        pairs = (
            pair
            for pair in read_pairs(old, targets.sides.shape)
            if any(record.status != OVER for record in pair.records)
        )
        for key, done in splits(targets.sides, policy, pairs):
            found.running.extend(done.running)
            found.left.extend(_left(key, done.quarantined))
    return found


def _left(pair: PairKey, quarantined: Iterable[Quarantined]) -> list[NotAdoptable]:
    """Each chat once, by its own row if it has one."""
    open_ = sorted((one for one in quarantined if one.status), key=lambda one: one.kind == RECORD)
    left: dict[tuple[str, str], NotAdoptable] = {}
    for one in open_:
        name = (CHAT, one.chat_id) if one.chat_id else (one.kind, one.key)
        left.setdefault(
            name, NotAdoptable(one.chat_id, *pair, one.kind, one.key, one.reason, one.status)
        )
    return list(left.values())


def _paid(
    targets: Targets, adoptions: Sequence[Adoption], spent: dict[str, int]
) -> Iterable[Adoption]:
    """What their users can pay for, several of one user together."""
    balances = _balances(targets, sorted({one.user_id for one in adoptions}))
    for user, mine in groupby(sorted(adoptions, key=_user_of), _user_of):
        yield from affordable(mine, balances.get(user, 0) - spent.get(user, 0))


def _balances(targets: Targets, users: Sequence[str]) -> dict[str, int]:
    with read_only(targets.sides.old) as old:
        found = balances_of(old, targets.sides.shape, users)
    add_up = targets.sides.shape.do_balances_add_up
    wanted = [target_balance_of(one, 0, do_add_up=add_up) for one in found]
    return {one.user_id: one.target_micro for one in wanted if isinstance(one, TargetBalance)}


def _spent(known: Iterable[BalancePlan]) -> dict[str, int]:
    spent: dict[str, int] = {}
    for one in known:
        user = one.adoption.user_id
        spent[user] = spent.get(user, 0) + one.adoption.unflushed_micro
    return spent


def _plans(targets: Targets) -> list[BalancePlan]:
    with targets.sides.own.connect() as own:
        return fetch_plans(own)


def _write(targets: Targets, plans: Sequence[BalancePlan]) -> None:
    if plans:
        with targets.sides.own.begin() as own:
            write_plans(own, plans)
