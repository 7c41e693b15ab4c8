"""All accounts in memory, decided by the code that decides them in a chat actor."""

from collections.abc import Sequence

from actors.chat.commit_builder import AccountView, CommitBuilder, CommitContext
from actors.messages import Task
from meterd.rules.commands import Command, InvalidCommand, parse_entry
from meterd.rules.idempotency import IdempotencyRecord
from meterd.rules.model import Account, Chat, Policy
from meterd.rules.outcomes import Outcome
from persistence.redis.commit import Commit, Limits


class House:
    """What Redis would hold, without Redis."""

    def __init__(self, policy: Policy) -> None:
        """Begin empty."""
        self._writer = CommitContext("a", "1", policy, "p", Limits())
        self._accounts: dict[str, tuple[str, Account]] = {}
        self._chats: dict[str, Chat] = {}
        self._ids: dict[str, IdempotencyRecord] = {}

    def feed(self, entry: str, flat: Sequence[bytes], refuse: Outcome | None = None) -> Commit:
        """Decide the next entry; everything that goes to Redis because of it."""
        parsed = parse_entry(entry, flat)
        if isinstance(parsed, InvalidCommand):
            return self._decided(Task("", None, parsed))
        return self._decided(Task(self._owner(parsed), parsed, refuse=refuse))

    def set_aside(self, entry: str, flat: Sequence[bytes]) -> Commit:
        """What follows if nobody can decide it."""
        parsed = parse_entry(entry, flat)
        assert isinstance(parsed, Command)
        task = Task(self._owner(parsed), parsed)
        run = self._run(task)
        run.quarantine(task, "it failed")
        return run.commit()

    def _owner(self, command: Command) -> str:
        chat = self._chats.get(command.chat_id)
        return command.user_id or (chat.user_id if chat else "")

    def _run(self, task: Task) -> CommitBuilder:
        applied, account = self._accounts.get(task.user, ("", Account(task.user)))
        known = self._chats.get(task.chat_id)
        is_open = task.chat_id in account.chats
        around = {task.chat_id: known} if known is not None and not is_open else {}
        return CommitBuilder(self._writer, AccountView(applied, account, around, self._ids))

    def _decided(self, task: Task) -> Commit:
        run = self._run(task)
        run.add(task)
        if task.user:
            self._accounts[task.user] = run.applied, run.account
        self._chats |= run.touched
        self._ids = run.ids
        return run.commit()
