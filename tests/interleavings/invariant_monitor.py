"""Checks every call that reaches the server, with its answer, against what is allowed.

What a guard prevents shows in the end in what is there; what only the right to write prevents
(a superseded owner that happens to be right) shows here.
"""

from collections import Counter
from typing import Any

import msgspec

from meterd.rules.opening_balance import head_of
from persistence.postgres.rows import FreeTimeRow, LedgerRow
from persistence.redis.commit import Commit, OutboxPayload, unpack_payload
from persistence.redis.functions import library_name

SUPERVISOR = "supervisor"

Call = tuple[Any, ...]

_UNUSED = [head_of(number) for number in range(1, 100)]

_read_commit = msgspec.msgpack.Decoder(Commit).decode


class ViolationError(AssertionError):
    """Something happened that must not."""


class Clock:
    """The play's milliseconds."""

    def __init__(self, at: int) -> None:
        self.ms = at

    def now(self) -> int:
        return self.ms


class InvariantMonitor:
    """Who leads, who may write, what every account's last entry is."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.holder = ""
        self.epochs: dict[str, str] = {}
        self.memory = ""
        self.is_verified = False
        self.is_held = False
        self.holds = 0
        self.releases = 0
        self.heads: dict[str, str] = {}
        self.facts: list[OutboxPayload] = []
        self.disposed: list[str] = []
        self.opened: dict[str, list[LedgerRow]] = {}
        self.free_times: dict[str, list[FreeTimeRow]] = {}
        self.unread = 0
        """Commands that nobody has read yet."""
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []

    def check(self) -> None:
        """Raise if anything was wrong so far."""
        if self.wrong:
            raise ViolationError("; ".join(self.wrong))

    def forget(self) -> None:
        """The server's process is a new one, as far as its functions know."""
        self.is_verified = False

    def see(self, call: Call, answer: Any) -> None:
        """One call and what the server said."""
        if call[0] == "XADD":
            self.unread += 1
        if call[0] == "XREADGROUP" and answer:
            self.unread -= len(answer[0][1])
        if call[0] != "FCALL":
            return
        look = getattr(self, "_" + call[1].removeprefix(f"{library_name()}_"))
        look([_text(arg) for arg in call[4:]], answer)

    def _want(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)

    def _may(self, actor: str, epoch: str) -> bool:
        return self.is_verified and self.epochs.get(actor) == epoch

    def _acquire_lease(self, args: list[Any], answer: Any) -> None:
        if answer[0] != b"leading":
            return
        self._want(self.holder in ("", args[0]), "two daemons lead")
        self.holder = args[0]
        self.epochs = {SUPERVISOR: answer[1].decode()}

    def _confirm_integrity(self, args: list[Any], answer: Any) -> None:
        if answer != 1:
            return
        token, epoch, memory = args
        leads = self.holder == token and self.epochs.get(SUPERVISOR) == epoch
        self._want(leads, "the state was verified by one who does not lead")
        self._want(self.memory in ("", memory), "another instance was verified")
        self.memory, self.is_verified = memory, True

    def _renew_lease(self, args: list[Any], answer: Any) -> None:
        if answer != 0:
            self._want(self.epochs.get(SUPERVISOR) == args[1], "a superseded leader renewed")
            self._want(self.holder in ("", args[0]), "a lease was taken from its holder")
            self._want((answer == 1) == self.is_verified, "renew told the wrong thing")
            self.holder = args[0]

    def _resign(self, args: list[Any], answer: Any) -> None:
        if answer == 1:
            self._want(self.holder == args[0], "somebody resigned who does not lead")
            self.holder, self.epochs = "", {}

    def _issue_epoch(self, args: list[Any], answer: Any) -> None:
        if answer is not None:
            self._want(self._may(SUPERVISOR, args[0]), "an epoch was granted without the right to")
            self.epochs[args[1]] = answer.decode()

    def _read(self, args: list[Any], answer: Any) -> None:
        if not isinstance(answer, Exception):
            self.unread -= len(answer[1]) if args[1] == ">" else 0
            self._want(self._may(SUPERVISOR, args[0]), "entries were read without the right to")

    def _late(self, args: list[Any], answer: Any) -> None:
        if answer is not None and not isinstance(answer, Exception):
            self._want(self._may(args[0], args[1]), "entries were settled without the right to")

    def _trim(self, args: list[Any], answer: Any) -> None:
        if answer != 0:
            self._want(self._may(SUPERVISOR, args[0]), "entries were trimmed without the right to")

    def _commit_all(self, args: list[Any], answer: Any) -> None:
        actor, epoch, _, *commits = args
        if isinstance(answer, Exception):
            self.wrong.append(f"commits failed: {answer}")
            return
        for packed, result in zip(commits, answer, strict=True):
            self._commit(self._may(actor, epoch), _read_commit(packed), result[0].decode())

    def _commit(self, may: bool, commit: Commit, kind: str) -> None:
        self.seen[kind] += 1
        self._want(kind != "error", "a commit failed")
        if kind in ("ok", "done"):
            self._want(may, "a commit without the right to write")
        if kind == "ok":
            self.facts.append(unpack_payload(commit.payload.encode()))
            if commit.user:
                self.heads[commit.user] = commit.state.partition("|")[0]

    def _settle(self, args: list[Any], answer: Any) -> None:
        if answer != 0:
            return
        actor, epoch, user, before, due = args
        self.unread += 1
        self.seen["settle"] += 1
        self._want(self._may(actor, epoch), "a settle without the right to ask for it")
        self._want(self.heads.get(user) == before, "a settle for an account that has moved")
        self._want(int(due) < self.clock.ms, "a settle before anything is due")
        self._want(not self.is_held, "a settle while an operator has to decide")

    def _open_accounts(self, args: list[Any], answer: Any) -> None:
        if isinstance(answer, Exception):
            self._want(not self.is_verified, f"an opening failed: {answer}")
            return
        self._want(self.is_verified, "an account was opened in a memory that nobody vouches for")
        for packed, result in zip(args, answer, strict=True):
            user, before, state, _, ledger, free_times = msgspec.msgpack.decode(packed)
            self.seen["opened" if result == b"ok" else "not opened"] += 1
            if result == b"ok":
                self._want(self.heads.get(user, "") == before, "an account moved under its opening")
                self._want(before in ("", *_UNUSED), "an account in use was opened")
                self.heads[user] = state.partition("|")[0]
                opened = (msgspec.json.decode(row, type=LedgerRow) for row in ledger)
                self.opened.setdefault(user, []).extend(opened)
                used = (msgspec.json.decode(row, type=FreeTimeRow) for row in free_times)
                self.free_times.setdefault(user, []).extend(used)

    def _ack_outbox(self, args: list[Any], answer: Any) -> None:
        if not isinstance(answer, Exception):
            order = msgspec.msgpack.decode(args[0])
            may = self._may(order["actor"], order["epoch"])
            self._want(may, "the outbox was emptied without the right to")

    def _resolve_dead_letter(self, args: list[Any], answer: Any) -> None:
        if answer:
            order = msgspec.msgpack.decode(args[0])
            self._want(order["letter"] not in self.disposed, "a dead letter was disposed of twice")
            self.disposed.append(order["letter"])
            self.unread += bool(order["again"])
            self.facts.append(unpack_payload(order["facts"].encode()))

    def _clear_hold(self, args: list[Any], answer: Any) -> None:
        if answer == 1:
            self.releases += 1
            self.is_held = False
            self._want(self.releases <= self.holds, "a hold was released twice")
            self.facts.append(unpack_payload(args[0].encode()))


def _text(arg: Any) -> Any:
    return arg if isinstance(arg, str | bytes) else str(arg)
