"""The names of everything in Redis, in one place (PROTOCOL 2).

All keys of a partition share its hash tag, so that they stay in one slot of a cluster.
Identifiers were validated before they get here: their alphabet has no braces and no blanks.
"""

from typing import Final, NamedTuple

GROUP: Final = "meterd"
"""The consumer group on the commands stream."""


class Keys(NamedTuple):
    """The keys of one partition."""

    partition: int = 0

    @property
    def prefix(self) -> str:
        """What every key begins with."""
        return f"meterd:{{{self.partition}}}:"

    @property
    def commands(self) -> str:
        """Stream: backends → daemon."""
        return f"{self.prefix}commands"

    @property
    def events(self) -> str:
        """Stream: what happened, in order."""
        return f"{self.prefix}events"

    @property
    def dead(self) -> str:
        """Stream: entries that can't be a command."""
        return f"{self.prefix}dead"

    @property
    def outbox(self) -> str:
        """Stream: what has to reach Postgres (internal)."""
        return f"{self.prefix}outbox"

    @property
    def rejected(self) -> str:
        """Stream: what Postgres has refused for good, with the reason (internal)."""
        return f"{self.prefix}outbox:refused"

    @property
    def outbox_delivered(self) -> str:
        """String: the last outbox entry that Postgres has said to have (internal)."""
        return f"{self.prefix}outbox:delivered"

    @property
    def open_users(self) -> str:
        """Set: users with open chats, so that a restart finds them (internal)."""
        return f"{self.prefix}open"

    @property
    def epoch(self) -> str:
        """String: the last epoch that was given to anybody (internal)."""
        return f"{self.prefix}epoch"

    @property
    def epochs(self) -> str:
        """Hash: actor name → the epoch it may write under (internal)."""
        return f"{self.prefix}epochs"

    @property
    def leader(self) -> str:
        """String: the working daemon's token, with a lease (internal)."""
        return f"{self.prefix}leader"

    @property
    def instance_id(self) -> str:
        """String: the name of what this Redis remembers, which Postgres knows too (internal)."""
        return f"{self.prefix}memory"

    @property
    def format(self) -> str:
        """String: the version of what is kept here (internal)."""
        return f"{self.prefix}format"

    @property
    def layout(self) -> str:
        """String, JSON: ``partition`` and ``partitions``; absent where there is one partition."""
        return f"{self.prefix}layout"

    @property
    def nodes(self) -> str:
        """Hash: daemon's token → its last sign of life; in partition 0, of several (internal)."""
        return f"{self.prefix}nodes"

    @property
    def clock_hold(self) -> str:
        """String, JSON: why nothing is decided until an operator says so (internal)."""
        return f"{self.prefix}hold"

    @property
    def progress(self) -> str:
        """Hash: how far the stream has been read, and what went wrong with it (internal)."""
        return f"{self.prefix}progress"

    @property
    def status(self) -> str:
        """String, JSON: what ``meterd status`` shows (internal)."""
        return f"{self.prefix}status"

    @property
    def history(self) -> str:
        """Stream: how the daemon was, a sample every ten seconds for an hour (internal)."""
        return f"{self.prefix}history"

    @property
    def leads(self) -> str:
        """String: how often a supervisor has taken the lead (internal)."""
        return f"{self.prefix}leads"

    @property
    def reply_streams(self) -> str:
        """Sorted set: reply streams by the millisecond in which they expire (internal)."""
        return f"{self.prefix}replies"

    @property
    def id_counts(self) -> str:
        """Hash: hour since 1970 → ids that are remembered into the one before it (internal)."""
        return f"{self.prefix}ids"

    def reply(self, reply_to: str) -> str:
        """Stream: replies to whoever asked for them."""
        return f"{self.prefix}reply:{reply_to}"

    def chat(self, chat_id: str) -> str:
        """String, JSON: the chat's snapshot."""
        return f"{self.prefix}chat:{chat_id}"

    def owner(self, chat_id: str) -> str:
        """String: the number of the partition that has the chat (internal; of several)."""
        return f"{self.prefix}owner:{chat_id}"

    def wallet(self, user_id: str) -> str:
        """String, JSON: the account's snapshot."""
        return f"{self.prefix}wallet:{user_id}"

    def id(self, id_: str) -> str:
        """String: what an idempotency key stood for, ``fingerprint outcome`` (internal)."""
        return f"{self.prefix}id:{id_}"

    def account(self, user_id: str) -> str:
        """String: the last applied entry, ``|``, the account's state as JSON (internal)."""
        return f"{self.prefix}account:{user_id}"


def partition_of_key(name: str) -> int:
    """The partition that a key belongs to: the number in its hash tag."""
    return int(name[name.index("{") + 1 : name.index("}")])
