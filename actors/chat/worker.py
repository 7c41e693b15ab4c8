"""A chat actor without Ray: takes batches, decides, commits, keeps the timers of its chats."""

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

import redis
import structlog

from actors.chat.account_batch import (
    FAILURES_MAX,
    AccountBatch,
    batches_by_account,
    late_batches,
)
from actors.chat.commit_builder import CommitBuilder, CommitContext
from actors.chat.counting import count_commit
from actors.chat.timer_service import TimerService
from actors.errors import ActorFencedError, CommitError, OutOfTurnError, UndecidedError
from actors.messages import BatchResult, BatchStats, Task
from meterd.rules.commands import OPENING
from meterd.rules.deadlines import next_due
from meterd.rules.model import Account, Chat
from meterd.rules.redis_keys import Keys
from persistence.redis import commit
from persistence.redis.account_reader import AccountReader
from persistence.redis.commit import CommitResult
from persistence.redis.committer import Committer

log = structlog.get_logger()

CACHED_ACCOUNTS_MAX: Final = 50_000
ATTEMPTS_MAX: Final = 50

FAILED: Final = "failed"
"""Result of a batch in whose first task the code failed."""


class ChatWorker:
    """Owns chats: their timers and their accrual. One thread calls ``handle`` at a time."""

    def __init__(
        self, client: redis.Redis, keys: Keys, writer: CommitContext, timekeeper: TimerService
    ) -> None:
        """Commit through ``client`` as ``writer``; due changes go to ``timekeeper``."""
        self._writer = writer
        self._committer = Committer(client, keys, writer.actor, writer.epoch, writer.limits)
        self._store = AccountReader(client, keys)
        self._timekeeper = timekeeper
        self._accounts: OrderedDict[str, tuple[str, Account]] = OrderedDict()
        self._hosted: dict[str, str] = {}
        self._finished = 0

    def assign(self, chats: Mapping[str, str]) -> None:
        """Take over open chats (chat → user) and keep their accounts' timers."""
        self._hosted.update(chats)
        self.track_timer(set(chats.values()))

    def unassign(self, chats: Iterable[str]) -> None:
        """Give up chats that live elsewhere from now on, and timers that are kept there."""
        users = {self._hosted.pop(chat) for chat in chats if chat in self._hosted}
        for user in users - set(self._hosted.values()):
            self._timekeeper.arm(user, None, "")

    def track_timer(self, users: Iterable[str]) -> None:
        """Keep the timers of these accounts, as they are now."""
        wanted = sorted(users)
        accounts, _ = self._store.load(wanted, ())
        for user, (applied, account) in accounts.items():
            self._remember(user, applied, account)
            self._arm(user, applied, account)

    def handle(self, number: int, tasks: list[Task]) -> BatchResult:
        """Decide and commit a batch; when this returns, all of it has had its effect.

        Batches are numbered 1, 2, 3 …. One that failed is not finished, so none after it is
        taken: an account that is ahead of an entry looks as if it had had the entry's effect.

        Raises:
            OutOfTurnError: a batch before this one was lost or failed.
            FencedError: this actor may not write any more.
            UndecidedError: some account moved again and again.
        """
        if number != self._finished + 1:
            raise OutOfTurnError(f"batch {number} came after {self._finished}")
        began_ns = time.perf_counter_ns()
        answer = self._handle(tasks)
        stats = answer.stats
        stats.decided_us = (time.perf_counter_ns() - began_ns) // 1_000 - stats.committed_us
        stats.ended_at_us = time.time_ns() // 1_000
        self._finished = number
        return answer

    def _handle(self, tasks: list[Task]) -> BatchResult:
        answer = BatchResult({}, [], BatchStats())
        batches = batches_by_account(tasks)
        try:
            self._work_off(batches, answer)
            self._set_aside_skipped(batches, answer)
        except redis.RedisError:
            # What was committed is not known: nothing that is remembered of these may count.
            for batch in batches:
                self._accounts.pop(batch.user, None)
            raise
        answer.stats.failed = sum(sum(batch.failures.values()) for batch in batches)
        return answer

    def _work_off(self, pending: list[AccountBatch], answer: BatchResult) -> None:
        chats = self._prepare(pending)
        rounds_max = ATTEMPTS_MAX + (FAILURES_MAX + 1) * max(
            (len(batch.tasks) for batch in pending), default=0
        )
        for attempt in range(rounds_max):
            results = self._commit(pending, chats, answer.stats)
            judged = list(zip(pending, results, strict=True))
            pending = [
                batch for batch, result in judged if not self._settled(batch, result, answer)
            ]
            if not pending:
                return
            self._reload([x for x, v in judged if x.tasks and v.kind != commit.KNOWN], chats)
            answer.stats.redecided += len(pending)
            log.debug("batch.redecided", batches=len(pending), attempt=attempt)
        raise UndecidedError(f"{len(pending)} accounts kept moving")

    def _set_aside_skipped(self, batches: list[AccountBatch], answer: BatchResult) -> None:
        """Set aside what the account is past without its effect: its turn is over."""
        past = [task for batch in batches for task in batch.already_applied]
        skipped = self._committer.skipped([(task.entry, task.content.id) for task in past])
        if skipped is None:
            raise ActorFencedError(self._writer.actor)
        if skipped:
            log.error("entry.skipped", entries=sorted(skipped))
            self._work_off(late_batches(t for t in past if t.entry in skipped), answer)

    def _prepare(self, batches: list[AccountBatch]) -> dict[str, Chat]:
        """Load what the tasks need and the actor does not know: usually nothing."""
        users = [batch.user for batch in batches if batch.user and self._is_unknown(batch)]
        for user in users:
            self._accounts.pop(user, None)  # out of date; it must not vouch for any chat either
        chats = {
            task.chat_id
            for batch in batches
            for task in batch.tasks
            if task.chat_id and not self._is_open(batch.user, task.chat_id)
        }
        accounts, found = self._store.load(users, sorted(chats))
        for user, (applied, account) in accounts.items():
            self._remember(user, applied, account)
        return found

    def _is_unknown(self, batch: AccountBatch) -> bool:
        return batch.user not in self._accounts or batch.tasks[0].moved

    def _is_open(self, user: str, chat_id: str) -> bool:
        cached = self._accounts.get(user)
        return cached is not None and chat_id in cached[1].chats

    def _commit(
        self, batches: list[AccountBatch], chats: Mapping[str, Chat], stats: BatchStats
    ) -> list[CommitResult]:
        commits: list[bytes] = []
        results: list[CommitResult | None] = []
        for batch in batches:
            remembered = self._accounts.get(batch.user, ("", Account(batch.user)))
            packed = batch.decide(self._writer, remembered, chats)
            if packed is not None:
                commits.append(packed)
            results.append(None if packed else CommitResult(FAILED if batch.tasks else commit.DONE))
        stats.commits += len(commits)
        began_ns = time.perf_counter_ns()
        answers = iter(self._committer.commit(commits))
        stats.committed_us += (time.perf_counter_ns() - began_ns) // 1_000
        return [result or next(answers) for result in results]

    def _settled(self, batch: AccountBatch, result: CommitResult, answer: BatchResult) -> bool:
        """Take in the commit's result; False if something of the batch is still to be decided."""
        if result.kind == commit.FENCED:
            raise ActorFencedError(self._writer.actor)
        if result.kind in (commit.OK, commit.DONE):
            if result.kind == commit.OK and batch.run is not None:
                count_commit(batch.run, answer.stats)
            self._keep(batch, answer)
            return batch.close()
        if result.kind == commit.KNOWN:
            batch.mark_known(result.known_ids())
        if result.kind == commit.ERROR:  # counts against the first task
            batch.record_failure(batch.tasks[0], CommitError(result.details[0]))
        return False

    def _reload(self, batches: list[AccountBatch], chats: dict[str, Chat]) -> None:
        users = [batch.user for batch in batches if batch.user]
        named = {task.chat_id for batch in batches for task in batch.tasks if task.chat_id}
        accounts, found = self._store.load(users, sorted(named))
        for user, (applied, account) in accounts.items():
            self._remember(user, applied, account)
        chats.update(found)

    def _keep(self, batch: AccountBatch, answer: BatchResult) -> None:
        run = batch.run
        if not batch.user:
            return
        if run is not None:
            self._remember(batch.user, run.applied, run.account)
        applied, account = self._accounts[batch.user]
        if run is not None and run.quarantined and not batch.is_late:
            # Nothing has changed, and what falls due would fail again, and again.
            self._timekeeper.arm(batch.user, None, applied)
            return
        self._report(batch, account, answer)
        self._arm(batch.user, applied, account)
        if account.chats and not self._has_any(account):
            answer.untracked.append(batch.user)

    def _report(self, batch: AccountBatch, account: Account, answer: BatchResult) -> None:
        """Tell the supervisor which chats are open, where that may be news."""
        run = batch.run
        named = [task.chat_id for task in (*batch.already_applied, *batch.tasks)]
        for chat_id in (*named, *(run.touched if run else ())):
            # Others may name a chat; it stays.
            if chat_id not in account.chats and self._hosted.get(chat_id) == batch.user:
                del self._hosted[chat_id]
        if run is None or batch.already_applied or _opens_or_ends(batch, run):
            answer.open_chats[batch.user] = list(account.chats)
        for chat_id in run.created if run else ():
            if chat_id in account.chats:
                self._hosted[chat_id] = account.user_id

    def _has_any(self, account: Account) -> bool:
        return not self._hosted.keys().isdisjoint(account.chats)

    def _arm(self, user: str, applied: str, account: Account) -> None:
        due = next_due(account, self._writer.policy) if self._has_any(account) else None
        self._timekeeper.arm(account.user_id, due.at_ms if due else None, applied)

    def _remember(self, user: str, applied: str, account: Account) -> None:
        self._accounts[account.user_id] = (applied, account)  # not another copy of the name
        self._accounts.move_to_end(user)
        if len(self._accounts) > CACHED_ACCOUNTS_MAX:
            self._accounts.popitem(last=False)


def _opens_or_ends(batch: AccountBatch, run: CommitBuilder) -> bool:
    """Whether the run opened or ended chats, or tried to open one."""
    for chat in run.touched.values():
        if chat.ended_at_ms is not None:
            return True
    return any(task.command is not None and task.command.type in OPENING for task in batch.tasks)
