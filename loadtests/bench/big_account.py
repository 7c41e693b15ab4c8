"""One account with many open chats: what a command costs, and what stopping and waking all costs.

In one process, without servers: the rules and the commit that follows, as an actor builds it. The
same commands go to an account with one chat, in the same rounds.
"""

import time
from collections.abc import Callable
from typing import Final

from actors.chat.commit_builder import AccountView, CommitBuilder, CommitContext
from actors.gc_tuning import tune_gc
from actors.messages import Task
from loadtests.bench.figures import BenchFigures
from loadtests.bench.plan import BenchPlan
from meterd.rules.commands import Command, parse_entry
from meterd.rules.model import Account, Policy
from persistence.redis.commit import Limits, pack_commit

T0_MS: Final = 1_700_000_000_000
USER: Final = "u"
MANY: Final = 100
"""Open chats of the account in whose commands the design is interested."""
POLICY: Final = Policy(at_zero="suspend", grace_ms=1_000_000, open_chats_max=0)
CREDITS_A_CHAT: Final = 10

Commands = list[dict[str, str]]


class _Account:
    """An account and what its commands have cost so far."""

    def __init__(self, chats: int) -> None:
        self.spent_s = 0.0
        self._applied, self._account, self._count = "", Account(USER), 0
        credits_ = str(CREDITS_A_CHAT * chats)
        self.play([{"type": "top_up", "amount": credits_}], T0_MS)
        start = {"type": "start", "advisor_id": "v", "rate": "1"}
        self.play([start | {"chat_id": f"c{n}"} for n in range(chats)], T0_MS)

    @property
    def statuses(self) -> set[str]:
        return {chat.status for chat in self._account.chats.values()}

    @property
    def zero_at_ms(self) -> int:
        assert self._account.zero_at_ms is not None, "its chats burn"
        return self._account.zero_at_ms

    def play(self, commands: Commands, at_ms: int) -> float:
        """Decide commands, a commit each; returns how many seconds that took."""
        tasks = [self._task(fields, at_ms) for fields in commands]
        began_s = time.perf_counter()
        for task in tasks:
            view = AccountView(self._applied, self._account, {}, {})
            builder = CommitBuilder(_CONTEXT, view)
            builder.add(task)
            pack_commit(builder.commit())
            self._applied, self._account = builder.applied, builder.account
        return time.perf_counter() - began_s

    def _task(self, fields: dict[str, str], at_ms: int) -> Task:
        self._count += 1
        sent = {"user_id": USER, **fields}
        if fields["type"] != "settle":
            sent["id"] = f"i{self._count}"
        flat = [part.encode() for pair in sent.items() for part in pair]
        command = parse_entry(f"{at_ms}-{self._count}", flat)
        assert isinstance(command, Command), command
        return Task(user=USER, command=command)


_CONTEXT: Final = CommitContext(
    actor="chat-1", epoch="1", policy=POLICY, policy_id="0" * 16, limits=Limits()
)


def measure(plan: BenchPlan, figures: BenchFigures) -> None:
    """Round by round: a command, then all chats of small and of large accounts."""
    tune_gc()  # as the chat actor does: else a look at all objects falls into some round
    for number in range(1, plan.rounds + 1):
        plan.say(f"round {number}: a command of an account with {MANY} chats, and with one")
        many, one = (_command_s(chats, plan.sizes.account_commands) for chats in (MANY, 1))
        figures.add("command_us", many * 1e6, "µs")
        figures.add("command_of_one_us", one * 1e6, "µs")
        figures.add("command_ratio", many / one, "x")
        few, all_chats = plan.sizes.account_chats
        plan.say(f"round {number}: exhausting, waking and ending {all_chats} chats, and {few}")
        of_few, of_all = _lives_s(few), _lives_s(all_chats)
        for name, took_s in of_all.items():
            figures.add(f"{name}_ms", took_s * 1e3, "ms")
            figures.add(f"{name}_ratio", took_s / all_chats / (of_few[name] / few), "x")
        figures.add("chats", all_chats, "")


def _command_s(chats: int, commands: int) -> float:
    """Seconds for a command that changes one of the chats."""
    account = _Account(chats)
    pause, resume = ({"type": type_, "chat_id": "c0"} for type_ in ("pause", "resume"))
    return account.play([pause, resume] * (commands // 2), T0_MS + 1) / (commands // 2 * 2)


def _lives_s(chats: int) -> dict[str, float]:
    """Seconds for stopping all chats of an account at once, waking them, and ending them."""
    account = _Account(chats)
    settle: Callable[[], Commands] = lambda: [{"type": "settle"}]  # noqa: E731
    at_ms = account.zero_at_ms + 1
    exhausting_s = account.play(settle(), at_ms)
    assert account.statuses == {"suspended"}, "all have stopped"
    top_up: Commands = [{"type": "top_up", "amount": str(chats)}]
    waking_s = account.play(top_up, at_ms + 1)
    assert account.statuses == {"running"}, "all run again"
    at_ms = account.zero_at_ms + 1
    account.play(settle(), at_ms)
    ending_s = account.play(settle(), at_ms + POLICY.grace_ms + 1)
    assert account.statuses == set(), "all have ended"
    return {"exhausting": exhausting_s, "waking": waking_s, "ending": ending_s}
