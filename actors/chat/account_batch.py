"""The commands of one account in a batch, on their way to commits; poison is set aside on it."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import structlog

from actors.chat.commit_builder import AccountView, CommitBuilder, CommitContext
from actors.errors import UnreadableStateError, error_summary
from actors.messages import Task
from meterd.rules.commands import entry_key
from meterd.rules.idempotency import IdempotencyRecord
from meterd.rules.model import Account, Chat
from persistence.redis.commit import is_readable, pack_commit

log = structlog.get_logger()

FAILURES_MAX: Final = 3
"""How often the code may fail in one entry before it is set aside."""

SKIPPED: Final = (
    "another consumer of the group had read it, and later commands of the account have had their "
    "effect: it may be sent again, as a command of now"
)
"""Why a command is set aside that came after its turn."""


class AccountBatch:
    """Tasks in stream order; those that are done are gone."""

    def __init__(self, user: str, *, is_late: bool = False) -> None:
        """No tasks yet, of ``user`` or of nobody.

        ``is_late``: the account is past the tasks, and they are to be set aside all the same.
        """
        self.user = user
        self.is_late = is_late
        self.tasks: list[Task] = []
        self.already_applied: list[Task] = []
        """Those that the account is past: mostly they had their effect in a delivery whose answer
        was lost; one that another consumer of the group had read may have been skipped."""
        self.ids: dict[str, IdempotencyRecord] = {}
        self.run: CommitBuilder | None = None
        self.failures: dict[str, int] = {}
        self._why = ""

    def decide(
        self, writer: CommitContext, memory: tuple[str, Account], chats: Mapping[str, Chat]
    ) -> bytes | None:
        """The rules applied to what is not applied yet, as a packed commit.

        None if nothing is left to do, or if the code failed in the first task: then the next
        round tries it again, or sets it aside. What comes before a task that fails is committed
        without it.
        """
        applied, account = memory
        if applied and not self.is_late:
            fresh = bisect_right(self.tasks, entry_key(applied), key=_key)
            self.already_applied += self.tasks[:fresh]
            self.tasks = self.tasks[fresh:]
        self.run = None
        tasks: Sequence[Task] = self._together()
        while tasks:
            run = CommitBuilder(writer, AccountView(applied, account, chats, self.ids))
            done = self._decide_each(run, tasks)
            packed = self._pack(run) if done == len(tasks) else None
            if packed is not None:
                self.run = run
                return packed
            tasks = tasks[: min(done, len(tasks) - 1)]
        return None

    def close(self) -> bool:
        """The run was committed; whether nothing of the batch is left."""
        self.tasks = self.tasks[len(self.run.tasks) :] if self.run else []
        return not self.tasks

    def mark_known(self, known: Iterable[tuple[str, str]]) -> None:
        """Ids that had been used before: what has one of these is decided again, without effect."""
        for id_, remembered in known:
            self.ids[id_] = IdempotencyRecord.unpacked(remembered)
        if self.run is not None:
            self.failures.pop(self.run.quarantined, None)

    def record_failure(self, task: Task, error: Exception) -> None:
        """The code has failed in this task: note it for the dead letter."""
        self.failures[task.entry] = self.failures.get(task.entry, 0) + 1
        self._why = error_summary(error)
        log.error("entry.failed", entry=task.entry, user=self.user, exc_info=error)

    def _together(self) -> Sequence[Task]:
        """The first tasks that go into one commit; what is set aside goes alone."""
        for i, task in enumerate(self.tasks):
            if self._poison(task):
                return self.tasks[: i or 1]
        return self.tasks

    def _poison(self, task: Task) -> str:
        """Why a task is not tried any more; empty while it is."""
        if self.failures and self.failures.get(task.entry, 0) >= FAILURES_MAX:
            return self._why
        return task.poison

    def _decide_each(self, run: CommitBuilder, tasks: Sequence[Task]) -> int:
        """Decide tasks until one fails; returns how many did not."""
        for done, task in enumerate(tasks):
            try:
                self._decide_one(run, task)
            except Exception as error:
                self.record_failure(task, error)
                return done
        return len(tasks)

    def _decide_one(self, run: CommitBuilder, task: Task) -> None:
        poison = self._poison(task)
        if poison:
            run.quarantine(task, poison)
            return
        if not is_readable(run.account):
            raise UnreadableStateError(f"the account of {run.account.user_id} can't be read")
        run.add(task)

    def _pack(self, run: CommitBuilder) -> bytes | None:
        try:
            return pack_commit(run.commit())
        except Exception as error:
            self.record_failure(run.tasks[-1], error)
            return None


def late_batches(tasks: Iterable[Task]) -> list[AccountBatch]:
    """Each skipped task by itself, to be set aside."""
    batches: list[AccountBatch] = []
    for task in tasks:
        batch = AccountBatch(task.user, is_late=True)
        batch.tasks.append(task._replace(poison=SKIPPED))
        batches.append(batch)
    return batches


def batches_by_account(tasks: Sequence[Task]) -> list[AccountBatch]:
    """Tasks by account, in stream order; what has no account is a batch of its own.

    Each entry once: if the group was made again meanwhile, what is read again comes behind what was
    still on its way, and looks as if it were later.
    """
    batches: list[AccountBatch] = []
    by_user: dict[str, AccountBatch] = {}
    nobodys, disordered = set[str](), set[str]()
    for task in tasks:
        batch = by_user.get(task.user)
        if batch is not None:
            if not _follows(task, batch.tasks[-1]):
                disordered.add(task.user)
        elif task.entry in nobodys:
            continue
        else:
            batch = AccountBatch(task.user)
            batches.append(batch)
            if task.user:
                by_user[task.user] = batch
            else:
                nobodys.add(task.entry)
        batch.tasks.append(task)
    for user in disordered:
        once = {task.entry: task for task in reversed(by_user[user].tasks)}  # the first one stays
        by_user[user].tasks = sorted(once.values(), key=_key)
    return batches


def _follows(task: Task, before: Task) -> bool:
    """Whether the entry is a later one. Most are; numbers out of all IDs would cost more."""
    one, other = task.content, before.content
    if one.at_ms != other.at_ms:
        return one.at_ms > other.at_ms
    return (len(one.entry), one.entry) > (len(other.entry), other.entry)


def _key(task: Task) -> tuple[int, int]:
    return entry_key(task.entry)
