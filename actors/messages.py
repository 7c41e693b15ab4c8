"""What supervisor and chat actors tell each other: one encoded batch a call, one answer."""

from typing import Final, NamedTuple

import msgspec

from meterd.rules.commands import Command, InvalidCommand
from meterd.rules.model import Chat
from meterd.rules.outcomes import Outcome

INVALID_TYPE: Final = "invalid"
"""Stands for the type of an entry that can't be a command: its own may be anything."""

CREDIT_MOVEMENTS: Final = ("charged", "refunded", "topped_up", "adjusted_up", "adjusted_down")
"""What credits are counted by."""


class Task(NamedTuple):
    """One stream entry for a chat actor to decide."""

    user: str
    """The account it belongs to; empty where it has none."""
    command: Command | None
    invalid: InvalidCommand | None = None
    known: Chat | None = None
    """The chat it names as Postgres has it, where Redis may have forgotten it."""
    refuse: Outcome | None = None
    """The outcome of a start that could go ahead otherwise."""
    moved: bool = False
    """Another actor decided for the account last: what this one remembers is out of date."""
    poison: str = ""
    """Why nobody may try to decide it again: it is to be set aside."""

    @property
    def content(self) -> Command | InvalidCommand:
        """The one of both that it is; two fields, because msgspec tells no two tuples apart."""
        content = self.command or self.invalid
        assert content is not None, "a task is a command or an entry that can't be one"
        return content

    @property
    def entry(self) -> str:
        """The stream entry's ID."""
        return self.content.entry

    @property
    def kind(self) -> str:
        """The command's type; ``INVALID_TYPE`` of what can't be a command."""
        return self.command.type if self.command is not None else INVALID_TYPE

    @property
    def at_ms(self) -> int:
        """The millisecond of the stream entry."""
        return self.content.at_ms

    @property
    def chat_id(self) -> str:
        """The chat that the command names; empty if it names none."""
        return self.command.chat_id if self.command is not None else ""


class BatchStats(msgspec.Struct):
    """What a batch came to, for status and metrics."""

    commands: dict[str, dict[str, int]] = {}
    """Type → outcome → how many; what can't be a command has the type ``INVALID_TYPE``."""
    dues: dict[int, int] = {}
    """Millisecond → how many changes time alone made that were due then."""
    replayed: int = 0
    """Commands whose id had been used before."""
    commits: int = 0
    """Calls of the commit function, one for each account and attempt."""
    redecided: int = 0
    """Accounts that had moved, or ids that were known: decided once more."""
    failed: int = 0
    """Attempts at an entry in which the code failed."""
    credits_micro: dict[str, int] = {}
    """Movement (``CREDIT_MOVEMENTS``) → micro-credits, above 0."""
    events: dict[str, int] = {}
    """Event → how many of it were published."""
    dead: dict[str, int] = {}
    """Outcome → entries that became dead letters with it."""
    active_ms: int = 0
    """Active time of the chats that ended."""
    decided_us: int = 0
    """How long the actor took for the batch, without its commits."""
    committed_us: int = 0
    """How long it waited for the commit function."""
    ended_at_us: int = 0
    """When it was done, by its machine's clock; 0 if that is not known."""


class BatchResult(msgspec.Struct):
    """A chat actor's answer to a batch."""

    open_chats: dict[str, list[str]]
    """User → all open chats, of the users where that may have changed."""
    untracked: list[str]
    """Users with open chats, none of them here: somebody else has to keep their timer."""
    stats: BatchStats


class ActorInfo(msgspec.Struct):
    """What an actor says of itself."""

    pid: int
    """A number of its node: on another one it means nothing, or somebody else."""
    node: str
    """The id of the Ray node that it runs on."""


# Codecs can't be pickled, and Ray pickles what an actor class refers to: functions by their name.
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_tasks: Final = msgspec.msgpack.Decoder(tuple[int, list[Task]]).decode
_decode_handled: Final = msgspec.msgpack.Decoder(BatchResult).decode


def pack_tasks(number: int, tasks: list[Task]) -> bytes:
    """A batch on its way to a chat actor, numbered 1, 2, 3 … for each process."""
    return _encode((number, tasks))


def unpack_tasks(raw: bytes) -> tuple[int, list[Task]]:
    """A batch as the chat actor gets it: its number and its tasks."""
    return _decode_tasks(raw)


def pack_result(handled: BatchResult) -> bytes:
    """The answer to a batch."""
    return _encode(handled)


def unpack_result(raw: bytes) -> BatchResult:
    """The answer as the supervisor gets it."""
    return _decode_handled(raw)
