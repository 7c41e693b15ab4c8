"""A chat actor without Ray: takes batches, decides, commits, keeps the timers of its chats."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

import redis
import structlog

from actors.chat.decide import Memory, Run, Writer
from actors.chat.timekeeper import Timekeeper
from actors.messages import Handled, Tally, Task
from actors.rules.command import entry_key
from actors.rules.due import next_due
from actors.rules.state import Account, Chat
from actors.rules.world import Remembered
from persistence import commit
from persistence.commit import Verdict
from persistence.keys import Keys
from persistence.store import Store

log = structlog.get_logger()

CACHED_ACCOUNTS_MAX: Final = 50_000
ATTEMPTS_MAX: Final = 50

MOVED: Final = (commit.STALE, commit.EXISTS)
"""Verdicts that say: what the actor remembers is out of date."""


class FencedError(Exception):
    """Another owner has this actor's name: nothing it does counts any more."""


class OutOfTurnError(Exception):
    """A batch before this one was lost or failed; taking this one would swallow that one."""


class UndecidedError(Exception):
    """An account kept moving under the actor; the batch is to be tried again."""


class _Lane:
    """The tasks of one account in a batch, in stream order."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.tasks: list[Task] = []
        self.ids: dict[str, Remembered] = {}
        self.run: Run | None = None


class ChatWorker:
    """Owns chats: their timers and their accrual. One thread calls ``handle`` at a time."""

    def __init__(
        self, client: redis.Redis, keys: Keys, writer: Writer, timekeeper: Timekeeper
    ) -> None:
        """Commit through ``client`` as ``writer``; due changes go to ``timekeeper``."""
        self._client = client
        self._keys = keys
        self._writer = writer
        self._store = Store(client, keys)
        self._timekeeper = timekeeper
        self._accounts: OrderedDict[str, tuple[str, Account]] = OrderedDict()
        self._hosted: dict[str, str] = {}
        self._finished = 0

    def host(self, chats: Mapping[str, str]) -> None:
        """Take over open chats (chat → user) and keep their accounts' timers."""
        self._hosted.update(chats)
        self.watch(set(chats.values()))

    def drop(self, chats: Iterable[str]) -> None:
        """Give up chats that live elsewhere from now on, and timers that are kept there."""
        users = {self._hosted.pop(chat) for chat in chats if chat in self._hosted}
        for user in users - set(self._hosted.values()):
            self._timekeeper.arm(user, None, "")

    def watch(self, users: Iterable[str]) -> None:
        """Keep the timers of these accounts, as they are now."""
        wanted = sorted(users)
        accounts, _ = self._store.load(wanted, ())
        for user, (applied, account) in accounts.items():
            self._remember(user, applied, account)
            self._arm(user, applied, account)

    def handle(self, number: int, tasks: list[Task]) -> Handled:
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
        answer = self._handle(tasks)
        self._finished = number
        return answer

    def _handle(self, tasks: list[Task]) -> Handled:
        answer = Handled({}, [], Tally())
        pending = _lanes(tasks)
        chats = self._prepare(pending)
        for attempt in range(ATTEMPTS_MAX):
            verdicts = self._commit(pending, chats, answer.tally)
            judged = list(zip(pending, verdicts, strict=True))
            pending = [lane for lane, verdict in judged if not self._settled(lane, verdict, answer)]
            if not pending:
                return answer
            self._reload([lane for lane, v in judged if v.kind in MOVED], chats)
            answer.tally.redecided += len(pending)
            log.debug("batch.redecided", lanes=len(pending), attempt=attempt)
        raise UndecidedError(f"{len(pending)} accounts kept moving")

    def _prepare(self, lanes: list[_Lane]) -> dict[str, Chat]:
        """Load what the tasks need and the actor does not know: usually nothing."""
        users = [lane.user for lane in lanes if lane.user and self._is_unknown(lane)]
        for user in users:
            self._accounts.pop(user, None)  # out of date; it must not vouch for any chat either
        chats = {
            task.chat_id
            for lane in lanes
            for task in lane.tasks
            if task.chat_id and not self._is_open(lane.user, task.chat_id)
        }
        accounts, found = self._store.load(users, sorted(chats))
        for user, (applied, account) in accounts.items():
            self._remember(user, applied, account)
        return found

    def _is_unknown(self, lane: _Lane) -> bool:
        return lane.user not in self._accounts or lane.tasks[0].moved

    def _is_open(self, user: str, chat_id: str) -> bool:
        cached = self._accounts.get(user)
        return cached is not None and chat_id in cached[1].chats

    def _commit(self, lanes: list[_Lane], chats: Mapping[str, Chat], tally: Tally) -> list[Verdict]:
        pipeline = self._client.pipeline(transaction=False)
        verdicts: list[Verdict | None] = []
        for lane in lanes:
            lane.run = self._decide(lane, chats)
            verdicts.append(None if lane.run else Verdict(commit.DONE))
            if lane.run:
                pipeline.fcall(*commit.commit_call(self._keys, lane.run.commit()))
        answers = iter(pipeline.execute())
        tally.commits += len(lanes)
        return [verdict or commit.verdict(next(answers)) for verdict in verdicts]

    def _decide(self, lane: _Lane, chats: Mapping[str, Chat]) -> Run | None:
        """The rules applied to what is not applied yet; None if all of it is."""
        applied, account = self._accounts.get(lane.user, ("", Account(lane.user)))
        if applied:
            lane.tasks = [t for t in lane.tasks if entry_key(t.entry) > entry_key(applied)]
        if not lane.tasks:
            return None
        run = Run(self._writer, Memory(applied, account, chats, lane.ids))
        for task in lane.tasks:
            run.take(task)
        return run

    def _settled(self, lane: _Lane, verdict: Verdict, answer: Handled) -> bool:
        """Take in the commit's verdict; False if the lane has to be decided again."""
        if verdict.kind == commit.FENCED:
            raise FencedError(self._writer.actor)
        if verdict.kind in (commit.OK, commit.DONE):
            self._keep(lane, answer)
            return True
        if verdict.kind == commit.KNOWN:
            for id_, remembered in verdict.known_ids():
                lane.ids[id_] = Remembered(*remembered.split(" ", 1))
        return False

    def _reload(self, lanes: list[_Lane], chats: dict[str, Chat]) -> None:
        users = [lane.user for lane in lanes if lane.user]
        named = {task.chat_id for lane in lanes for task in lane.tasks if task.chat_id}
        accounts, found = self._store.load(users, sorted(named))
        for user, (applied, account) in accounts.items():
            self._remember(user, applied, account)
        chats.update(found)

    def _keep(self, lane: _Lane, answer: Handled) -> None:
        run = lane.run
        if run is not None:
            for outcome, replayed in run.outcomes:
                answer.tally.outcomes[outcome] = answer.tally.outcomes.get(outcome, 0) + 1
                answer.tally.replayed += replayed
        if not lane.user:
            return
        if run is not None:
            self._remember(lane.user, run.applied, run.account)
        applied, account = self._accounts[lane.user]
        self._report(lane, account, answer)
        self._arm(lane.user, applied, account)
        if account.chats and not self._hosts_any(account):
            answer.unwatched.append(lane.user)

    def _report(self, lane: _Lane, account: Account, answer: Handled) -> None:
        """Tell the supervisor which chats are open, where that may be news."""
        run = lane.run
        named = {task.chat_id for task in lane.tasks if task.chat_id}
        changed = named | set(run.touched if run else ())
        for chat_id in changed - set(account.chats):
            self._hosted.pop(chat_id, None)
        if run is None or _opens_or_ends(lane, run):
            answer.open_chats[lane.user] = list(account.chats)
        for chat_id in run.created if run else ():
            if chat_id in account.chats:
                self._hosted[chat_id] = lane.user

    def _hosts_any(self, account: Account) -> bool:
        return any(chat_id in self._hosted for chat_id in account.chats)

    def _arm(self, user: str, applied: str, account: Account) -> None:
        due = next_due(account, self._writer.policy) if self._hosts_any(account) else None
        self._timekeeper.arm(user, due.at if due else None, applied)

    def _remember(self, user: str, applied: str, account: Account) -> None:
        self._accounts[user] = (applied, account)
        self._accounts.move_to_end(user)
        if len(self._accounts) > CACHED_ACCOUNTS_MAX:
            self._accounts.popitem(last=False)


def _opens_or_ends(lane: _Lane, run: Run) -> bool:
    """Whether the run opened or ended chats, or tried to open one."""
    if any(chat.ended_at is not None for chat in run.touched.values()):
        return True
    return any(t.command and t.command.type in ("start", "adopt") for t in lane.tasks)


def _lanes(tasks: list[Task]) -> list[_Lane]:
    """Tasks by account; what has no account is a lane of its own."""
    lanes: list[_Lane] = []
    by_user: dict[str, _Lane] = {}
    for task in tasks:
        lane = by_user.get(task.user)
        if lane is None:
            lane = _Lane(task.user)
            lanes.append(lane)
            if task.user:
                by_user[task.user] = lane
        lane.tasks.append(task)
    return lanes
