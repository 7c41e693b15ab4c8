"""The keys of all partitions: those of a user, and those of a chat whose user is not known."""

from collections.abc import Iterable, Iterator, Sequence

from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys


class PartitionKeys:
    """The keys of so many partitions, in the order of their numbers."""

    def __init__(self, partitions: int) -> None:
        """``partitions``: how many there are."""
        self._all = tuple(map(Keys, range(partitions)))

    def __len__(self) -> int:
        """How many partitions there are."""
        return len(self._all)

    def __iter__(self) -> Iterator[Keys]:
        """The keys of each partition."""
        return iter(self._all)

    def __getitem__(self, partition: int) -> Keys:
        """The keys of one partition."""
        return self._all[partition]

    def of_user(self, user_id: str) -> Keys:
        """The keys of the partition that has the user's account and chats."""
        return self._all[partition_of(user_id, len(self._all))]

    def of_chats(self, chat_ids: Iterable[str]) -> list[str]:
        """Where the snapshots of chats may be: for each chat one key in each partition."""
        return [keys.chat(chat_id) for chat_id in chat_ids for keys in self._all]

    def found(self, values: Sequence[bytes | None]) -> list[bytes | None]:
        """The snapshots of chats, one each, out of the values of ``of_chats``."""
        places = range(0, len(values), len(self._all))
        return [next(filter(None, values[at : at + len(self._all)]), None) for at in places]
